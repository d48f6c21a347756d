/* gemm_nvfp4_avx512.c: gemm over nvfp4 weights in panels of 32 rows: w = q * (t * b), q e2m1, b e4m3 per 16, t a
 * matrix. */
#include "rows32_nvfp4.h"

#define FORMAT (float_format){ .bits = 4, .span = 16, .head_bytes = head_bytes, .scale = scale }

LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_nvfp4_avx512 = {
    .name = "gemm.nvfp4.avx512",
    .about = "panels of 32 rows; e2m1 by a table of 16, vdpbf16ps with bf16 activations in sums of 16, each times its "
             "scale in f32",
    .format = "nvfp4",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
