/* rows16_amx.h: rows16_gemm.h's products of many columns with AMX's tiles. 32 rows by 256 are expanded to bytes that
 * have the sub-blocks' scales in them, so that a product takes 64 of K, and f32 comes once for 256, as everywhere.
 *
 *   FOLDED   the scale times the code, with an offset, is one byte: tiles of 32 columns by 32 rows.
 *   else     its magnitude is 4096 at most (q6_k: -32 times -128), and it is 64 times one byte and another (0 .. 63):
 *            tiles of 32 columns by 16 rows, the sums of both apart until the end of the block. The codes' offset is
 *            taken off before, exactly: in int16, where the scale times the bare code has a magnitude of 8064 at most.
 *
 * Minima of sub-blocks of 16 are one more product, with sums of their own (MINIMA_BY_TILE): of the activations' sums,
 * as 16 times one byte and another, by the minima times 16 and the minima.
 *
 * Tiles of weights come from L2 past L1 (tileloaddt1), which keeps the 32 columns that the panels meet. Sums leave
 * their tiles between the first products of the next job, and become f32 between those of the one after that
 * (measured, 16 products of 32 x 32 by 256, all in L1: 7.1 ns each, where all four stored after the last took 9.2).
 *
 * The sums are the same integers as without tiles and f32 the same steps, so the bits are the same. */
#pragma once
#include "amx_panel.h"

enum { PLANES = FOLDED ? 1 : 2, PLANE_SHIFT = 6, CODES_OFFSET = CENTRED ? 32 : JOINT ? 128 : 0,
       MINIMA_BY_TILE = FOLDED && PAIRS, MINIMA = PAIRS && !JOINT && !MINIMA_BY_TILE ? PAIRS : 0, STEPS_OF_64 = 4,
       TILES_OF_SUMS = MINIMA_BY_TILE ? 8 : 4,
       BLOCKS_TOGETHER = FOLDED ? 2 : 1 }; /* of a panel that 32 columns meet one after the other */

typedef struct folded_block {
    /* Tiles of 16 rows by 64 of K, in the order of use: of each step both halves, or of a half each step's planes, of
     * which the one that counts 64-fold comes second. */
    __m512i w[PLANES * STEPS_OF_64 * HALVES][16];
    __m512i minima[MINIMA_BY_TILE ? HALVES : 1][16]; /* rows 8 to 15 of a tile are zero */
    __m512i pair[MINIMA ? MINIMA : 1][HALVES];
    __m512 d[HALVES], dmin[HALVES];
} folded_block;

_Static_assert(sizeof(folded_block) * LB_PANELS_MOST * BLOCKS_TOGETHER <= LB_TILES_SCRATCH,
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

#if FOLDED && PAIRS
/* Sums of 16 codes are 2032 at most: 16 times one signed byte and another (0 .. 15). Those of a block stand in the
 * place of neg32, which nothing else reads here: first the low bytes, then the high ones, in the order of lb_scale4. */
enum { SUMS_AT = offsetof(lb_act_q8_256, neg32) };
static void prepare_sums(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    lb_act_q8_256_prepare(q, x, k, act);
    const __m128i turn = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    for (lb_act_q8_256 *b = act, *end = b + k / 256; b < end; b++) {
        const __m256i sums = _mm256_loadu_si256((const __m256i *)(const void *)b->sum16);
        const __m128i low = _mm256_cvtepi16_epi8(_mm256_and_si256(sums, _mm256_set1_epi16(15)));
        const __m128i high = _mm256_cvtepi16_epi8(_mm256_srai_epi16(sums, 4));
        __m128i *to = (__m128i *)(void *)b->neg32;
        _mm_storeu_si128(to, _mm_shuffle_epi8(low, turn));
        _mm_storeu_si128(to + 1, _mm_shuffle_epi8(high, turn));
        _mm_storeu_si128(to + 2, _mm_setzero_si128());
        _mm_storeu_si128(to + 3, _mm_setzero_si128());
    }
}
LB_INLINE void fold_minima(const block_regs *regs, __m512i *tile) {
    LB_UNROLL for (int i = 0; i < 4; i++) {
        tile[i] = min_bytes(regs, i);
        tile[4 + i] = _mm512_slli_epi32(tile[i], 4);
        tile[8 + i] = tile[12 + i] = _mm512_setzero_si512();
    }
}
#endif

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
#if FOLDED && PAIRS
    fold_minima(&regs, e->minima[h]);
#elif PAIRS && !JOINT
    LB_UNROLL for (int i = 0; i < MINIMA; i++) e->pair[i][h] = min_pair(&regs, i);
#endif
    e->d[h] = regs.d;
    e->dmin[h] = regs.dmin;
}

