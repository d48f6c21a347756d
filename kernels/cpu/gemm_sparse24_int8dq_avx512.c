/* gemm_sparse24_int8dq_avx512.c: gemm over sparse24-int8dq weights in panels of 32 rows. Compiled for AVX-512. */
#include "gemm_sparse24_int8dq.h"
