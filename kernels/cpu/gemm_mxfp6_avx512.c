/* gemm_mxfp6_avx512.c: gemm over mxfp6 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_mxfp6.h"
