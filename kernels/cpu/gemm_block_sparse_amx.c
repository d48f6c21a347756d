/* gemm_block_sparse_amx.c: gemm over block-sparse weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_block_sparse.h"
