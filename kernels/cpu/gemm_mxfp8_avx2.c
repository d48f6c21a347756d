/* gemm_mxfp8_avx2.c: gemm over mxfp8 weights in panels of 32 rows with AVX2: w = 2^(e - 127) * q, q e4m3 or e5m2, e
 * per 32. */
#include "rows32_mini_avx2.h"

#define unpack float_unpack_bytes
#define put_scales float_put_e8m0
#define FORMAT(m) \
    (mini){ .bits = 8, .mantissa = m, .span = 32, .head_bytes = float_e8m0_head, .scale = mini_e8m0_scale }
#define RUN(q, ...) (q)->param[0] ? f32_run(FORMAT(2), q, __VA_ARGS__) : f32_run(FORMAT(3), q, __VA_ARGS__)

MINI_FUNCTIONS(8, float_e8m0_head)

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_mxfp8_avx2 = {
    .name = "gemm.mxfp8.avx2",
    .about = "panels of 32 rows; e4m3 or e5m2 to f32 by their bits, multiply-adds in sums of 32, each times its scale",
    .format = "mxfp8",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
