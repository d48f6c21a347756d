/* gemm_int8wo_avx512.c: gemm over int8wo weights in panels of 32 rows: w = q * s, a scale a row. */
#include "rows32_int8wo.h"

const lb_kernel lb_kernel_gemm_int8wo_avx512 = {
    .name = "gemm.int8wo.avx512",
    .about = "panels of 32 rows; int8 to bf16 (exact) by tables of bytes, vdpbf16ps with bf16 activations in sums of "
             "128, the row's scale with each",
    .format = "int8wo",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
