/* sparse_i8_amx.h: products of many columns by sparse int8 weights in panels of 32 rows with AMX's tiles. The blocks of
 * 64 k that a panel has are written to scratch memory, dense and signed, 1024 k at a time, and tdpbssd multiplies them
 * by the same k of the columns; blocks that it has not are not visited.
 *
 * Sums are exact in int32 and the f32 steps are those of AVX-512, so are the bits. */
#pragma once
#include "amx_panel.h"
#include "rows32_i8.h"

enum { SPARSE_K = 1024, SPARSE_BLOCK = 64, SPARSE_BLOCKS = SPARSE_K / SPARSE_BLOCK };
_Static_assert(LB_PANELS_MOST * I8_ROWS * SPARSE_K <= LB_TILES_SCRATCH, "expanded panels fit beside the sums");

/* What a panel has of some k: blocks as tiles are (rows32_i8_pack.h, but signed), and which of the k they are. */
typedef struct sparse_blocks {
    uint8_t *codes;
    int count, place[SPARSE_BLOCKS];
    const uint8_t *next;     /* where the weights of the k after these stand, and about how many bytes they are */
    size_t next_bytes;
} sparse_blocks;

typedef struct sparse_format {
    size_t (*panel_bytes)(const lb_quantizer *q, int64_t k);
    /* k [at, at + some), `some` a multiple of 64 up to 1024, of a panel, to `to`, whose codes have room. */
    void (*expand)(const uint8_t *panel, int64_t k, int64_t at, int64_t some, sparse_blocks *to);
} sparse_format;

/* What all panels of a product have in common; sums are [panels][cols][32]. */
typedef struct sparse_columns {
    const char *act;
    size_t stride, step;     /* step: 0 = rows, `stride` apart; else slabs (lb_panels.act_head) */
    int64_t k;
    int cols, count;
    int32_t *sums;
} sparse_columns;

/* Rows of activations, `stride` apart, the next 64 of k `step` bytes on. */
typedef struct sparse_tiles { const char *at; size_t stride, step; } sparse_tiles;

LB_INLINE sparse_tiles sparse_tiles_of(const sparse_columns *x, int c0, int64_t at) {
    const char *first = x->act + (size_t)c0 * x->stride;
    if (!x->step) return (sparse_tiles){ first + sizeof(lb_act_i8_token) + at, x->stride, SPARSE_BLOCK };
    return (sparse_tiles){ first + TILES_COLS * sizeof(lb_act_i8_token) + (size_t)at * TILES_COLS, 64, x->step };
}

/* Lines that are asked for into L2 meanwhile, `each` a step. */
typedef struct sparse_soon { const char *at; int each; } sparse_soon;
LB_INLINE void sparse_ask(sparse_soon *s) {
    for (const char *end = s->at + 64 * s->each; s->at < end; s->at += 64) _mm_prefetch(s->at, _MM_HINT_T1);
}

/* acc[col][32] = or += (`first` or not) the products with the columns that tiles are open for. */
static __attribute__((noinline)) void sparse_meet(const sparse_blocks *w, sparse_tiles a, bool two, bool first,
                                                  int32_t *acc, sparse_soon weights, sparse_soon columns) {
    int32_t *more = acc + 16 * I8_ROWS;
    if (first) {
        tiles_zero_sums();
    } else {
        LB_TILE_LOAD(0, acc, 4 * I8_ROWS);
        LB_TILE_LOAD(1, acc + 16, 4 * I8_ROWS);
        if (two) LB_TILE_LOAD(2, more, 4 * I8_ROWS);
        if (two) LB_TILE_LOAD(3, more + 16, 4 * I8_ROWS);
    }
    for (int i = 0; i < w->count; i++) {
        const char *low = a.at + (size_t)w->place[i] * a.step;
        const uint8_t *codes = w->codes + i * SPARSE_BLOCK * I8_ROWS;
        LB_TILE_LOAD_ONCE(6, codes, 128);
        LB_TILE_LOAD_ONCE(7, codes + 64, 128);
        LB_TILE_LOAD(4, low, a.stride);
        LB_TILE_SS(0, 4, 6);
        LB_TILE_SS(1, 4, 7);
        if (two) {
            LB_TILE_LOAD(5, low + 16 * a.stride, a.stride);
            LB_TILE_SS(2, 5, 6);
            LB_TILE_SS(3, 5, 7);
        }
        sparse_ask(&weights);
        sparse_ask(&columns);
    }
    tiles_store_sums(acc, two);
}

/* k [at, at + some) of all panels meet all columns, TILES_COLS at a time: their activations stay in L1 for all
 * panels. Each step asks for a share of the weights of the next k, and of the next columns where they are slabs. */
