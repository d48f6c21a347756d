/* gemm_mxfp6_row_amx.c: gemm over mxfp6 weights in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#include "gemm_mxfp6.h"
