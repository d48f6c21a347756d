/* gemm_sparse24_float8dq_avx512.c: gemm over sparse24-float8dq weights in panels of 32 rows. Compiled for AVX-512. */
#include "gemm_sparse24_float8dq.h"