/* Up to TILES_COLS columns of a block that meet 32 (FOLDED) or 16 rows of a panel. */
typedef struct job {
    const folded_block *e;
    const char *act;         /* the first column's block */
    size_t stride;
    int cols, half;
    float *acc;              /* of the first column; PANEL_ROWS floats each */
    int32_t (*sums)[16][16]; /* [4]: columns 0 to 15, then 16 to 31, of the first 16 rows or plane and the second; then
                              * those of the minima */
} job;

/* A job's columns become f32 in four parts, between its successors' steps. */
enum { PART_COLS = TILES_COLS / 4 };

/* Columns [from, to) of part q: of a panel's 32 rows (FOLDED) or of the job's 16. What is the same for all columns is
 * loaded once, and what a column's rows share once a column: to the compiler every store may have changed it, and the
 * tiles' loads keep both load ports busy half of the time. */
LB_INLINE void finish_columns(const job *x, int q, int from, int to) {
    enum { TILES = FOLDED ? HALVES : 1 };
    const int half = FOLDED ? 0 : x->half;
    __m512 d[TILES], dmin[TILES];
    __m512i pair[MINIMA ? MINIMA : 1];
    LB_UNROLL for (int h = 0; h < TILES; h++) d[h] = x->e->d[half + h], dmin[h] = x->e->dmin[half + h];
    LB_UNROLL for (int i = 0; i < MINIMA; i++) pair[i] = x->e->pair[i][half];
    const size_t stride = x->stride;
    float *acc = x->acc + PANEL_ROWS * (PART_COLS * q + from) + 16 * half;
    const char *act = x->act + (size_t)(PART_COLS * q + from) * stride;
    const int32_t (*sums)[16] = (const int32_t (*)[16])(x->sums[q / 2 * 2] + q % 2 * PART_COLS + from);
    LB_UNROLL for (int c = from; c < to; c++, acc += PANEL_ROWS, act += stride, sums++) {
        const lb_act_q8_256 *a = (const lb_act_q8_256 *)(const void *)act;
        const float da = a->d;
        const __m512i start = _mm512_set1_epi32(FOLDED && !PAIRS ? a->neg127 : 0);
        LB_UNROLL for (int h = 0; h < TILES; h++) {
            __m512i sum = _mm512_load_si512(sums + 16 * h), minsum = _mm512_setzero_si512();
            if (!FOLDED) sum = _mm512_add_epi32(sum, _mm512_slli_epi32(_mm512_load_si512(sums + 16), PLANE_SHIFT));
            if (MINIMA_BY_TILE) minsum = _mm512_load_si512(sums + 16 * (4 + h));
            LB_UNROLL for (int i = 0; i < MINIMA; i++) minsum = lb_dot2(minsum, pair[i], pair_sums(a, i));
            if (FOLDED && !PAIRS) sum = _mm512_add_epi32(sum, start);
            _mm512_store_ps(acc + 16 * h, add_block(_mm512_load_ps(acc + 16 * h), sum, minsum, d[h], dmin[h], da));
        }
    }
}

/* Part q of a job's columns. */
LB_INLINE void finish_part(const job *x, int q) {
    const int left = x->cols - PART_COLS * q;
    if (left >= PART_COLS) {
        finish_columns(x, q, 0, PART_COLS);
    } else {
        _Pragma("GCC unroll 1") for (int c = 0; c < left; c++) finish_columns(x, q, c, c + 1);
    }
}

#if FOLDED
#define K_PRODUCT LB_TILE_SU
#else
#define K_PRODUCT LB_TILE_SS
#endif
/* The first product of tile t, whose sum so far leaves it. */
#define K_TURN(t, a, w, to)                                                                                          \
    LB_TILE_STORE(t, to, 64);                                                                                        \
    LB_TILE_ZERO(t);                                                                                                 \
    K_PRODUCT(t, a, w)

