/* gemm_mxfp8_row_amx.c: gemm over mxfp8 weights in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#include "gemm_mxfp8.h"
