/* gemm_float8dq_row_avx2.c: gemm over float8dq-row weights in panels of 32 rows with AVX2: e4m3 times e4m3,
 * scales of row and token. */
#include "rows32_mini_avx2.h"
#include "act_f8_avx2.h"

#define unpack float_unpack_bytes
#define put_scales float_put_row_scale
#define RUN(...) \
    f32_run((mini){ .bits = 8, .mantissa = 3, .span = 256, .head_bytes = float_row_head, .scale = mini_row_scale }, \
            __VA_ARGS__)

MINI_FUNCTIONS(8, float_row_head)

LB_ROWS32_PANEL_OF(lb_act_f8_f32_row_prepare, lb_act_f8_f32_bytes, LB_ACT_KIND_F8_F32_ROW)

const lb_kernel lb_kernel_gemm_float8dq_row_avx2 = {
    .name = "gemm.float8dq-row.avx2",
    .about = "panels of 32 rows; e4m3 to f32 by its bits, multiply-adds with e4m3 activations times their scale in "
             "sums of 256, the row's scale with each",
    .format = "float8dq-row",
    LB_ROWS32_KERNEL,
    .act = LB_ACT_F8_ROW,
    F32_PRODUCTS,
};
