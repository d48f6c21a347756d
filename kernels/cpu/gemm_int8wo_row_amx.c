/* gemm_int8wo_row_amx.c: gemm over int8wo weights in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#include "rows32_int8wo_row.h"

const lb_kernel lb_kernel_gemm_int8wo_row_amx = {
    .name = "gemm.int8wo.row_amx",
    .about = "panels of 32 rows; one row of x as four or eight digits of a byte, tdpbssd, exact sums, the row's "
             "scale",
    .format = "int8wo",
    INT8WO_ROW_KERNEL,
};
