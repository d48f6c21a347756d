/* gemm_mxfp4_avx2.c: gemm over mxfp4 weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_mxfp4.h"
