/* gemm_float8dq_block_avx512.c: gemm over float8dq-block weights in panels of 32 rows. Compiled for AVX-512. */
#include "gemm_float8dq_block.h"
