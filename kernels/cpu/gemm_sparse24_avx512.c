/* gemm_sparse24_avx512.c: gemm over sparse24 weights in panels of 32 rows. Compiled for AVX-512. */
#include "gemm_sparse24.h"
