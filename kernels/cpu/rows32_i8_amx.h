/* rows32_i8_amx.h: rows32_i8.h's products of many columns with AMX's tiles: tdpbsud of codes by bytes with an offset.
 *
 * Tiles of weights come from L2 past L1 (tileloaddt1), which keeps the 32 columns that a run of panels meets. Sums
 * leave their tiles, and the next come into them, between the first products of the next panel, so that the unit that
 * multiplies does not wait for either (tests/bench/amx_limits.lua).
 *
 * The same exact int32 sums and the same f32 steps as without tiles, so the same bits. */
#pragma once
#include "amx_panel.h"

enum { I8_TILES_K = 1024, I8_AHEAD = 8192 };
_Static_assert(LB_PANELS_MOST * I8_ROWS * I8_TILES_K <= LB_TILES_SCRATCH, "expanded panels fit beside the sums");

/* What all blocks and panels of a product have in common; sums are [panels][cols][32]. */
typedef struct i8_columns {
    const char *act;
    size_t stride, step; /* step: 0 = rows, `stride` apart; else slabs (lb_panels.act_head) */
    int64_t k;
    int cols, count;
    const uint8_t *panels;
    int32_t *sums;
    float *out;
    int64_t out_stride;
} i8_columns;

/* Tiles of activations: rows `stride` apart, the next 64 of k `step` bytes on. */
typedef struct i8_tiles { const char *at; size_t stride, step; } i8_tiles;

LB_INLINE i8_tiles i8_tiles_of(const i8_columns *x, int c0, int64_t at) {
    const char *first = x->act + (size_t)c0 * x->stride;
    if (!x->step) return (i8_tiles){ first + sizeof(lb_act_i8_token) + at, x->stride, 64 };
    return (i8_tiles){ first + TILES_COLS * sizeof(lb_act_i8_token) + (size_t)at * TILES_COLS, 64, x->step };
}

/* Whole sums to results, a column's of all panels side by side: not between products, whose tiles' loads would wait for
 * stores to rows that are often a power of two apart. */
LB_INLINE void i8_results(const i8_format f, const i8_columns *x) {
    const size_t each = i8_panel_bytes(f, x->k), apart = x->step ? sizeof(lb_act_i8_token) : x->stride;
    for (int c = 0; c < x->cols; c++) {
        const lb_act_i8_token *a = i8_act(x->act + (size_t)(c / TILES_COLS * TILES_COLS) * x->stride, apart,
                                          c % TILES_COLS);
        const __m512i less = _mm512_set1_epi32(i8_offset(f) * a->sum);
        float *out = x->out + c * x->out_stride;
        const int32_t *sums = x->sums + c * I8_ROWS;
        for (int p = 0; p < x->count; p++, sums += x->cols * I8_ROWS)
            i8_finish(x->panels + (size_t)p * each, a, _mm512_sub_epi32(_mm512_load_si512(sums), less),
                      _mm512_sub_epi32(_mm512_load_si512(sums + 16), less), out + I8_ROWS * p);
    }
}

/* What is asked for meanwhile: the sums that come next, into L1; and of each step so many lines of weights and of
 * activations, into L2. */
typedef struct i8_soon { const int32_t *sums; const char *w, *a; int w_lines, a_lines; } i8_soon;

/* 64 k: what the tiles hold += two tiles of weights by one of columns or two. */
LB_INLINE void i8_step(const uint8_t *w, const char *low, const char *high, size_t stride, bool two) {
    LB_TILE_LOAD_ONCE(6, w, 128);
    LB_TILE_LOAD(4, low, stride);
    LB_TILE_SU(0, 4, 6);
    LB_TILE_LOAD_ONCE(7, w + 64, 128);
    LB_TILE_SU(1, 4, 7);
    if (!two) return;
    LB_TILE_LOAD(5, high, stride);
    LB_TILE_SU(2, 5, 6);
    LB_TILE_SU(3, 5, 7);
}

