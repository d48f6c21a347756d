/* gemm_int8wo_panel_amx.c: panels of 32 rows of int8wo weights by tiles of bf16: w = q * s, a scale a row. */
#define LB_BF16_PANEL
#include "rows32_int8wo.h"

const lb_kernel lb_kernel_gemm_int8wo_panel_amx = {
    .name = "gemm.int8wo.panel_amx",
    .about = "panels of 32 rows; int8 to bf16 (exact) by tables of bytes, tdpbf16ps on tiles of bf16 activations, the "
             "row's scale",
    .format = "int8wo",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
