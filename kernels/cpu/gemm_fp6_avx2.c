/* gemm_fp6_avx2.c: gemm over fp6 weights in panels of 32 rows with AVX2: w = q * s, q e3m2, a scale a row. */
#include "rows32_mini_avx2.h"

#define unpack float_unpack_sixes
#define put_scales float_put_row_scale_6bit
#define RUN(...) \
    f32_run((mini){ .bits = 6, .mantissa = 2, .span = 256, .head_bytes = float_row_head, .scale = mini_row_scale }, \
            __VA_ARGS__)

MINI_FUNCTIONS(6, float_row_head)

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_fp6_avx2 = {
    .name = "gemm.fp6.avx2",
    .about = "panels of 32 rows; e3m2 to f32 by its bits, multiply-adds in sums of 256, the row's scale with each",
    .format = "fp6",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
