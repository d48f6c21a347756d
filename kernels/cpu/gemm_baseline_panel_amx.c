/* gemm_baseline_panel_amx.c: panels of 32 rows of baseline (bf16) weights, pairs already, by tiles. */
#define LB_BF16_PANEL
#include "rows32_baseline.h"
#include "rows32_float.h"

enum { RUN_BYTES = 32 * LB_PANEL_ROWS * 2, AHEAD = 8192 };

static const uint8_t *open_row(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i, pairs_head *to) {
    (void)of, (void)panel, (void)i;
    to->s[0] = to->s[1] = _mm512_set1_ps(1);
    return p;
}
LB_INLINE const uint8_t *expand(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i, pairs_run *to) {
    (void)of, (void)panel, (void)i;
    LB_UNROLL for (int j = 0; j < 32; j++) {
        lb_ask(p + 64 * j, AHEAD);
        to->of[j % 2][j / 2] = _mm512_load_si512(p + 64 * j);
    }
    return p + RUN_BYTES;
}

static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,
                       size_t step, int64_t k, int cols, float *out, int64_t out_stride) {
    const pairs_format f = { .of_row = true, .open = open_row, .expand = expand, .act_apart = 256 };
    (void)step;
    pairs_run_panels(f, (pairs_problem){
        .panels = panels, .codes = panels, .panel_bytes = panel_bytes(q, k), .count = count, .act = act,
        .stride = stride, .padded = lb_act_bf16_padded(k), .cols = cols, .out = out, .out_stride = out_stride });
}
LB_PAIRS_RUN
LB_ROWS32_PANELS(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16, &panels_ops)

const lb_kernel lb_kernel_gemm_baseline_panel_amx = {
    .name = "gemm.baseline.panel_amx",
    .about = "panels of 32 rows; " FLOAT_WITH("sums of all K"),
    .format = "baseline",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
