/* gemm_mxfp4_avx512.c: gemm over mxfp4 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_mxfp4.h"
