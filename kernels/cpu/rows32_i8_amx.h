/* rows32_i8_amx.h: rows32_i8.h's products of many columns with AMX's tiles: tdpbsud of codes by bytes with an offset.
 *
 * The same exact int32 sums and the same f32 steps as without tiles, so the same bits. */
#pragma once
#include "amx_i8.h"

_Static_assert(LB_PANELS_MOST * I8_ROWS * I8_BLOCK_K <= LB_TILES_SCRATCH, "expanded panels fit beside the sums");

/* What all blocks and panels of a product have in common; sums are [panels][cols][32]. */
typedef struct i8_columns {
    const char *act;
    size_t stride;
    int64_t k;
    int cols;
    int32_t *sums;
    float *out;
    int64_t out_stride;
} i8_columns;

/* What is asked for while a panel meets columns: the sums and the weights that come next, and of each step `lines`
 * lines at `later`. */
typedef struct i8_soon { const int32_t *sums; const uint8_t *w, *later; int lines; } i8_soon;
enum { I8_AHEAD = 8192, I8_STEPS_AHEAD = 2 };

/* acc[col][32] = or += (`first` or not) the products of `steps` times 64 k with the columns that tiles are open for. */
static __attribute__((noinline)) void i8_meet(const uint8_t *w, const int8_t *a, size_t stride, int64_t steps, bool two,
                                              bool first, int32_t *acc, i8_soon soon) {
    const int8_t *b = a + 16 * stride;
    int32_t *low = acc, *high = acc + 16 * I8_ROWS;
    if (first) {
        LB_TILE_ZERO(0);
        LB_TILE_ZERO(1);
        LB_TILE_ZERO(2);
        LB_TILE_ZERO(3);
    } else {
        LB_TILE_LOAD(0, low, 4 * I8_ROWS);
        LB_TILE_LOAD(1, low + 16, 4 * I8_ROWS);
        if (two) LB_TILE_LOAD(2, high, 4 * I8_ROWS);
        if (two) LB_TILE_LOAD(3, high + 16, 4 * I8_ROWS);
    }
    for (int64_t i = 0; i < steps; i++, w += 64 * I8_ROWS, a += 64, b += 64) {
        const int64_t then = i + I8_STEPS_AHEAD;
        const uint8_t *ahead = then < steps ? w + I8_STEPS_AHEAD * 64 * I8_ROWS
                                            : soon.w + (then - steps) * 64 * I8_ROWS;
        LB_UNROLL for (int l = 0; l < I8_ROWS; l++) _mm_prefetch((const char *)ahead + 64 * l, _MM_HINT_T0);
        LB_TILE_LOAD(6, w, 128);
        LB_TILE_LOAD(4, a, stride);
        LB_TILE_SU(0, 4, 6);
        LB_TILE_LOAD(7, w + 64, 128);
        LB_TILE_SU(1, 4, 7);
        for (int l = 0; l < 8 && i < 8; l++, soon.sums += 16) _mm_prefetch((const char *)soon.sums, _MM_HINT_T0);
        for (int l = 0; l < soon.lines; l++, soon.later += 64) _mm_prefetch((const char *)soon.later, _MM_HINT_T1);
        if (!two) continue;
        LB_TILE_LOAD(5, b, stride);
        LB_TILE_SU(2, 5, 6);
        LB_TILE_SU(3, 5, 7);
    }
    LB_TILE_STORE(0, low, 4 * I8_ROWS);
    LB_TILE_STORE(1, low + 16, 4 * I8_ROWS);
    if (!two) return;
    LB_TILE_STORE(2, high, 4 * I8_ROWS);
    LB_TILE_STORE(3, high + 16, 4 * I8_ROWS);
}

/* Columns [c0, c1)'s sums of a panel to results. */
LB_INLINE void i8_results(const i8_format f, const uint8_t *panel, const i8_columns *x, const int32_t *sums, int c0,
                          int c1, float *out) {
    for (int c = c0; c < c1; c++, sums += I8_ROWS) {
        const lb_act_i8_token *a = i8_act(x->act, x->stride, c);
        const __m512i less = _mm512_set1_epi32(i8_offset(f) * a->sum);
        i8_finish(panel, a, _mm512_sub_epi32(_mm512_load_si512(sums), less),
                  _mm512_sub_epi32(_mm512_load_si512(sums + 16), less), out + c * x->out_stride);
    }
}

/* k [at, at + some) of all panels, whose bytes are at w[], meet all columns, TILES_COLS at a time: their activations
 * stay in L1 for all panels. */
