/* rows16_amx.h: rows16_gemm.h's products of many columns with AMX's tiles. 32 rows by 256 are expanded to bytes that
 * have the sub-blocks' scales in them, so that a product takes 64 of K, and f32 comes once for 256, as everywhere.
 *
 *   FOLDED   the scale times the code, with an offset, is one byte: tiles of 32 columns by 32 rows.
 *   else     its magnitude is 4096 at most (q6_k: -32 times -128), and it is 64 times one byte and another (0 .. 63):
 *            tiles of 32 columns by 16 rows, the sums of both apart until the end of the block. The codes' offset is
 *            taken off before, exactly: in int16, where the scale times the bare code has a magnitude of 8064 at most.
 *
 * Tiles of weights come from L2 past L1 (tileloaddt1), which keeps the 32 columns that the panels meet.
 *
 * The sums are the same integers as without tiles and f32 the same steps, so the bits are the same. */
#pragma once
#include "amx_i8.h"

enum { PLANES = FOLDED ? 1 : 2, PLANE_SHIFT = 6, CODES_OFFSET = CENTRED ? 32 : JOINT ? 128 : 0,
       MINIMA = PAIRS && !JOINT ? PAIRS : 0, STEPS_OF_64 = 4 };

typedef struct folded_block {
    /* Tiles of 16 rows by 64 of K, in the order of use: of each step both halves, or of a half each step's planes, of
     * which the one that counts 64-fold comes second. */
    __m512i w[PLANES * STEPS_OF_64 * HALVES][16];
    __m512i pair[MINIMA ? MINIMA : 1][HALVES];
    __m512 d[HALVES], dmin[HALVES];
} folded_block;

_Static_assert(sizeof(folded_block) * LB_PANELS_MOST <= LB_TILES_SCRATCH,
               "what panels are folded into fits beside the sums");

#if !FOLDED
/* The bytes of w, less CODES_OFFSET, times `scale` (two int16 a lane): as their low and their high byte. */
LB_INLINE void fold(__m512i w, __m512i scale, __m512i less, __m512i *low, __m512i *high) {
    const __m512i even = _mm512_set1_epi16(0xff);
    __m512i a = _mm512_mullo_epi16(_mm512_and_si512(w, even), scale);
    __m512i b = _mm512_mullo_epi16(_mm512_srli_epi16(w, 8), scale);
    if (CODES_OFFSET) a = _mm512_sub_epi16(a, less), b = _mm512_sub_epi16(b, less);
    /* even ? a : b, bit by bit */
    *low = _mm512_and_si512(_mm512_ternarylogic_epi32(even, a, _mm512_slli_epi16(b, 8), 0xca), lb_bytes(63));
    a = _mm512_srai_epi16(a, PLANE_SHIFT), b = _mm512_slli_epi16(b, 8 - PLANE_SHIFT);
    *high = _mm512_ternarylogic_epi32(even, a, b, 0xca);
}
#endif

/* Vector v (of 64) of a half's rows, in a plane. */
LB_INLINE __m512i *folded(folded_block *e, int h, int plane, int v) {
    return &e->w[FOLDED ? 2 * (v / 16) + h : 2 * (STEPS_OF_64 * h + v / 16) + plane][v % 16];
}

/* Rows 16 h .. 16 h + 15. */
static inline void fold_half(const uint8_t *block, const uint8_t *head, int h, folded_block *e) {
    block_regs regs;
    open_block(block, head, &regs);
    LB_UNROLL for (int s = 0; s < SUBS; s++) {
        __m512i w[SUB_VECTORS];
#if FOLDED
        folded_codes(block, &regs, s, w);
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++) *folded(e, h, 0, s * SUB_VECTORS + j) = w[j];
#else
        sub_codes(block, s, w);
        __m512i scale = sub_scale(&regs, s);
        scale = _mm512_mask_mov_epi16(scale, 0xaaaaaaaa, _mm512_slli_epi32(scale, 16));
        const __m512i less = _mm512_mullo_epi16(scale, _mm512_set1_epi16(CODES_OFFSET));
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++)
            fold(w[j], scale, less, folded(e, h, 0, s * SUB_VECTORS + j), folded(e, h, 1, s * SUB_VECTORS + j));
#endif
    }
#if PAIRS
    LB_UNROLL for (int i = 0; i < MINIMA; i++) e->pair[i][h] = min_pair(&regs, i);
#endif
    e->d[h] = regs.d;
    e->dmin[h] = regs.dmin;
}

/* Up to TILES_COLS columns of a block that meet 32 (FOLDED) or 16 rows of a panel. */
typedef struct job {
    const folded_block *e;
    const char *act;       /* the first column's block */
    size_t stride;
    int cols, half;
    float *acc;            /* of the first column; PANEL_ROWS floats each */
    int32_t (*sums)[16][16]; /* [4]: columns 0 to 15, then 16 to 31, of the first 16 rows or plane and the second */
} job;

