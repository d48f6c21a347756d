/* gemm_baseline_amx.c: gemm over baseline (bf16) weights in panels of 32 rows, which are pairs already, on AMX
 * tiles. */
#include "rows32_baseline.h"
#include "rows32_float.h"

#define FLOAT_SCALES FLOAT_OF_ROW

static const void *expand(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,
                          int64_t some, tiles_pairs *to) {
    (void)q, (void)rows, (void)k;
    const __m512i(*from)[2] = (const __m512i(*)[2])(const void *)panel + at / 2;
    for (int64_t p = 0; p < some / 2; p++)
        for (int half = 0; half < 2; half++) to->w[p][half] = from[p][half];
    return from + some / 2;
}

#undef LB_ROWS32_TILES
#define LB_ROWS32_TILES .terms = 1, .act_scaled = false
LB_ROWS32_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_baseline_amx = {
    .name = "gemm.baseline.amx",
    .about = "panels of 32 rows; " FLOAT_WITH(""),
    .format = "baseline",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
