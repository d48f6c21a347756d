/* gemm_fp6_row_amx.c: gemm over fp6 weights in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#include "gemm_fp6.h"
