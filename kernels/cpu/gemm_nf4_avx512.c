/* gemm_nf4_avx512.c: gemm over nf4 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_nf4.h"
