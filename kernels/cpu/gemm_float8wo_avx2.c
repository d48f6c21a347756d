/* gemm_float8wo_avx2.c: gemm over float8wo weights in panels of 32 rows with AVX2: w = q * s, q e4m3, a scale a row. */
#include "rows32_mini_avx2.h"

#define unpack float_unpack_bytes
#define put_scales float_put_row_scale
#define RUN(...) \
    f32_run((mini){ .bits = 8, .mantissa = 3, .span = 256, .head_bytes = float_row_head, .scale = mini_row_scale }, \
            __VA_ARGS__)

MINI_FUNCTIONS(8, float_row_head)

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_float8wo_avx2 = {
    .name = "gemm.float8wo.avx2",
    .about = "panels of 32 rows; e4m3 to f32 by its bits, multiply-adds in sums of 256, the row's scale with each",
    .format = "float8wo",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
