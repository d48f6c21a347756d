/* gemm_uintx_row_amx.c: gemm over uintx weights in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#include "gemm_uintx.h"
