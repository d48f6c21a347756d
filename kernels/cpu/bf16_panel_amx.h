/* bf16_panel_amx.h: panels of 32 rows whose codes are exact in bf16, times any number of columns by AMX's tiles (amx.h):
 * what gemm of a few rows, linear, moe_ffn and head_gemm take where there are tiles. A format says how 32 k of a panel
 * become pairs of bf16 and what their sums are multiplied by; the rest is here.
 *
 * Sums start at zero for every span (as far as a scale reaches) and are then scaled onto the total in f32, in the order
 * of K; a scale of a whole row meets the sum of all K. No step depends on the number of columns, so a row's result has
 * the same bits in every batch. gemm_tiles.h, which multiplies the scales in before, is faster where there are many
 * rows, in other bits.
 *
 * Up to 32 columns: 32 k are expanded while the tiles multiply the 32 before, and sums stay in their tiles for a span.
 * More: 256 k of all panels that go together are expanded, to L2, and meet the columns 32 at a time. */
#pragma once
#include <string.h>

#include "amx_i8.h"

enum { PAIRS_BLOCK = 256, PAIRS_RUNS = PAIRS_BLOCK / 32, PAIRS_PANELS = LB_PANELS_MOST };

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
    /* The head of span i of the panel; codes are read at `p` next. Returns where they begin. */
    const uint8_t *(*open)(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i, pairs_head *to);
    const uint8_t *(*expand)(const void *of, const uint8_t *p, pairs_run *to);
} pairs_format;

/* The product: `span` k (a multiple of 32, at most PAIRS_BLOCK) share a scale, if not all. */
typedef struct pairs_problem {
    const void *of;
    const uint8_t *panels, *codes; /* the first's; its codes */
    size_t panel_bytes;
    int count;
    const char *act;
    size_t stride;
    int64_t padded, span;    /* K, to a multiple of 32 */
    int64_t sums_at;         /* where a row of x has its sums of spans, in floats */
    int cols;
    float *out;
    int64_t out_stride;
} pairs_problem;

/* Element k of column c. */
LB_INLINE const char *pairs_act(const pairs_format f, const pairs_problem *x, int64_t k, int c) {
    return x->act + (size_t)c * x->stride + (size_t)(k / 128) * f.act_apart + 2 * (size_t)(k % 128);
}
LB_INLINE float pairs_f32(const char *p) { return *(const float *)(const void *)p; }

/* total[c][32] += sums times scales, and zeros times activations' sums, of span i for `cols` columns from c0 on. */
LB_INLINE void pairs_close(const pairs_format f, const pairs_problem *x, int c0, int cols, int64_t i,
                           const pairs_head *head, const pairs_sums *sums, float *total) {
    const pairs_head e = *head;
    for (int c = 0; c < cols; c++) {
        __m512 a = _mm512_set1_ps(1);
        if (f.act_apart > 256) a = _mm512_set1_ps(pairs_f32(pairs_act(f, x, i * 128, c0 + c) + 256));
        LB_UNROLL for (int h = 0; h < 2; h++) {
            float *to = total + LB_PANEL_ROWS * c + 16 * h;
            __m512 s = f.act_apart > 256 ? _mm512_mul_ps(e.s[h], a) : e.s[h];
            __m512 t = _mm512_fmadd_ps(_mm512_load_ps(sums->of[c] + 16 * h), s, _mm512_load_ps(to));
            if (f.zeros) {
                const float *of = (const float *)(const void *)(pairs_act(f, x, 0, c0 + c)) + x->sums_at + i;
                t = _mm512_fmadd_ps(e.z[h], _mm512_set1_ps(*of), t);
            }
            _mm512_store_ps(to, t);
        }
    }
}

/* Where the tiles of x stand: rows 0..15 at `low`, 16..31 at `high`, `stride` apart; the next 32 k `step` on. */
typedef struct pairs_tiles { const char *low, *high; size_t stride, step; } pairs_tiles;

LB_INLINE void pairs_zero(void) {
    LB_TILE_ZERO(0);
    LB_TILE_ZERO(1);
    LB_TILE_ZERO(2);
    LB_TILE_ZERO(3);
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
LB_INLINE void pairs_store(float *sums, bool two) {
    LB_TILE_STORE(0, sums, 4 * LB_PANEL_ROWS);
    LB_TILE_STORE(1, sums + 16, 4 * LB_PANEL_ROWS);
    if (!two) return;
    LB_TILE_STORE(2, sums + 16 * LB_PANEL_ROWS, 4 * LB_PANEL_ROWS);
    LB_TILE_STORE(3, sums + 17 * LB_PANEL_ROWS - 16, 4 * LB_PANEL_ROWS);
}

/* Columns' totals to results. */
LB_INLINE void pairs_results(const pairs_format f, const pairs_problem *x, const pairs_head *head, const float *total,
                             int p, const int cols) {
    for (int c = 0; c < cols; c++)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m512 t = _mm512_load_ps(total + LB_PANEL_ROWS * c + 16 * h);
            if (f.of_row) t = _mm512_mul_ps(t, head->s[h]);
            if (f.act_scaled) t = _mm512_mul_ps(t, _mm512_set1_ps(pairs_f32(pairs_act(f, x, 0, c) + 2 * x->padded)));
            _mm512_storeu_ps(x->out + c * x->out_stride + LB_PANEL_ROWS * p + 16 * h, t);
        }
}

