/* gemm_nvfp4_panel_amx.c: panels of 32 rows of nvfp4 weights by tiles of bf16, which holds q * b exactly; the matrix's
 * scale is for the sums. */
#define LB_BF16_PANEL
#include "rows32_nvfp4.h"
#include "tiles_split.h"

#define FORMAT (float_format){ .bits = 4, .span = 16, .head_bytes = head_bytes, .scale = block_scale }

static const uint8_t *open_matrix(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i, pairs_head *to) {
    (void)of, (void)i;
    to->s[0] = to->s[1] = tensor_scale(panel);
    return p;
}

/* 16 pairs of either half: 8 that share a scale, and 8. */
LB_INLINE const uint8_t *expand(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i, pairs_run *to) {
    const float_of *o = of;
    const uint8_t *next = float_panel_expand(FORMAT, o, p, to);
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int j = 0; j < 16; j += 8) {
            const __m512 s = block_scale(o->q, panel, o->k, 2 * i + j / 8, h);
            LB_UNROLL for (int n = j; n < j + 8; n++) {
                const __m512i w = to->of[h][n];
                to->of[h][n] = tiles_cut(_mm512_mul_ps(tiles_even(w), s), _mm512_mul_ps(tiles_odd(w), s));
            }
        }
    return next;
}

static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,
                       size_t step, int64_t k, int cols, float *out, int64_t out_stride) {
    const pairs_format f = { .of_row = true, .open = open_matrix, .expand = expand, .act_apart = 256 };
    (void)step;
    float_panels(FORMAT, f, TABLE(q), q, panels, count, act, stride, k, cols, out, out_stride);
}
LB_PAIRS_RUN
LB_FLOAT_LAYOUT
LB_ROWS32_PANELS(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16, &panels_ops)

/* To multiply 32 weights takes longer than memory takes for them: with one row of x, where sums of 16 that meet their
 * scales are fewer, AVX-512 has 1.3 times this rate, and gemm_nvfp4_row_amx.c more. So this is a kernel of gemm alone,
 * from two rows on. */
static bool supports(const lb_args *a, const char **why) {
    *why = "one row of activations has a kernel of its own";
    return lb_arg(a, LB_GEMM_X)->dims[0] > 1;
}

const lb_kernel lb_kernel_gemm_nvfp4_panel_amx = {
    .name = "gemm.nvfp4.panel_amx",
    .about = "panels of 32 rows; e2m1 by a table of 16, times its scale, exact in bf16, "
             FLOAT_WITH("sums of all K, times the matrix's scale"),
    .format = "nvfp4",
    .act = LB_ACT_BF16,
    .supports = supports,
    .op = "gemm", .device = "cpu", .source = "luabench", .layout = &layout, .priority = LB_ROWS32_PRIORITY,
    .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes, .launch = launch,
    LB_FLOAT_ARITHMETIC,
};
