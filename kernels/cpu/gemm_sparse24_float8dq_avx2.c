/* gemm_sparse24_float8dq_avx2.c: gemm over sparse24-float8dq weights in panels of 32 rows with AVX2: two e4m3 of every
 * four, times e4m3, scales of row and token. */
#include "act_f8_avx2.h"
#include "rows32_sparse24_avx2.h"

S24_FUNCTIONS(1)

LB_ROWS32_PANEL_OF(lb_act_f8_f32_row_prepare, lb_act_f8_f32_bytes, LB_ACT_KIND_F8_F32_ROW)

const lb_kernel lb_kernel_gemm_sparse24_float8dq_avx2 = {
    .name = "gemm.sparse24-float8dq.avx2",
    .about = "panels of 32 rows; e4m3 to f32 by its bits, spread out by comparisons of their places, multiply-adds "
             "with e4m3 activations times their scale in sums of 256, the row's scale with each",
    .format = "sparse24-float8dq",
    LB_ROWS32_KERNEL,
    .act = LB_ACT_F8_ROW,
    F32_PRODUCTS,
};
