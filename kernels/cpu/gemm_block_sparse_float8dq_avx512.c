/* gemm_block_sparse_float8dq_avx512.c: gemm over block-sparse-float8dq weights in panels of 32 rows. Compiled for
 * AVX-512. */
#include "gemm_block_sparse_float8dq.h"