/* Two tiles of weights by those of columns from `a` on, the first of new sums: those in the tiles go to `sums`. */
LB_INLINE void turn(const __m512i *w, const char *a, size_t stride, bool two, int32_t (*sums)[16][16]) {
    LB_TILE_LOAD_ONCE(6, w, 64);
    LB_TILE_LOAD(4, a, stride);
    LB_TILE_LOAD_ONCE(7, w + 16, 64);
    K_TURN(0, 4, 6, sums[0]);
    K_TURN(1, 4, 7, sums[1]);
    if (!two) return;
    LB_TILE_LOAD(5, a + 16 * stride, stride);
    K_TURN(2, 5, 6, sums[2]);
    K_TURN(3, 5, 7, sums[3]);
}
/* The same, added to the sums. */
LB_INLINE void go_on(const __m512i *w, const char *a, size_t stride, bool two) {
    LB_TILE_LOAD_ONCE(6, w, 64);
    LB_TILE_LOAD(4, a, stride);
    LB_TILE_LOAD_ONCE(7, w + 16, 64);
    K_PRODUCT(0, 4, 6);
    K_PRODUCT(1, 4, 7);
    if (!two) return;
    LB_TILE_LOAD(5, a + 16 * stride, stride);
    K_PRODUCT(2, 5, 6);
    K_PRODUCT(3, 5, 7);
}
/* What the tiles hold: the last sums of a job. */
LB_INLINE void leave(const job *x) {
    int32_t (*sums)[16][16] = x->sums + TILES_OF_SUMS - 4;
    LB_TILE_STORE(0, sums[0], 64);
    LB_TILE_STORE(1, sums[1], 64);
    if (x->cols <= 16) return;
    LB_TILE_STORE(2, sums[2], 64);
    LB_TILE_STORE(3, sums[3], 64);
}

/* A job's products; meanwhile the sums of the `last` one leave their tiles, and those of the one `before` it become
 * f32. Each step asks for `lines` lines at `soon` into L2. */