/* ---- up to 32 columns of a panel ---- */

/* `cols` is x->cols, and a constant if it is 1: a total stays in registers then. */
LB_INLINE void pairs_few(const pairs_format f, const pairs_problem *x, const int cols) {
    enum { HEADS = 4 }; /* of the span that is expanded, multiplied, waited for */
    pairs_run w[2];
    pairs_sums sums[2], total;
    pairs_head head[HEADS];
    const int64_t runs = x->padded / 32, each = f.of_row ? runs : x->span / 32;
    const uint8_t *p = x->codes;
    int64_t opened = 0, closed = 0, expanded = 0, met = 0; /* spans; runs of the ones under way */
    if (!f.of_row) memset(total.of, 0, (size_t)cols * sizeof total.of[0]);
    const bool two = tiles_open_for(cols);
    for (int64_t i = 0; i <= runs; i++) {
        if (i < runs) {
            if (expanded == 0) p = f.open(x->of, x->panels, p, opened, &head[opened % HEADS]), opened++;
            p = f.expand(x->of, p, &w[i % 2]);
            if (++expanded == each) expanded = 0;
        }
        const int64_t j = i - 1;
        if (j < 0) continue;
        if (met == 0) pairs_zero();
        const char *a = pairs_act(f, x, 32 * j, 0);
        pairs_step(a, a + 16 * x->stride, x->stride, &w[j % 2], two);
        if (++met < each && j < runs - 1) continue;
        if (f.of_row) continue;
        pairs_store(sums[closed % 2].of[0], two);
        if (closed > 0) /* the sums of the span before have arrived */
            pairs_close(f, x, 0, cols, closed - 1, &head[(closed - 1) % HEADS], &sums[(closed - 1) % 2],
                        total.of[0]);
        closed++, met = 0;
    }
    if (f.of_row) pairs_store(total.of[0], two);
    lb_tiles_close();
    if (!f.of_row)
        pairs_close(f, x, 0, cols, closed - 1, &head[(closed - 1) % HEADS], &sums[(closed - 1) % 2], total.of[0]);
    pairs_results(f, x, &head[0], total.of[0], 0, cols);
}

/* ---- more columns ---- */

/* A block of a panel, expanded. */
typedef struct pairs_block {
    pairs_run run[PAIRS_RUNS];
    pairs_head head[PAIRS_RUNS];
    const uint8_t *next; /* codes */
} pairs_block;
_Static_assert(sizeof(pairs_block) * PAIRS_PANELS + sizeof(pairs_run) * PAIRS_RUNS <= LB_TILES_SCRATCH,
               "expanded panels and 32 columns fit beside the sums");

/* acc[n][32] += the products of a block's `runs` runs with n columns from c0 on. */
LB_INLINE void pairs_meet_row(const pairs_block *e, int64_t runs, pairs_tiles a, bool first, bool two, float *acc) {
    if (first) {
        pairs_zero();
    } else {
        float *more = acc + 16 * LB_PANEL_ROWS;
        LB_TILE_LOAD(0, acc, 4 * LB_PANEL_ROWS);
        LB_TILE_LOAD(1, acc + 16, 4 * LB_PANEL_ROWS);
        if (two) LB_TILE_LOAD(2, more, 4 * LB_PANEL_ROWS);
        if (two) LB_TILE_LOAD(3, more + 16, 4 * LB_PANEL_ROWS);
    }
    for (int64_t r = 0; r < runs; r++, a.low += a.step, a.high += a.step)
        pairs_step(a.low, a.high, a.stride, &e->run[r], two);
    pairs_store(acc, two);
}
LB_INLINE void pairs_meet_spans(const pairs_format f, const pairs_problem *x, const pairs_block *e, int64_t at,
                                int64_t runs, pairs_tiles a, int c0, int n, bool two, float *acc) {
    pairs_sums sums[2];
    const int64_t each = x->span / 32, first = at / x->span;
    int64_t spans = 0;
    for (int64_t r = 0; r < runs; spans++) {
        pairs_zero();
        for (const int64_t end = r + each < runs ? r + each : runs; r < end; r++, a.low += a.step, a.high += a.step)
            pairs_step(a.low, a.high, a.stride, &e->run[r], two);
        pairs_store(sums[spans % 2].of[0], two);
        if (spans > 0)
            pairs_close(f, x, c0, n, first + spans - 1, &e->head[spans - 1], &sums[(spans - 1) % 2], acc);
    }
    pairs_close(f, x, c0, n, first + spans - 1, &e->head[spans - 1], &sums[(spans - 1) % 2], acc);
}