/* The f32 step of rows 16 h .. 16 h + 15 of all columns, whose sums are in memory. What is the same for all of them is
 * loaded once: to the compiler every store may have changed it. */
LB_INLINE void finish_half(const job *x, int h) {
    const __m512 d = x->e->d[h], dmin = x->e->dmin[h];
    __m512i pair[MINIMA ? MINIMA : 1];
    LB_UNROLL for (int i = 0; i < MINIMA; i++) pair[i] = x->e->pair[i][h];
    float *acc = x->acc + 16 * h;
    for (int c = 0; c < x->cols; c++, acc += PANEL_ROWS) {
        const lb_act_q8_256 *a = (const lb_act_q8_256 *)(const void *)(x->act + (size_t)c * x->stride);
        __m512i sum = _mm512_load_si512(x->sums[c / 16 * 2 + (FOLDED ? h : 0)][c % 16]);
        __m512i minsum = _mm512_setzero_si512();
        if (!FOLDED) {
            const __m512i more = _mm512_load_si512(x->sums[c / 16 * 2 + 1][c % 16]);
            sum = _mm512_add_epi32(sum, _mm512_slli_epi32(more, PLANE_SHIFT));
        }
        LB_UNROLL for (int i = 0; i < MINIMA; i++) minsum = lb_dot2(minsum, pair[i], pair_sums(a, i));
        if (FOLDED && !PAIRS) sum = _mm512_add_epi32(sum, _mm512_set1_epi32(a->neg127));
        _mm512_store_ps(acc, add_block(_mm512_load_ps(acc), sum, minsum, d, dmin, a->d));
    }
}

LB_INLINE void finish(const job *x) {
    if (FOLDED) {
        finish_half(x, 0);
        finish_half(x, 1);
    } else {
        finish_half(x, x->half);
    }
}

#if FOLDED
#define K_PRODUCT LB_TILE_SU
#else
#define K_PRODUCT LB_TILE_SS
#endif

/* A job's sums, then the f32 step of the one before: what tiles have just stored is waited for. Between the products
 * both took longer than one after the other: tiles' loads seem to wait for the vectors' stores. Each step asks for
 * `lines` lines at `soon` into L2. */
static __attribute__((noinline)) void meet(const job *x, const job *before, uintptr_t soon, int lines) {
    const bool two = x->cols > 16;
    const char *a = x->act, *b = x->act + 16 * x->stride;
    const __m512i *w = x->e->w[FOLDED ? 0 : 2 * STEPS_OF_64 * x->half];
    LB_TILE_ZERO(0);
    LB_TILE_ZERO(1);
    LB_TILE_ZERO(2);
    LB_TILE_ZERO(3);
    for (int i = 0; i < STEPS_OF_64; i++, a += 64, b += 64, w += 32) {
        LB_TILE_LOAD_ONCE(6, w, 64);
        LB_TILE_LOAD_ONCE(7, w + 16, 64);
        LB_TILE_LOAD(4, a, x->stride);
        K_PRODUCT(0, 4, 6);
        K_PRODUCT(1, 4, 7);
        if (two) {
            LB_TILE_LOAD(5, b, x->stride);
            K_PRODUCT(2, 5, 6);
            K_PRODUCT(3, 5, 7);
        }
        for (int l = 0; l < lines; l++, soon += 64) _mm_prefetch((const char *)soon, _MM_HINT_T1);
    }
    LB_TILE_STORE(0, x->sums[0], 64);
    LB_TILE_STORE(1, x->sums[1], 64);
    if (two) LB_TILE_STORE(2, x->sums[2], 64);
    if (two) LB_TILE_STORE(3, x->sums[3], 64);
    finish(before);
}

/* What all blocks and panels of a product have in common. */
typedef struct tiles_columns {
    const char *act;
    size_t stride, step; /* to the next column, and to its next block */
    int64_t k;
    int cols, panels;
    const uint8_t *weights;
    float *acc;          /* [panels][cols][PANEL_ROWS] */
} tiles_columns;

/* Asks for a share of what the next block of both halves of a panel is expanded from. */
LB_INLINE void ask_for(const uint8_t *panel, int64_t k, int64_t b, int share, int shares) {
    const int lines = (int)(SHAPE.block_bytes / 64);
    for (int l = lines * share / shares; l < lines * (share + 1) / shares; l++)
        EACH_HALF _mm_prefetch((const char *)panel + lb_rows32_block_at(SHAPE, k, b, h) + 64 * l, _MM_HINT_T1);
}

