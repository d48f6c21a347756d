/* gemm_nf4_row_amx.c: gemm over nf4 weights in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#include "gemm_nf4.h"