/* One tile's sums leave it for `to`, and those at `from` come into it, or zeros if they are the first. */
#define I8_TURN(t, to, from, first)                                                                                  \
    do {                                                                                                             \
        LB_TILE_STORE(t, to, 4 * I8_ROWS);                                                                           \
        if (first) LB_TILE_ZERO(t);                                                                                  \
        else LB_TILE_LOAD(t, from, 4 * I8_ROWS);                                                                     \
    } while (0)

/* acc[col][32] = or += (`first` or not) the products of `steps` times 64 k (one at least) with the columns that tiles
 * are open for. Sums stay in the tiles; those of the call before go to `before`. */
static __attribute__((noinline)) void i8_meet(const uint8_t *w, i8_tiles a, int64_t steps, bool two, bool first,
                                              const int32_t *acc, int32_t *before, i8_soon soon) {
    const char *low = a.at, *high = a.at + 16 * a.stride;
    const int sums_lines = (int)((TILES_COLS * I8_ROWS / 16 + steps - 1) / steps);
    enum { MORE = 16 * I8_ROWS };
    LB_TILE_LOAD_ONCE(6, w, 128);
    LB_TILE_LOAD(4, low, a.stride);
    LB_TILE_LOAD_ONCE(7, w + 64, 128);
    I8_TURN(0, before, acc, first);
    LB_TILE_SU(0, 4, 6);
    I8_TURN(1, before + 16, acc + 16, first);
    LB_TILE_SU(1, 4, 7);
    if (two) {
        LB_TILE_LOAD(5, high, a.stride);
        I8_TURN(2, before + MORE, acc + MORE, first);
        LB_TILE_SU(2, 5, 6);
        I8_TURN(3, before + MORE + 16, acc + MORE + 16, first);
        LB_TILE_SU(3, 5, 7);
    }
    for (int64_t i = 0; i < steps; i++) {
        if (i) i8_step(w + i * 64 * I8_ROWS, low + (size_t)i * a.step, high + (size_t)i * a.step, a.stride, two);
        for (int l = 0; l < sums_lines; l++, soon.sums += 16) _mm_prefetch((const char *)soon.sums, _MM_HINT_T0);
        for (int l = 0; l < soon.w_lines; l++, soon.w += 64) _mm_prefetch(soon.w, _MM_HINT_T1);
        for (int l = 0; l < soon.a_lines; l++, soon.a += 64) _mm_prefetch(soon.a, _MM_HINT_T1);
    }
}

/* While panel p meets the columns from c0 on in k [at, at + some): a share of its weights of the next k, and of the
 * next columns. */
LB_INLINE i8_soon i8_soon_of(const i8_format f, const i8_columns *x, int c0, int p, int64_t at, int64_t some) {
    const int tiles = (x->cols + TILES_COLS - 1) / TILES_COLS, all = (int)i8_codes_bytes(f, 64) / 64;
    const int lines = (all + tiles - 1) / tiles, columns = (TILES_COLS + x->count - 1) / x->count;
    const uint8_t *codes = x->panels + (size_t)p * i8_panel_bytes(f, x->k) + I8_HEAD;
    const int64_t later = at + (tiles == 1 ? I8_AHEAD / I8_ROWS : some);
    const char *next = c0 + TILES_COLS < x->cols ? i8_tiles_of(x, c0 + TILES_COLS, at).at
                                                  : i8_tiles_of(x, 0, at + some).at;
    const bool wrap = p + 1 == x->count;
    const int32_t *sums = x->sums + (size_t)((wrap ? 0 : p + 1) * x->cols + c0 + (wrap ? TILES_COLS : 0)) * I8_ROWS;
    return (i8_soon){ sums, (const char *)codes + i8_codes_bytes(f, later) + (size_t)(c0 / TILES_COLS * lines) * some,
                      next + (size_t)(p * columns) * (size_t)some, lines, x->step ? columns : 0 };
}

