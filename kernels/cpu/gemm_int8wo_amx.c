/* gemm_int8wo_amx.c: gemm over int8wo weights in panels of 32 rows on AMX tiles: w = q * s, a scale a row. */
#include "rows32_int8wo.h"

const lb_kernel lb_kernel_gemm_int8wo_amx = {
    .name = "gemm.int8wo.amx",
    .about = "panels of 32 rows; int8 to bf16 (exact) by tables of bytes, " FLOAT_WITH(""),
    .format = "int8wo",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
