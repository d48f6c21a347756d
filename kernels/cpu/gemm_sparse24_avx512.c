/* gemm_sparse24_avx512.c: gemm over sparse24 weights in panels of 32 rows: two bf16 of every four. */
#include "rows32_sparse24.h"

static const float_table none;
#define TABLE &none
#define FORMAT (float_format){ .bits = 16, .act = FLOAT_ACT_PLAIN }

LB_S24_FLOAT(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_sparse24_avx512 = {
    .name = "gemm.sparse24.avx512",
    .about = "panels of 32 rows; kept values spread out by vpshufb, vdpbf16ps in sums of 256 onto the total in f32",
    .format = "sparse24",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
