/* rows32_i8_amx.h: rows32_i8.h's products of many columns with AMX's tiles: tdpbsud of codes by bytes with an offset.
 *
 * Tiles of weights come from L2 past L1 (tileloaddt1), which keeps the 32 columns that a run of panels meets. What a
 * block of K adds to the sums is stored in L1, and vectors add it to them, or make results of it, between the next
 * products: sums that go from memory to tiles and back take as long as eight products more.
 *
 * The same exact int32 sums and the same f32 steps as without tiles, so the same bits. */
#pragma once
#include "amx_i8.h"

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

/* What a block of K gave up to TILES_COLS columns of a panel, to be added. */
typedef struct i8_job {
    const uint8_t *panel;
    const char *heads;   /* the first column's; `apart` bytes to the next */
    size_t apart;
    int cols;
    bool first, last;    /* of K */
    int32_t *sums;
    float *out;
    int64_t out_stride;
    int32_t (*got)[I8_ROWS]; /* [TILES_COLS] */
} i8_job;

LB_INLINE void i8_add(const i8_format f, const i8_job *x, int c0, int c1) {
    for (int c = c0; c < c1 && c < x->cols; c++) {
        __m512i low = _mm512_load_si512(x->got[c]), high = _mm512_load_si512(x->got[c] + 16);
        int32_t *sums = x->sums + c * I8_ROWS;
        if (!x->first) {
            low = _mm512_add_epi32(low, _mm512_load_si512(sums));
            high = _mm512_add_epi32(high, _mm512_load_si512(sums + 16));
        }
        if (x->last) {
            const lb_act_i8_token *a = i8_act(x->heads, x->apart, c);
            const __m512i less = _mm512_set1_epi32(i8_offset(f) * a->sum);
            i8_finish(x->panel, a, _mm512_sub_epi32(low, less), _mm512_sub_epi32(high, less),
                      x->out + c * x->out_stride);
        } else {
            _mm512_store_si512(sums, low);
            _mm512_store_si512(sums + 16, high);
        }
    }
}

/* What is asked for into L2 meanwhile: of each step so many lines of weights and of activations. */
typedef struct i8_soon { const char *w, *a; int w_lines, a_lines; } i8_soon;

/* got = the products of `steps` times 64 k with the columns that tiles are open for. */
LB_INLINE void i8_meet(const i8_format f, const uint8_t *w, i8_tiles a, int64_t steps, bool two, int32_t (*got)[I8_ROWS],
                       i8_soon soon, const i8_job *before) {
    const char *low = a.at, *high = a.at + 16 * a.stride;
    const int each = steps ? (int)((TILES_COLS + steps - 1) / steps) : 0;
    LB_TILE_ZERO(0);
    LB_TILE_ZERO(1);
    LB_TILE_ZERO(2);
    LB_TILE_ZERO(3);
    for (int i = 0; i < steps; i++, w += 64 * I8_ROWS, low += a.step, high += a.step) {
        LB_TILE_LOAD_ONCE(6, w, 128);
        LB_TILE_LOAD_ONCE(7, w + 64, 128);
        LB_TILE_LOAD(4, low, a.stride);
        LB_TILE_SU(0, 4, 6);
        LB_TILE_SU(1, 4, 7);
        if (two) {
            LB_TILE_LOAD(5, high, a.stride);
            LB_TILE_SU(2, 5, 6);
            LB_TILE_SU(3, 5, 7);
        }
        for (int l = 0; l < soon.w_lines; l++, soon.w += 64) _mm_prefetch(soon.w, _MM_HINT_T1);
        for (int l = 0; l < soon.a_lines; l++, soon.a += 64) _mm_prefetch(soon.a, _MM_HINT_T1);
        i8_add(f, before, i * each, (i + 1) * each);
    }
    if (!steps) i8_add(f, before, 0, TILES_COLS);
    LB_TILE_STORE(0, got[0], 4 * I8_ROWS);
    LB_TILE_STORE(1, got[0] + 16, 4 * I8_ROWS);
    if (!two) return;
    LB_TILE_STORE(2, got[16], 4 * I8_ROWS);
    LB_TILE_STORE(3, got[16] + 16, 4 * I8_ROWS);
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
    return (i8_soon){ (const char *)codes + i8_codes_bytes(f, later) + (size_t)(c0 / TILES_COLS * lines) * some,
                      next + (size_t)(p * columns) * (size_t)some, lines, x->step ? columns : 0 };
}

