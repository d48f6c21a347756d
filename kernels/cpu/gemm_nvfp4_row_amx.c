/* gemm_nvfp4_row_amx.c: gemm over nvfp4 weights in panels of 32 rows, one row of x, by tiles of bf16. A scale reaches
 * 16 k, half of a tile's row. So a tile of x has eight rows, each with one span of 16 and zeros elsewhere: four steps
 * of 32 k leave the sums of eight spans apart, a row of the sums' tile each, for their scales in f32. */
#define LB_BF16_PANEL
#include "rows32_nvfp4.h"

#define FORMAT (float_format){ .bits = 4, .span = 16, .head_bytes = head_bytes, .scale = block_scale }

enum { SPAN_K = 16, SPANS = 8 /* of a group, whose sums are in tiles together */, STEPS = SPANS / 2 /* its 32 k */,
       AHEAD = 4096 /* bytes behind scales that others are asked for */ };

/* tmm0, tmm1: sums of rows 0..15 and 16..31 of a panel, tmm2, tmm3 a second set; tmm4: x; tmm6, tmm7: weights. */
static const lb_tiles shape = {
    .palette = 1,
    .row_bytes = { 64, 64, 64, 64, 64, 0, 64, 64 },
    .rows = { SPANS, SPANS, SPANS, SPANS, SPANS, 0, 16, 16 },
};

/* x's tiles of a group: step i has rows 2i and 2i + 1. */
typedef struct x_steps { __m512i of[STEPS][SPANS]; } x_steps;
/* Sums of a group: [half][span]. */
typedef struct group_sums { __m512 of[2][SPANS]; } group_sums;

/* The 32 k of x at `from` into the tile of step i of a group. */
LB_INLINE void put_x(const uint16_t *from, int64_t i, x_steps *to) {
    to->of[i][2 * i] = _mm512_maskz_loadu_epi32(0x00ff, from);
    to->of[i][2 * i + 1] = _mm512_maskz_loadu_epi32(0xff00, from);
}

/* The sets of sums take turns: one's products have ended before they are stored, while the other's go on. */
LB_INLINE void zero_sums(int set) {
    if (set) {
        LB_TILE_ZERO(2);
        LB_TILE_ZERO(3);
    } else {
        LB_TILE_ZERO(0);
        LB_TILE_ZERO(1);
    }
}
LB_INLINE void store_sums(int set, group_sums *to) {
    if (set) {
        LB_TILE_STORE(2, to->of[0], 64);
        LB_TILE_STORE(3, to->of[1], 64);
    } else {
        LB_TILE_STORE(0, to->of[0], 64);
        LB_TILE_STORE(1, to->of[1], 64);
    }
}
LB_INLINE void step(int set, const __m512i *x, const pairs_run *w) {
    LB_TILE_LOAD(4, x, 64);
    LB_TILE_LOAD(6, w->of[0], 64);
    LB_TILE_LOAD(7, w->of[1], 64);
    if (set) {
        LB_TILE_BF16(2, 4, 6);
        LB_TILE_BF16(3, 4, 7);
    } else {
        LB_TILE_BF16(0, 4, 6);
        LB_TILE_BF16(1, 4, 7);
    }
}

/* The totals += the sums of so many spans times their scales at `p`. */
LB_INLINE void add_spans(const uint8_t *p, const int64_t spans, const group_sums *sums, __m512 total[2]) {
    LB_UNROLL for (int64_t s = 0; s < spans; s++)
        LB_UNROLL for (int h = 0; h < 2; h++)
            total[h] = _mm512_fmadd_ps(sums->of[h][s], scales_of(p + FLOAT_ROWS * s + 16 * h), total[h]);
}
/* A whole group, whose successors' scales are asked for. */
LB_INLINE void add_group(const uint8_t *p, const group_sums *sums, __m512 total[2]) {
    LB_UNROLL for (int l = 0; l < FLOAT_ROWS * SPANS; l += 64) lb_ask(p + l, AHEAD);
    add_spans(p, SPANS, sums, total);
}

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (void)stride, (void)cols, (void)out_stride;
    const float_of of = { q, k, float_open(FORMAT, &table) };
    const uint8_t *p = (const uint8_t *)panel + head_bytes(q, k), *scales = (const uint8_t *)panel + 64;
    const int64_t steps = k / 32, groups = (steps + STEPS - 1) / STEPS;
    x_steps x = { 0 };
    pairs_run w[2];
    group_sums sums[2];
    __m512 total[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    int64_t g = 0;
    lb_tiles_open(&shape);
    for (int64_t i = 0; i <= steps; i++) {
        if (i < steps) {
            p = float_panel_expand(FORMAT, &of, p, &w[i % 2]);
            put_x((const uint16_t *)act + 32 * i, i % STEPS, &x);
        }
        if (i == 0) continue;
        const int64_t j = i - 1;
        if (j % STEPS == 0) {
            g = j / STEPS;
            if (g > 1) store_sums((int)(g % 2), &sums[g % 2]); /* group g - 2 */
            if (g > 2) add_group(scales + (g - 3) * SPANS * FLOAT_ROWS, &sums[(g + 1) % 2], total);
            zero_sums((int)(g % 2));
        }
        step((int)(g % 2), x.of[j % STEPS], &w[j % 2]);
    }
    if (groups > 2) add_group(scales + (groups - 3) * SPANS * FLOAT_ROWS, &sums[(groups + 1) % 2], total);
    for (int64_t j = groups > 1 ? groups - 2 : 0; j < groups; j++) {
        const int64_t left = k / SPAN_K - j * SPANS;
        store_sums((int)(j % 2), &sums[j % 2]);
        add_spans(scales + j * SPANS * FLOAT_ROWS, left < SPANS ? left : SPANS, &sums[j % 2], total);
    }
    lb_tiles_close();
    for (int h = 0; h < 2; h++)
        _mm512_storeu_ps(out + 16 * h, _mm512_mul_ps(total[h], tensor_scale(panel)));
}

static bool supports(const lb_args *a, const char **why) {
    *why = "a tile's rows are spans of one row of activations";
    return lb_arg(a, LB_GEMM_X)->dims[0] == 1;
}

LB_FLOAT_LAYOUT
LB_ROWS32_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_nvfp4_row_amx = {
    .name = "gemm.nvfp4.row_amx",
    .about = "panels of 32 rows; e2m1 by a table of 16, one row of bf16 activations as rows of 16 k, tdpbf16ps, sums "
             "of 16, each times its scale in f32",
    .format = "nvfp4",
    .act = LB_ACT_BF16,
    .supports = supports,
    .op = "gemm", .device = "cpu", .source = "luabench", .layout = &layout, .priority = LB_ROWS32_PRIORITY,
    .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes, .launch = launch,
    LB_FLOAT_ARITHMETIC,
};
