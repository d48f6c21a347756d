/* gemm_block_sparse_int8dq_avx512.c: gemm over block-sparse-int8dq weights in panels of 32 rows. Compiled for
 * AVX-512. */
#include "gemm_block_sparse_int8dq.h"