typedef int32_t i8_got[2][TILES_COLS][I8_ROWS];

/* k [at, at + some) of all panels, whose bytes are at w[], meet all columns, TILES_COLS at a time: their activations
 * stay in L1 for all panels. */
LB_INLINE void i8_block(const i8_format f, const i8_columns *x, const uint8_t *const *w, int64_t at, int64_t some,
                        i8_got got, i8_job *before) {
    const size_t each = i8_panel_bytes(f, x->k);
    const bool last = at + some >= lb_act_i8_token_padded(x->k);
    bool two = false;
    for (int c0 = 0, width = 0; c0 < x->cols; c0 += TILES_COLS) {
        const int n = x->cols - c0 < TILES_COLS ? x->cols - c0 : TILES_COLS;
        if (n != width) two = tiles_open_for(width = n);
        for (int p = 0; p < x->count; p++) {
            float *out = x->out + I8_ROWS * p + c0 * x->out_stride;
            if (last) t32_results_soon(out, x->out_stride, n);
            const i8_job now = { .panel = x->panels + (size_t)p * each, .heads = x->act + (size_t)c0 * x->stride,
                                 .apart = x->step ? sizeof(lb_act_i8_token) : x->stride, .cols = n,
                                 .first = at == 0, .last = last,
                                 .sums = x->sums + (size_t)(p * x->cols + c0) * I8_ROWS, .out = out,
                                 .out_stride = x->out_stride, .got = before->got == got[0] ? got[1] : got[0] };
            i8_meet(f, w[p], i8_tiles_of(x, c0, at), some / 64, two, now.got, i8_soon_of(f, x, c0, p, at, some),
                    before);
            *before = now;
        }
    }
}

/* Blocks of I8_TILES_K of all panels meet all columns before the next do, so that the columns come from L3 once for all
 * panels; few columns stay where they are anyway, and sums in their tiles. */
static void i8_panels(const i8_format f, const uint8_t *panels, int count, const void *act, size_t stride, size_t step,
                      int64_t k, int cols, float *out, int64_t out_stride) {
    i8_got got __attribute__((aligned(64)));
    const int64_t padded = lb_act_i8_token_padded(k);
    const int64_t block = f.bits == 8 && cols <= TILES_COLS && padded ? padded : I8_TILES_K;
    const size_t sums_bytes = padded > block ? (size_t)count * (size_t)cols * I8_ROWS * 4 : 0;
    const size_t bytes = f.bits == 4 ? (size_t)count * I8_ROWS * I8_TILES_K : 0;
    const i8_columns x = { act, stride, step, k, cols, count, panels, lb_scratch_take(sums_bytes), out, out_stride };
    uint8_t *expanded = lb_scratch_take(bytes);
    i8_job before = { .cols = 0 };
    for (int64_t at = 0; at == 0 || at < padded; at += block) {
        const int64_t some = padded - at < block ? padded - at : block;
        const uint8_t *w[LB_PANELS_MOST];
        for (int p = 0; p < count; p++) {
            w[p] = panels + (size_t)p * i8_panel_bytes(f, k) + I8_HEAD + i8_codes_bytes(f, at);
            if (f.bits == 8) continue;
            uint8_t *to = expanded + (size_t)p * I8_ROWS * I8_TILES_K;
            i8_expand(w[p], some, to);
            w[p] = to;
        }
        i8_block(f, &x, w, at, some, got, &before);
    }
    i8_add(f, &before, 0, TILES_COLS);
    lb_tiles_close();
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
