/* gemm_int4wo_row_amx.c: gemm over int4wo weights in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#include "gemm_int4wo.h"
