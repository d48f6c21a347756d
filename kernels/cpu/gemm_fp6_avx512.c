/* gemm_fp6_avx512.c: gemm over fp6 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_fp6.h"
