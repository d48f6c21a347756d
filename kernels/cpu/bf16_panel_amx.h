/* bf16_panel_amx.h: panels of 32 rows whose codes are exact in bf16, times any number of columns by AMX's tiles: what
 * gemm of a few rows, linear, moe_ffn and head_gemm take where there are tiles. A format says how 32 k of a panel
 * become pairs of bf16 and what their sums are multiplied by; the rest is here.
 *
 * Sums start at zero for every span (as far as a scale reaches) and are then scaled onto the total in f32, in the order
 * of K; a scale of a whole row meets the sum of all K. No step depends on the number of columns, so a row's result has
 * the same bits in every batch. gemm_tiles.h, which multiplies the scales in before, is faster where there are many
 * rows, in other bits.
 *
 * 32 columns at a time: 32 k are expanded while the tiles multiply the 32 before, and sums stay in their tiles for a
 * span. Weights are expanded anew for each 32 columns: that costs less than sums that leave their tiles for each block
 * of K (256 k of eight panels, expanded to L2, before 32 columns after 32: 0.85 to 1.3 times the time at 512 columns,
 * 1.3 to 1.9 at 64). */
#pragma once
#include <string.h>

#include "amx_panel.h"

/* Tiles of 32 k: pair i of rows 0..15, and of rows 16..31. */
typedef struct pairs_run { __m512i of[2][16]; } pairs_run;
/* Scales and zeros of a span, by halves of the rows. */
typedef struct pairs_head { __m512 s[2], z[2]; } pairs_head;
/* Sums of a span: [column][row of weights]. */
typedef struct pairs_sums { float of[TILES_COLS][LB_PANEL_ROWS]; } __attribute__((aligned(64))) pairs_sums;

/* What a format has, constants all. `of` is its own (registers, q, k). */
typedef struct pairs_format {
    bool of_row;             /* one scale, for the sum of all K */
    bool zeros;              /* z times the activations' sum over the span is added */
    size_t act_apart;        /* bytes between two times 128 k of a row of x: 256, or more: a scale stands behind them */
    bool act_scaled;         /* behind all of a row is its scale */
    /* Where in x the k of run i begin; NULL = each run's behind those of the run before. */
    int64_t (*place)(const uint8_t *panel, int64_t i);
    /* The head of span i of the panel; codes are read at `p` next. Returns where they begin. */
    const uint8_t *(*open)(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i, pairs_head *to);
    /* The 32 k of run i, whose codes are at p. Returns where they end. */
    const uint8_t *(*expand)(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i, pairs_run *to);
} pairs_format;

/* The product: `span` k (a multiple of 32) share a scale, if not all. */
typedef struct pairs_problem {
    const void *of;
    const uint8_t *panels, *codes; /* the first's; its codes */
    size_t panel_bytes;
    int count;
    const char *act;
    size_t stride;
    int64_t padded, span;    /* K, to a multiple of 32 */
    int64_t kept;            /* with places: how many k the weights have, a multiple of 32 */
    int64_t sums_at;         /* where a row of x has its activations' sums of spans, in floats */
    int cols;
    float *out;
    int64_t out_stride;
} pairs_problem;

/* Element k of column c. */
LB_INLINE const char *pairs_act(const pairs_format f, const pairs_problem *x, int64_t k, int c) {
    return x->act + (size_t)c * x->stride + (size_t)(k / 128) * f.act_apart + 2 * (size_t)(k % 128);
}
LB_INLINE float pairs_f32(const char *p) { return *(const float *)(const void *)p; }

/* total[c][32] += sums times scales, and zeros times activations' sums, of span i for `cols` columns. */
LB_INLINE void pairs_close(const pairs_format f, const pairs_problem *x, const int cols, int64_t i,
                           const pairs_head *head, const pairs_sums *sums, pairs_sums *total) {
    const pairs_head e = *head;
    for (int c = 0; c < cols; c++) {
        __m512 a = _mm512_set1_ps(1);
        if (f.act_apart > 256) a = _mm512_set1_ps(pairs_f32(pairs_act(f, x, i * 128, c) + 256));
        LB_UNROLL for (int h = 0; h < 2; h++) {
            float *to = total->of[c] + 16 * h;
            __m512 s = f.act_apart > 256 ? _mm512_mul_ps(e.s[h], a) : e.s[h];
            __m512 t = _mm512_fmadd_ps(_mm512_load_ps(sums->of[c] + 16 * h), s, _mm512_load_ps(to));
            if (f.zeros) {
                const float *of = (const float *)(const void *)(pairs_act(f, x, 0, c)) + x->sums_at + i;
                t = _mm512_fmadd_ps(e.z[h], _mm512_set1_ps(*of), t);
            }
            _mm512_store_ps(to, t);
        }
    }
}