static __attribute__((noinline)) void meet(const job *x, const job *last, const job *before, uintptr_t soon,
                                           int lines) {
    const bool two = x->cols > 16;
    const char *a = x->act;
    const __m512i *w = x->e->w[FOLDED ? 0 : 2 * STEPS_OF_64 * x->half];
    turn(w, a, x->stride, two, last->sums + TILES_OF_SUMS - 4);
    finish_part(before, 0);
    LB_UNROLL for (int i = 1; i < STEPS_OF_64; i++) {
        go_on(w + 32 * i, a + 64 * i, x->stride, two);
        finish_part(before, i);
        for (int l = 0; l < lines; l++, soon += 64) _mm_prefetch((const char *)soon, _MM_HINT_T1);
    }
#if FOLDED && PAIRS
    turn(x->e->minima[0], a + SUMS_AT, x->stride, two, x->sums);
#endif
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

/* The jobs whose sums are in tiles, or in memory and not yet f32. */
typedef struct pipeline {
    int32_t sums[2][TILES_OF_SUMS][16][16] __attribute__((aligned(64)));
    job last, before;
    int turn;
} pipeline;

/* A job more; its sums go to pipe->sums. */
LB_INLINE void pipe_in(pipeline *pipe, job now, uintptr_t soon, int lines) {
    now.sums = pipe->sums[pipe->turn ^= 1];
    meet(&now, &pipe->last, &pipe->before, soon, lines);
    pipe->before = pipe->last, pipe->last = now;
}

/* Those that are not done yet. */
static void pipe_out(pipeline *pipe) {
    leave(&pipe->last);
    for (int q = 0; q < 4; q++) finish_part(&pipe->before, q);
    for (int q = 0; q < 4; q++) finish_part(&pipe->last, q);
    pipe->last.cols = pipe->before.cols = 0;
}

/* Panels' products with blocks [b, b + blocks) of columns [c0, c0 + n), for which tiles are open; e[panel][block]. */
static void meet_columns(const tiles_columns *x, const folded_block *e, int64_t b, int blocks, int c0, int n,
                         pipeline *pipe) {
    const int shares = (x->cols + TILES_COLS - 1) / TILES_COLS, halves = FOLDED ? 1 : HALVES;
    const int steps = x->panels * halves * (STEPS_OF_64 - 1);
    const bool side_by_side = x->step > x->stride; /* else the next columns' blocks lie whole rows apart */
    const int lines = side_by_side ? (int)(TILES_COLS * x->stride / 64 + (size_t)steps - 1) / steps : 0;
    const char *act = x->act + (size_t)c0 * x->stride + (size_t)b * x->step;
    uintptr_t soon = n == x->cols - c0 ? (uintptr_t)x->act + (size_t)(b + blocks) * x->step
                                       : (uintptr_t)act + TILES_COLS * x->stride;
    for (int p = 0; p < x->panels; p++) {
        const uint8_t *panel = x->weights + (size_t)p * lb_rows32_panel_bytes(SHAPE, x->k);
        for (int i = 0; i < blocks; i++) ask_for(panel, x->k, b + blocks + i, c0 / TILES_COLS, shares);
        for (int h = 0; h < halves; h++, soon += (uintptr_t)(lines * (STEPS_OF_64 - 1) * 64))
            for (int i = 0; i < blocks; i++)
                pipe_in(pipe, (job){ .e = e + p * BLOCKS_TOGETHER + i, .act = act + (size_t)i * x->step,
                                     .stride = x->stride, .cols = n, .half = h,
                                     .acc = x->acc + (size_t)(p * x->cols + c0) * PANEL_ROWS },
                        soon + (uintptr_t)i * x->step, lines);
    }
}

/* All panels' products with blocks of all columns, TILES_COLS at a time: their activations stay in L1 for all. */
static void meet_blocks(const tiles_columns *x, const folded_block *e, int64_t b, int blocks) {
    pipeline pipe = { .last = { .e = e, .sums = pipe.sums[0] }, .before = { .e = e, .sums = pipe.sums[0] } };
    for (int c0 = 0, width = 0; c0 < x->cols; c0 += TILES_COLS) {
        const int n = x->cols - c0 < TILES_COLS ? x->cols - c0 : TILES_COLS;
        if (n != width) { /* what is in tiles would be lost */
            if (width) pipe_out(&pipe);
            tiles_open_for(width = n);
        }
        meet_columns(x, e, b, blocks, c0, n, &pipe);
    }
    pipe_out(&pipe);
}

static void many_tiles(const void *panels, int count, const void *act, size_t stride, size_t step, int64_t k, int cols,
                        float *out, int64_t out_stride) {
    const size_t acc_bytes = (size_t)count * (size_t)cols * PANEL_ROWS * sizeof(float);
    const size_t block_bytes = (size_t)count * BLOCKS_TOGETHER * sizeof(folded_block);
    const tiles_columns x = { act, stride, step, k, cols, count, panels, lb_scratch_take(acc_bytes) };
    folded_block *e = lb_scratch_take(block_bytes);
    memset(x.acc, 0, acc_bytes);
    for (int64_t b = 0, blocks = k / 256; b < blocks; b += BLOCKS_TOGETHER) {
        const int some = blocks - b < BLOCKS_TOGETHER ? (int)(blocks - b) : BLOCKS_TOGETHER;
        const uint8_t *panel = panels;
        for (int p = 0; p < count; p++, panel += lb_rows32_panel_bytes(SHAPE, k))
            for (int i = 0; i < some; i++)
                EACH_HALF fold_half(panel + lb_rows32_block_at(SHAPE, k, b + i, h),
                                    panel + lb_rows32_head_at(SHAPE, k, b + i, h), h, e + p * BLOCKS_TOGETHER + i);
        meet_blocks(&x, e, b, some);
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

#if FOLDED && PAIRS
#define ROWS16_MINIMA ", minima by a product more with sums of activations"
#elif PAIRS && !JOINT
#define ROWS16_MINIMA ", minima by vpdpwssd with sums of activations"
#else
#define ROWS16_MINIMA
#endif
#if FOLDED
#define ROWS16_FOLDED "scales folded into byte codes, tdpbsud over 256"
#else
#define ROWS16_FOLDED "scale times code as two bytes, tdpbssd of each over 256"
#endif
#define ROWS16_ABOUT(text)                                                                                           \
    "panels of 32 rows; up to 63 columns as without tiles; more: " ROWS16_FOLDED ROWS16_MINIMA ", f32 once per 256"
/* A tile's rows are whole lines: with half a line between blocks every other one would be parts of two. */
#define ROWS16_APART 64
#define ROWS16_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AMX_INT8)
#if FOLDED && PAIRS
#define ROWS16_PREPARE prepare_sums
#define ROWS16_ACT_KIND "q8_256/sums as bytes"
#else
#define ROWS16_PREPARE lb_act_q8_256_prepare
#define ROWS16_ACT_KIND LB_ACT_KIND_Q8_256
#endif
