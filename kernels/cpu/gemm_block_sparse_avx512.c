/* gemm_block_sparse_avx512.c: gemm over block-sparse weights in panels of 32 rows. Compiled for AVX-512. */
#include "gemm_block_sparse.h"