/* All panels' products with block b of all columns, TILES_COLS at a time: their activations stay in L1 for all. */
static void meet_block(const tiles_columns *x, const folded_block *e, int64_t b) {
    int32_t sums[2][4][16][16] __attribute__((aligned(64)));
    job ring[2] = { { .e = e }, { .e = e } };
    const int shares = (x->cols + TILES_COLS - 1) / TILES_COLS, steps = x->panels * (FOLDED ? 1 : HALVES) * STEPS_OF_64;
    const bool side_by_side = x->step > x->stride; /* else the next columns' blocks lie whole rows apart */
    const int lines = side_by_side ? (int)(TILES_COLS * x->stride / 64 + (size_t)steps - 1) / steps : 0;
    int turn = 0;
    for (int c0 = 0, width = 0; c0 < x->cols; c0 += TILES_COLS) {
        const int n = x->cols - c0 < TILES_COLS ? x->cols - c0 : TILES_COLS;
        if (n != width) tiles_open_for(width = n);
        const char *act = x->act + (size_t)c0 * x->stride + (size_t)b * x->step;
        uintptr_t soon = n == x->cols - c0 ? (uintptr_t)x->act + (size_t)(b + 1) * x->step
                                           : (uintptr_t)act + TILES_COLS * x->stride;
        for (int p = 0; p < x->panels; p++) {
            ask_for(x->weights + (size_t)p * lb_rows32_panel_bytes(SHAPE, x->k), x->k, b + 1, c0 / TILES_COLS, shares);
            for (int h = 0; h < (FOLDED ? 1 : HALVES); h++, soon += (uintptr_t)(lines * STEPS_OF_64 * 64)) {
                job *now = &ring[turn];
                *now = (job){ .e = e + p, .act = act, .stride = x->stride, .cols = n, .half = h,
                              .acc = x->acc + (size_t)(p * x->cols + c0) * PANEL_ROWS,
                              .sums = sums[turn] };
                turn ^= 1;
                meet(now, &ring[turn], soon, lines);
            }
        }
    }
    finish(&ring[turn ^ 1]);
}

static void many_tiles(const void *panels, int count, const void *act, size_t stride, size_t step, int64_t k, int cols,
                        float *out, int64_t out_stride) {
    const size_t acc_bytes = (size_t)count * (size_t)cols * PANEL_ROWS * sizeof(float);
    const size_t block_bytes = (size_t)count * sizeof(folded_block);
    const tiles_columns x = { act, stride, step, k, cols, count, panels, lb_scratch_take(acc_bytes) };
    folded_block *e = lb_scratch_take(block_bytes);
    memset(x.acc, 0, acc_bytes);
    for (int64_t b = 0; b < k / 256; b++) {
        const uint8_t *panel = panels;
        for (int p = 0; p < count; p++, panel += lb_rows32_panel_bytes(SHAPE, k))
            EACH_HALF fold_half(panel + lb_rows32_block_at(SHAPE, k, b, h), panel + lb_rows32_head_at(SHAPE, k, b, h),
                                h, e + p);
        meet_block(&x, e, b);
    }
    lb_tiles_close();
    for (int c = 0; c < cols; c++)
        for (int p = 0; p < count; p++)
            EACH_HALF _mm512_storeu_ps(out + c * out_stride + PANEL_ROWS * p + 16 * h,
                                       _mm512_load_ps(x.acc + (size_t)(p * cols + c) * PANEL_ROWS + 16 * h));
    lb_scratch_give(e, block_bytes);
    lb_scratch_give(x.acc, acc_bytes);
}

/* Of fewer columns than this vpdpbusd is the faster way: to fold a block is more work than to expand it (measured,
 * 4096 x 4096: at 16 columns 0.73 times its rate for q4_k, at 48 0.96 to 1.15, at 512 1.2 to 1.4). */
enum { TILES_FROM = 64 };

static void many_either(const void *panels, int count, const void *act, size_t stride, size_t step, int64_t k, int cols,
                        float *out, int64_t out_stride) {
    if (cols < TILES_FROM) many_panels(panels, count, act, stride, step, k, cols, out, out_stride);
    else many_tiles(panels, count, act, stride, step, k, cols, out, out_stride);
}
#define ROWS16_MANY many_either

#if FOLDED
#define ROWS16_ABOUT(text)                                                                                           \
    "panels of 32 rows; up to 63 columns as without tiles; more: scales folded into byte codes, tdpbsud over 256, "   \
    "minima by vpdpwssd with sums of activations, f32 once per 256"
#else
#define ROWS16_ABOUT(text)                                                                                           \
    "panels of 32 rows; up to 63 columns as without tiles; more: scale times code as two bytes, tdpbssd of each "     \
    "over 256, minima by vpdpwssd with sums of activations, f32 once per 256"
#endif
/* A tile's rows are whole lines: with half a line between blocks every other one would be parts of two. */
#define ROWS16_APART 64
#define ROWS16_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AMX_INT8)
