/* gemm_mxfp8_avx512.c: gemm over mxfp8 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_mxfp8.h"