LB_INLINE void i8_block(const i8_format f, const uint8_t *panels, int count, const uint8_t *const *w, int64_t at,
                        int64_t some, const i8_columns *x) {
    const size_t each = i8_panel_bytes(f, x->k);
    const bool last = at + some >= lb_act_i8_token_padded(x->k);
    const int tiles = (x->cols + TILES_COLS - 1) / TILES_COLS, all = (int)i8_codes_bytes(f, 64) / 64;
    const int lines = (all + tiles - 1) / tiles;
    bool two = false;
    for (int c0 = 0, width = 0; c0 < x->cols; c0 += TILES_COLS) {
        const int n = x->cols - c0 < TILES_COLS ? x->cols - c0 : TILES_COLS;
        if (n != width) two = tiles_open_for(width = n);
        for (int p = 0; p < count; p++) {
            int32_t *sums = x->sums + (size_t)(p * x->cols + c0) * I8_ROWS;
            const uint8_t *codes = panels + (size_t)p * each + I8_HEAD + i8_codes_bytes(f, at);
            float *out = x->out + I8_ROWS * p;
            if (last) t32_results_soon(out + c0 * x->out_stride, x->out_stride, n);
            const i8_soon soon = { sums + (p + 1 < count ? x->cols * I8_ROWS : 0), w[p + 1 < count ? p + 1 : 0],
                                   codes + i8_codes_bytes(f, tiles == 1 ? I8_AHEAD / I8_ROWS : some) +
                                       (size_t)(c0 / TILES_COLS * lines) * 64 * (size_t)(some / 64), lines };
            i8_meet(w[p], i8_act(x->act, x->stride, c0)->q + at, x->stride, some / 64, two, at == 0, sums, soon);
            if (last) i8_results(f, panels + (size_t)p * each, x, sums, c0, c0 + n, out);
        }
    }
}

/* Blocks of I8_BLOCK_K of all panels meet all columns before the next do, so that the columns come from L3 once for all
 * panels; few columns stay where they are anyway, and sums in their tiles. */
static void i8_panels(const i8_format f, const uint8_t *panels, int count, const void *act, size_t stride, int64_t k,
                      int cols, float *out, int64_t out_stride) {
    const int64_t padded = lb_act_i8_token_padded(k);
    const int64_t step = f.bits == 8 && cols <= TILES_COLS && padded ? padded : I8_BLOCK_K;
    const size_t sums_bytes = (size_t)count * (size_t)cols * I8_ROWS * 4;
    const size_t bytes = f.bits == 4 ? (size_t)count * I8_ROWS * I8_BLOCK_K : 0;
    const i8_columns x = { act, stride, k, cols, lb_scratch_take(sums_bytes), out, out_stride };
    uint8_t *expanded = lb_scratch_take(bytes);
    for (int64_t at = 0; at == 0 || at < padded; at += step) {
        const int64_t some = padded - at < step ? padded - at : step;
        const uint8_t *w[LB_PANELS_MOST];
        for (int p = 0; p < count; p++) {
            w[p] = panels + (size_t)p * i8_panel_bytes(f, k) + I8_HEAD + i8_codes_bytes(f, at);
            if (f.bits == 8) continue;
            uint8_t *to = expanded + (size_t)p * I8_ROWS * I8_BLOCK_K;
            i8_expand(w[p], some, to);
            w[p] = to;
        }
        i8_block(f, panels, count, w, at, some, &x);
    }
    lb_tiles_close();
    lb_scratch_give(expanded, bytes);
    lb_scratch_give(x.sums, sums_bytes);
}

LB_INLINE void i8_run(const i8_format f, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                      float *out, int64_t out_stride);

LB_INLINE void i8_many(const i8_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols,
                       float *out, int64_t out_stride) {
    i8_panels(f, panel, 1, act, stride, k, cols, out, out_stride);
}

LB_INLINE void i8_run_panels(const i8_format f, const uint8_t *panels, int count, const void *act, size_t stride,
                             int64_t k, int cols, float *out, int64_t out_stride) {
    if (cols > I8_GEMV_COLS) {
        i8_panels(f, panels, count, act, stride, k, cols, out, out_stride);
        return;
    }
    for (int p = 0; p < count; p++, panels += i8_panel_bytes(f, k), out += I8_ROWS)
        i8_run(f, panels, act, stride, k, cols, out, out_stride);
}

#define I8_WITH "tdpbsud"
#define I8_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AMX_INT8)