/* `runs` runs of n columns from c0 on to tiles that stand one behind the other: a line of a column's row may be parts of
 * two, and the rows' distance such that they share sets of L1. */
LB_INLINE pairs_tiles pairs_copy(const pairs_format f, const pairs_problem *x, int64_t at, int c0, int n, int64_t runs,
                                 pairs_run *to) {
    for (int c = 0; c < n; c++)
        for (int64_t r = 0; r < runs; r++)
            _mm512_store_si512(&to[r].of[c / 16][c % 16],
                               _mm512_loadu_si512(pairs_act(f, x, at + 32 * r, c0 + c)));
    return (pairs_tiles){ (const char *)to->of[0], (const char *)to->of[1], 64, sizeof *to };
}

LB_INLINE void pairs_many(const pairs_format f, const pairs_problem *x) {
    const size_t acc_bytes = (size_t)x->count * (size_t)x->cols * sizeof(float) * LB_PANEL_ROWS;
    const size_t block_bytes = (size_t)x->count * sizeof(pairs_block), copy_bytes = sizeof(pairs_run) * PAIRS_RUNS;
    float *acc = lb_scratch_take(acc_bytes);
    pairs_block *e = lb_scratch_take(block_bytes);
    pairs_run *copy = lb_scratch_take(copy_bytes);
    pairs_head heads[PAIRS_PANELS];
    if (!f.of_row) memset(acc, 0, acc_bytes);
    for (int p = 0; p < x->count; p++) e[p].next = x->codes + (size_t)p * x->panel_bytes;
    for (int64_t at = 0; at < x->padded; at += PAIRS_BLOCK) {
        const int64_t runs = (x->padded - at < PAIRS_BLOCK ? x->padded - at : PAIRS_BLOCK) / 32;
        const int64_t each = f.of_row ? PAIRS_RUNS : x->span / 32;
        for (int p = 0; p < x->count; p++)
            for (int64_t r = 0; r < runs; r++) {
                if (!f.of_row && r % each == 0)
                    e[p].next = f.open(x->of, x->panels + (size_t)p * x->panel_bytes, e[p].next,
                                       at / x->span + r / each, &e[p].head[r / each]);
                e[p].next = f.expand(x->of, e[p].next, &e[p].run[r]);
            }
        bool two = false;
        for (int c0 = 0, width = 0; c0 < x->cols; c0 += TILES_COLS) {
            const int n = x->cols - c0 < TILES_COLS ? x->cols - c0 : TILES_COLS;
            if (n != width) two = tiles_open_for(width = n);
            const pairs_tiles a = pairs_copy(f, x, at, c0, n, runs, copy);
            for (int p = 0; p < x->count; p++) {
                float *to = acc + (size_t)(p * x->cols + c0) * LB_PANEL_ROWS;
                if (f.of_row) pairs_meet_row(&e[p], runs, a, at == 0, two, to);
                else pairs_meet_spans(f, x, &e[p], at, runs, a, c0, n, two, to);
            }
        }
    }
    lb_tiles_close();
    for (int p = 0; p < x->count; p++) {
        if (f.of_row) f.open(x->of, x->panels + (size_t)p * x->panel_bytes, NULL, 0, &heads[p]);
        pairs_results(f, x, &heads[p], acc + (size_t)(p * x->cols) * LB_PANEL_ROWS, p, x->cols);
    }
    lb_scratch_give(copy, copy_bytes);
    lb_scratch_give(e, block_bytes);
    lb_scratch_give(acc, acc_bytes);
}

LB_INLINE void pairs_run_panels(const pairs_format f, pairs_problem x) {
    if (x.cols > TILES_COLS) {
        pairs_many(f, &x);
        return;
    }
    for (int p = 0; p < x.count; p++) {
        if (x.cols == 1) pairs_few(f, &x, 1);
        else pairs_few(f, &x, x.cols);
        x.panels += x.panel_bytes, x.codes += x.panel_bytes, x.out += LB_PANEL_ROWS;
    }
}

/* run() of one panel from run_panels(), and lb_panels of it. Rows of x stand as they were prepared. */
#define LB_PAIRS_RUN                                                                                                 \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        run_panels(q, panel, 1, act, stride, 0, k, cols, out, out_stride);                                           \
    }                                                                                                                \
    static const lb_panels panels_ops = { .most = PAIRS_PANELS, .run = run_panels };