LB_INLINE void pairs_step(const char *low, const char *high, size_t stride, const pairs_run *w, bool two) {
    LB_TILE_LOAD(6, w->of[0], 64);
    LB_TILE_LOAD(7, w->of[1], 64);
    LB_TILE_LOAD(4, low, stride);
    LB_TILE_BF16(0, 4, 6);
    LB_TILE_BF16(1, 4, 7);
    if (!two) return;
    LB_TILE_LOAD(5, high, stride);
    LB_TILE_BF16(2, 5, 6);
    LB_TILE_BF16(3, 5, 7);
}
/* Columns' totals to results. */
LB_INLINE void pairs_results(const pairs_format f, const pairs_problem *x, const pairs_head *head,
                             const pairs_sums *total, const int cols) {
    for (int c = 0; c < cols; c++)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m512 t = _mm512_load_ps(total->of[c] + 16 * h);
            if (f.of_row) t = _mm512_mul_ps(t, head->s[h]);
            if (f.act_scaled) t = _mm512_mul_ps(t, _mm512_set1_ps(pairs_f32(pairs_act(f, x, 0, c) + 2 * x->padded)));
            _mm512_storeu_ps(x->out + c * x->out_stride + 16 * h, t);
        }
}

/* Up to 32 columns of a panel. `cols` is x->cols, and a constant if it is 1: a total stays in registers then. */
LB_INLINE void pairs_few(const pairs_format f, const pairs_problem *x, const int cols) {
    enum { HEADS = 4 }; /* of the span that is expanded, multiplied, waited for */
    pairs_run w[2];
    pairs_sums sums[2], total;
    pairs_head head[HEADS];
    const int64_t runs = (f.place ? x->kept : x->padded) / 32, each = f.of_row ? runs : x->span / 32;
    const uint8_t *p = x->codes;
    int64_t opened = 0, closed = 0, expanded = 0, met = 0; /* spans; runs of the ones under way */
    if (!f.of_row) memset(total.of, 0, (size_t)cols * sizeof total.of[0]);
    const bool two = tiles_open_for(cols);
    for (int64_t i = 0; i <= runs; i++) {
        if (i < runs) {
            if (expanded == 0) p = f.open(x->of, x->panels, p, opened, &head[opened % HEADS]), opened++;
            p = f.expand(x->of, x->panels, p, i, &w[i % 2]);
            if (++expanded == each) expanded = 0;
        }
        const int64_t j = i - 1;
        if (j < 0) continue;
        if (met == 0) tiles_zero_sums();
        const char *a = pairs_act(f, x, f.place ? f.place(x->panels, j) : 32 * j, 0);
        pairs_step(a, a + 16 * x->stride, x->stride, &w[j % 2], two);
        if (++met < each && j < runs - 1) continue;
        if (f.of_row) continue;
        tiles_store_sums(&sums[closed % 2], two);
        if (closed > 0) /* the sums of the span before have arrived */
            pairs_close(f, x, cols, closed - 1, &head[(closed - 1) % HEADS], &sums[(closed - 1) % 2], &total);
        closed++, met = 0;
    }
    if (f.of_row) tiles_store_sums(&total, two);
    lb_tiles_close();
    if (!f.of_row)
        pairs_close(f, x, cols, closed - 1, &head[(closed - 1) % HEADS], &sums[(closed - 1) % 2], &total);
    pairs_results(f, x, &head[0], &total, cols);
}

/* 32 columns after 32: they stay in L2 for all panels, which are expanded anew each time. */
LB_INLINE void pairs_run_panels(const pairs_format f, pairs_problem x) {
    for (int left = x.cols; left > 0; left -= TILES_COLS) {
        const int cols = left < TILES_COLS ? left : TILES_COLS;
        pairs_problem y = x;
        for (int p = 0; p < x.count; p++, y.panels += x.panel_bytes, y.codes += x.panel_bytes, y.out += LB_PANEL_ROWS)
            if (cols == 1) pairs_few(f, &y, 1);
            else pairs_few(f, &y, cols);
        x.act += TILES_COLS * x.stride, x.out += TILES_COLS * x.out_stride;
    }
}

/* run() of one panel from run_panels(), and lb_panels of it. Rows of x stand as they were prepared. */
#define LB_PAIRS_RUN                                                                                                 \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        run_panels(q, panel, 1, act, stride, 0, k, cols, out, out_stride);                                           \
    }                                                                                                                \
    static const lb_panels panels_ops = { .most = LB_PANELS_MOST, .run = run_panels };