LB_INLINE void sparse_chunk(const sparse_columns *x, const sparse_blocks *w, int64_t at, int64_t some) {
    const int tiles = (x->cols + TILES_COLS - 1) / TILES_COLS;
    bool two = false;
    for (int c0 = 0, width = 0; c0 < x->cols; c0 += TILES_COLS) {
        const int n = x->cols - c0 < TILES_COLS ? x->cols - c0 : TILES_COLS;
        const bool last = c0 + TILES_COLS >= x->cols;
        const char *next = sparse_tiles_of(x, last ? 0 : c0 + TILES_COLS, last ? at + some : at).at;
        const int64_t lines = x->step ? TILES_COLS * some / SPARSE_BLOCK : 0;
        if (n != width) two = tiles_open_for(width = n);
        for (int p = 0; p < x->count; p++) {
            const int steps = w[p].count ? w[p].count : 1, all = (int)(w[p].next_bytes / 64);
            const int64_t l0 = lines * p / x->count, l1 = lines * (p + 1) / x->count;
            const sparse_soon weights = { (const char *)w[p].next + 64 * (all * (c0 / TILES_COLS) / tiles),
                                          (all / tiles + steps) / steps };
            const sparse_soon columns = { next + 64 * l0, (int)((l1 - l0 + steps - 1) / steps) };
            sparse_meet(&w[p], sparse_tiles_of(x, c0, at), two, at == 0,
                        x->sums + (size_t)(p * x->cols + c0) * I8_ROWS, weights, columns);
        }
    }
}

/* Whole sums to results, a column's of all panels side by side. */
LB_INLINE void sparse_results(const sparse_columns *x, const uint8_t *panels, size_t each, float *out,
                              int64_t out_stride) {
    const size_t apart = x->step ? sizeof(lb_act_i8_token) : x->stride;
    for (int c = 0; c < x->cols; c++, out += out_stride) {
        const lb_act_i8_token *a = i8_act(x->act + (size_t)(c / TILES_COLS * TILES_COLS) * x->stride, apart,
                                          c % TILES_COLS);
        for (int p = 0; p < x->count; p++) {
            const int32_t *sums = x->sums + (size_t)(p * x->cols + c) * I8_ROWS;
            i8_finish(panels + (size_t)p * each, a, _mm512_load_si512(sums), _mm512_load_si512(sums + 16),
                      out + I8_ROWS * p);
        }
    }
}

/* `count` panels that stand one behind the other, times more columns than few() takes: lb_panels.run. */
static void sparse_panels(const sparse_format *f, const lb_quantizer *q, const uint8_t *panels, int count,
                          const void *act, size_t stride, size_t step, int64_t k, int cols, float *out,
                          int64_t out_stride) {
    const int64_t padded = lb_act_i8_token_padded(k);
    const size_t each = f->panel_bytes(q, k), sums_bytes = (size_t)count * (size_t)cols * I8_ROWS * 4;
    const size_t bytes = (size_t)count * I8_ROWS * SPARSE_K;
    const sparse_columns x = { act, stride, step, k, cols, count, lb_scratch_take(sums_bytes) };
    sparse_blocks w[LB_PANELS_MOST];
    uint8_t *codes = lb_scratch_take(bytes);
    for (int64_t at = 0; at < padded; at += SPARSE_K) {
        const int64_t some = padded - at < SPARSE_K ? padded - at : SPARSE_K;
        for (int p = 0; p < count; p++) {
            w[p].codes = codes + (size_t)p * I8_ROWS * SPARSE_K;
            f->expand(panels + (size_t)p * each, k, at, some, &w[p]);
        }
        sparse_chunk(&x, w, at, some);
    }
    lb_tiles_close();
    sparse_results(&x, panels, each, out, out_stride);
    lb_scratch_give(codes, bytes);
    lb_scratch_give(x.sums, sums_bytes);
}

/* run(), run_panels(), layout, panels and driver of a file from few(), panel_bytes(), repack() and expand(). */
#define LB_SPARSE_I8_PANELS(...)                                                                                     \
    static const sparse_format sparse = { panel_bytes, expand };                                                     \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        sparse_panels(&sparse, q, panels, count, act, stride, step, k, cols, out, out_stride);                       \
    }                                                                                                                \
    LB_INLINE void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,       \
                        int64_t out_stride) {                                                                        \
        sparse_panels(&sparse, NULL, panel, 1, act, stride, 0, k, cols, out, out_stride);                            \
    }                                                                                                                \
    LB_ROWS32_RUN                                                                                                    \
    static const lb_panels panels_ops = { .most = LB_PANELS_MOST, .run = run_panels,                                 \
                                          .act_head = sizeof(lb_act_i8_token) };                                     \
    LB_ROWS32_PANELS_OF(__VA_ARGS__, &panels_ops)
