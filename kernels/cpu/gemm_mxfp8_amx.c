/* gemm_mxfp8_amx.c: gemm over mxfp8 weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_mxfp8.h"
