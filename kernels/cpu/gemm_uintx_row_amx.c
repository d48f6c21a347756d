/* gemm_uintx_row_amx.c: gemm over uintx weights in panels of 32 rows, one row of x: a layout of its own, with zero
 * points as bytes, for with codes of one bit f32 zeros are a quarter of all that is read. Compiled for AMX. */
#define LB_ONE_ROW
#define LB_ROWS32_LAYOUT "rows32_points" /* the kernels for several rows have the other */
#define INT_ROW_RUNS (q->param[1] ? runs : runs_of_points)
#include "gemm_uintx.h"