/* k [at, at + some) of all panels, whose bytes are at w[], meet all columns, TILES_COLS at a time: their activations
 * stay in L1 for all panels. */
LB_INLINE void i8_block(const i8_format f, const i8_columns *x, const uint8_t *const *w, int64_t at, int64_t some) {
    bool two = false;
    int32_t none[TILES_COLS * I8_ROWS] __attribute__((aligned(64))), *before = none; /* whose sums are in tiles */
    for (int c0 = 0, width = 0; c0 < x->cols; c0 += TILES_COLS) {
        const int n = x->cols - c0 < TILES_COLS ? x->cols - c0 : TILES_COLS;
        if (n != width) {
            if (width) tiles_store_sums(before, two);
            two = tiles_open_for(width = n), before = none;
        }
        for (int p = 0; p < x->count; p++) {
            int32_t *acc = x->sums + (size_t)(p * x->cols + c0) * I8_ROWS;
            i8_meet(w[p], i8_tiles_of(x, c0, at), some / 64, two, at == 0, acc, before,
                    i8_soon_of(f, x, c0, p, at, some));
            before = acc;
        }
    }
    tiles_store_sums(before, two);
}

/* Blocks of I8_TILES_K of all panels meet all columns before the next do, so that the columns come from L3 once for all
 * panels; few columns stay where they are anyway, and sums in their tiles. */
static void i8_panels(const i8_format f, const uint8_t *panels, int count, const void *act, size_t stride, size_t step,
                      int64_t k, int cols, float *out, int64_t out_stride) {
    const int64_t padded = lb_act_i8_token_padded(k);
    const int64_t block = f.bits == 8 && cols <= TILES_COLS && padded ? padded : I8_TILES_K;
    const size_t sums_bytes = (size_t)count * (size_t)cols * I8_ROWS * 4;
    const size_t bytes = f.bits == 4 ? (size_t)count * I8_ROWS * I8_TILES_K : 0;
    const i8_columns x = { act, stride, step, k, cols, count, panels, lb_scratch_take(sums_bytes), out, out_stride };
    uint8_t *expanded = lb_scratch_take(bytes);
    if (!padded) memset(x.sums, 0, sums_bytes);
    for (int64_t at = 0; at < padded; at += block) {
        const int64_t some = padded - at < block ? padded - at : block;
        const uint8_t *w[LB_PANELS_MOST];
        for (int p = 0; p < count; p++) {
            w[p] = panels + (size_t)p * i8_panel_bytes(f, k) + I8_HEAD + i8_codes_bytes(f, at);
            if (f.bits == 8) continue;
            uint8_t *to = expanded + (size_t)p * I8_ROWS * I8_TILES_K;
            i8_expand(w[p], some, to);
            w[p] = to;
        }
        i8_block(f, &x, w, at, some);
    }
    lb_tiles_close();
    i8_results(f, &x);
    lb_scratch_give(expanded, bytes);
    lb_scratch_give(x.sums, sums_bytes);
}

LB_INLINE void i8_run(const i8_format f, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                      float *out, int64_t out_stride);

LB_INLINE void i8_many(const i8_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols,
                       float *out, int64_t out_stride) {
    i8_panels(f, panel, 1, act, stride, 0, k, cols, out, out_stride);
}

LB_INLINE void i8_run_panels(const i8_format f, const uint8_t *panels, int count, const void *act, size_t stride,
                             size_t step, int64_t k, int cols, float *out, int64_t out_stride) {
    if (cols > I8_GEMV_COLS) {
        i8_panels(f, panels, count, act, stride, step, k, cols, out, out_stride);
        return;
    }
    for (int p = 0; p < count; p++, panels += i8_panel_bytes(f, k), out += I8_ROWS)
        i8_run(f, panels, act, stride, k, cols, out, out_stride);
}

#define I8_WITH "tdpbsud"
#define I8_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AMX_INT8)
