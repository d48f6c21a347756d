/* gemm_block_sparse_float8dq_amx.c: gemm over block-sparse-float8dq weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_block_sparse_float8dq.h"
