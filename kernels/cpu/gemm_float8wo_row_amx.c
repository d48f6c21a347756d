/* gemm_float8wo_row_amx.c: gemm over float8wo weights in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#include "gemm_float8wo.h"
