/* gemm_mxfp6_amx.c: gemm over mxfp6 weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_mxfp6.h"
