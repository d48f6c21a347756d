/* rows16_many.h: rows16_gemm.h's products of many columns without AMX's tiles: 32 x 256 are expanded to bytes in L1
 * once and meet all of them.
 *
 * A tile is two vectors of rows times 6 or 12 columns, in assembly (tile32x6.h, tile32.h): an activation is broadcast
 * to a register once for both, which leaves the load ports idle enough for the multipliers to be the limit. */
#pragma once

typedef struct expanded {
    __m512i w[64][HALVES];
    __m512i scale[SUBS][HALVES];
    __m512i pair[PAIRS ? PAIRS : 1][HALVES];
    __m512 d[HALVES], dmin[HALVES]; /* the tiles find dmin behind d */
#if FITS
    __m512i waiting[6][HALVES];       /* a tile's sums of the first of two sub-blocks: behind d and dmin too */
    __m512i joined[SUBS / 2][HALVES]; /* two int16 a lane: the scales of sub-blocks 2i + 1 (low) and 2i */
#endif
} expanded;

/* Rows 16 h .. 16 h + 15. */
LB_INLINE void expand(const uint8_t *block, const uint8_t *head, int h, expanded *e) {
    block_regs regs;
    open_block(block, head, &regs);
    LB_UNROLL for (int s = 0; s < SUBS; s++) {
        __m512i w[SUB_VECTORS];
#if FOLDED
        folded_codes(block, &regs, s, w);
#else
        sub_codes(block, s, w);
        e->scale[s][h] = sub_scale(&regs, s);
#endif
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++) e->w[s * SUB_VECTORS + j][h] = w[j];
    }
#if PAIRS
    LB_UNROLL for (int i = 0; i < PAIRS; i++) e->pair[i][h] = min_pair(&regs, i);
#endif
    e->d[h] = regs.d;
    e->dmin[h] = regs.dmin;
}

/* What tiles read of a block of activations: sums of 16 or 32 and d, from the end of its codes on. */
_Static_assert(offsetof(lb_act_q8_256, neg32) == 256 && offsetof(lb_act_q8_256, sum16) == 256 + 64 &&
               offsetof(lb_act_q8_256, sum32) == 256 + 96 && offsetof(lb_act_q8_256, d) == 256 + 112 &&
               offsetof(lb_act_q8_256, neg127) == 256 + 116 && sizeof(lb_act_q8_256) == 384, "as the tiles have it");
#define K_VECTORS(of, i) "vmovdqa64 128*" #i "(%[" #of "]), %%zmm30\n\tvmovdqa64 64+128*" #i "(%[" #of "]), %%zmm31\n\t"

#if FOLDED
/* A tile has twelve columns, whose sums take all registers: those of the minima are formed first and kept in memory. */
#if PAIRS
#define K_MIN(n, i) K_VECTORS(pair, i) T32_##n(T32_DOT, "vpdpwssd", 256+64+4*i)
#define K_MINIMA(n)                                                                                                  \
    T32_##n(T32_ZERO, ) K_MIN(n, 0) K_MIN(n, 1) K_MIN(n, 2) K_MIN(n, 3) K_MIN(n, 4) K_MIN(n, 5) K_MIN(n, 6)           \
    K_MIN(n, 7) T32_##n(K_STORE, ) T32_##n(T32_ZERO, )
#define K_LESS_MINIMA(n) K_VECTORS(times, 1) T32_##n(K_LESS, )
_Static_assert(PAIRS == 8 && !JOINT, "as K_MINIMA has it");
#else
#define K_MINIMA(n) T32_##n(K_START, 256+116)
#define K_LESS_MINIMA(n)
#endif
#define K_START(low, high, temp, other, address, at, from)                                                           \
    "vpbroadcastd " #from address ", %%zmm" #low "\n\tvmovdqa64 %%zmm" #low ", %%zmm" #high "\n\t"
#define K_STORE(low, high, temp, other, address, at, ...)                                                            \
    "vmovdqa64 %%zmm" #low ", " #at "(%[kept])\n\tvmovdqa64 %%zmm" #high ", 64+" #at "(%[kept])\n\t"
/* Sums as floats times d (zmm30, zmm31); less those of the minima times dmin; acc += that times the activations' d. */
#define K_TIMES(low, high, temp, other, address, at, ...)                                                            \
    "vcvtdq2ps %%zmm" #low ", %%zmm" #low "\n\tvcvtdq2ps %%zmm" #high ", %%zmm" #high "\n\t"                         \
    "vmulps %%zmm" #low ", %%zmm30, %%zmm" #low "\n\tvmulps %%zmm" #high ", %%zmm31, %%zmm" #high "\n\t"
#define K_LESS(low, high, temp, other, address, at, ...)                                                             \
    "vcvtdq2ps " #at "(%[kept]), %%zmm" #temp "\n\tvcvtdq2ps 64+" #at "(%[kept]), %%zmm" #other "\n\t"                \
    "vfnmadd231ps %%zmm" #temp ", %%zmm30, %%zmm" #low "\n\tvfnmadd231ps %%zmm" #other ", %%zmm31, %%zmm" #high "\n\t"
#define K_ADD(low, high, temp, other, address, at, from)                                                             \
    "vbroadcastss " #from address ", %%zmm" #temp "\n\t"                                                             \
    "vfmadd213ps " #at "(%[acc]), %%zmm" #temp ", %%zmm" #low "\n\tvmovaps %%zmm" #low ", " #at "(%[acc])\n\t"       \
    "vfmadd213ps 64+" #at "(%[acc]), %%zmm" #temp ", %%zmm" #high "\n\tvmovaps %%zmm" #high ", 64+" #at "(%[acc])\n\t"

/* Adds one block's products of n columns to acc[c][32]; asks for what is read after it, from `next` on. */
#define K_TILE(n)                                                                                                    \
    static __attribute__((noinline)) void tile_##n(const expanded *e, const lb_act_q8_256 *act, size_t s, float *acc, \
                                                   const void *next) {                                               \
        const char *a = (const char *)act, *b = a + 3 * s, *c = b + 3 * s, *d = c + 3 * s;                           \
        const void *w = e->w;                                                                                        \
        float kept[PAIRS ? PANEL_ROWS * TILE_COLS : 1] __attribute__((aligned(64)));                                 \
        int64_t fours = 16, far = (const char *)next - a, far1 = far + (int64_t)s, far2 = far1 + (int64_t)s;         \
        __asm__ volatile(K_MINIMA(n) ".p2align 6\n1:\n\t" T32_ASK_##n T32_FOUR_STEPS(n, "vpdpbusd")                  \
                         "dec %[fours]\n\tjnz 1b\n\t" T32_ASK_##n                                                    \
                         "add $64, %[far]\n\tadd $64, %[far1]\n\tadd $64, %[far2]\n\t" T32_ASK_##n                   \
                         K_VECTORS(times, 0) T32_##n(K_TIMES, ) K_LESS_MINIMA(n) T32_##n(K_ADD, 112)                 \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [fours] "+r"(fours),     \
                           [far] "+r"(far), [far1] "+r"(far1), [far2] "+r"(far2)                                     \
                         : [s] "r"(s), [acc] "r"(acc), [kept] "r"(kept), [times] "r"(e->d), [pair] "r"(e->pair)      \
                         : T32_CLOBBERS);                                                                            \
    }
#define K_EACH T32_EACH
#else
/* A tile has six columns, whose totals stay in registers beside the sums of the sub-block in hand. */
#if SUBS == 8
#define K_STEPS(n) T6_FOUR_STEPS(n, "vpdpbusd") T6_FOUR_STEPS(n, "vpdpbusd")
#define K_ASK_ON T6_ASK_ON(48)
#define K_FAR_ON "sub $32-4, %[far]\n\t"
#else
#define K_STEPS(n) T6_FOUR_STEPS(n, "vpdpbusd")
#define K_ASK_ON T6_ASK_ON(24)
#define K_FAR_ON "sub $16-4, %[far]\n\t"
#endif
/* Sums start at nothing, or at the neg32 of the sub-block, which is `far` from its codes. */
#if CENTRED
#define K_START(n)                                                                                                   \
    "add %[far], %[a]\n\tadd %[far], %[b]\n\t" T6_##n(T6_START, ) "sub %[far], %[a]\n\tsub %[far], %[b]\n\t" K_FAR_ON
#else
#define K_START(n) T6_##n(T6_ZERO, )
#endif
/* Totals += sums times the scales in zmm30 and zmm31, in integers. */
#define K_SCALE(low, high, tlow, thigh, temp, other, address, at, ...)                                               \
    "vpmulld %%zmm" #low ", %%zmm30, %%zmm" #low "\n\tvpmulld %%zmm" #high ", %%zmm31, %%zmm" #high "\n\t"           \
    "vpaddd %%zmm" #low ", %%zmm" #tlow ", %%zmm" #tlow "\n\t"                                                       \
    "vpaddd %%zmm" #high ", %%zmm" #thigh ", %%zmm" #thigh "\n\t"
/* Totals as floats times d; less the sums of the minima as floats times dmin, or before that as integers. */
#define K_TIMES(low, high, tlow, thigh, temp, other, address, at, ...)                                               \
    "vcvtdq2ps %%zmm" #tlow ", %%zmm" #tlow "\n\tvcvtdq2ps %%zmm" #thigh ", %%zmm" #thigh "\n\t"                     \
    "vmulps %%zmm" #tlow ", %%zmm30, %%zmm" #tlow "\n\tvmulps %%zmm" #thigh ", %%zmm31, %%zmm" #thigh "\n\t"
#define K_LESS(low, high, tlow, thigh, temp, other, address, at, ...)                                                \
    "vcvtdq2ps %%zmm" #low ", %%zmm" #low "\n\tvcvtdq2ps %%zmm" #high ", %%zmm" #high "\n\t"                         \
    "vfnmadd231ps %%zmm" #low ", %%zmm30, %%zmm" #tlow "\n\tvfnmadd231ps %%zmm" #high ", %%zmm31, %%zmm" #thigh "\n\t"
#define K_LESS_JOINT(low, high, tlow, thigh, temp, other, address, at, ...)                                          \
    "vpsubd %%zmm" #low ", %%zmm" #tlow ", %%zmm" #tlow "\n\t"                                                       \
    "vpsubd %%zmm" #high ", %%zmm" #thigh ", %%zmm" #thigh "\n\t"
#define K_MIN(n, i) K_VECTORS(pair, i) T6_##n(T6_DOT, "vpdpwssd", 96+4*i)
#define K_MINIMA(n) T6_##n(T6_ZERO, ) K_MIN(n, 0) K_MIN(n, 1) K_MIN(n, 2) K_MIN(n, 3)
_Static_assert(PAIRS == 0 || PAIRS == 4, "as K_MINIMA has it");
#if !PAIRS
#define K_CLOSE(n) K_VECTORS(times, 0) T6_##n(K_TIMES, )
#elif JOINT
#define K_CLOSE(n) K_MINIMA(n) T6_##n(K_LESS_JOINT, ) K_VECTORS(times, 0) T6_##n(K_TIMES, )
#else
#define K_CLOSE(n) K_MINIMA(n) K_VECTORS(times, 0) T6_##n(K_TIMES, ) K_VECTORS(times, 1) T6_##n(K_LESS, )
#endif

#define K_SUB_BLOCK(n) K_START(n) T6_ASK_##n K_STEPS(n) K_ASK_ON T6_SCALES T6_##n(K_SCALE, )

#define K_TILE_OF(name, n, LOOP, count, from)                                                                        \
    static __attribute__((noinline)) void name(const expanded *e, const lb_act_q8_256 *act, size_t s, float *acc,    \
                                               const void *next) {                                                   \
        const char *a = (const char *)act, *b = a + 3 * s, *after = (const char *)next + 3 * s;                      \
        const void *w = e->w, *scales = from;                                                                        \
        int64_t left = count, far = offsetof(lb_act_q8_256, neg32);                                                  \
        __asm__ volatile(T6_##n(T6_OPEN_ZERO, ) ".p2align 6\n1:\n\t" LOOP(n)                                         \
                         "add $128, %[scales]\n\tdec %[left]\n\tjnz 1b\n\t" K_CLOSE(n) T6_##n(T6_KEEP_TIMES, 112)   \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [left] "+r"(left), [scales] "+r"(scales),          \
                           [next] "+r"(next), [after] "+r"(after), [far] "+r"(far)                                   \
                         : [s] "r"(s), [acc] "r"(acc), [times] "r"(e->d), [pair] "r"(e->pair)                        \
                         : T6_CLOBBERS);                                                                             \
    }
#define K_TILE(n) K_TILE_OF(tile_##n, n, K_SUB_BLOCK, SUBS, e->scale)
#define K_EACH T6_EACH

#if FITS
/* Two sub-blocks whose sums are int16 meet both scales in one vpdpwssd, as two words of a dword; the first's wait in
 * memory, as words of all 32 rows. Packs and unpacks leave the multipliers alone; shifts would take half a slot of
 * theirs each. */
#define K_MEET(low, high, tlow, thigh)                                                                               \
    "vpdpwssd %%zmm" #low ", %%zmm30, %%zmm" #tlow "\n\tvpdpwssd %%zmm" #high ", %%zmm31, %%zmm" #thigh "\n\t"
#define K_WAIT(low, high, tlow, thigh, temp, other, address, at, ...)                                                \
    "vpackssdw %%zmm" #high ", %%zmm" #low ", %%zmm" #temp "\n\tvmovdqa64 %%zmm" #temp ", 256+" #at "(%[times])\n\t"
#define K_BOTH(low, high, tlow, thigh, temp, other, address, at, ...)                                                \
    "vpackssdw %%zmm" #high ", %%zmm" #low ", %%zmm" #temp "\n\t"                                                    \
    "vpunpcklwd 256+" #at "(%[times]), %%zmm" #temp ", %%zmm" #low "\n\t"                                            \
    "vpunpckhwd 256+" #at "(%[times]), %%zmm" #temp ", %%zmm" #high "\n\t" K_MEET(low, high, tlow, thigh)
#define K_TWO_SUB_BLOCKS(n)                                                                                          \
    K_START(n) T6_ASK_##n K_STEPS(n) K_ASK_ON T6_##n(K_WAIT, )                                                       \
    K_START(n) T6_ASK_##n K_STEPS(n) K_ASK_ON T6_SCALES T6_##n(K_BOTH, )
#define K_JOINED_TILE(n) K_TILE_OF(joined_##n, n, K_TWO_SUB_BLOCKS, SUBS / 2, e->joined)
K_EACH(K_JOINED_TILE)
#endif
#endif

K_EACH(K_TILE)
typedef void (*tile_fn)(const expanded *, const lb_act_q8_256 *, size_t, float *, const void *);
static const tile_fn tiles[TILE_COLS + 1] = { NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6,
#if FOLDED
                                              tile_7, tile_8, tile_9, tile_10, tile_11, tile_12
#endif
};
#if FITS
static const tile_fn joined_tiles[TILE_COLS + 1] = { NULL, joined_1, joined_2, joined_3, joined_4, joined_5, joined_6 };
#endif

/* The tile for these columns of a block: the same sums either way. */
LB_INLINE tile_fn tile_for(const void *act, size_t stride, int cols) {
#if FITS
    int32_t fits = FITS;
    for (int c = 0; c < cols; c++) fits &= act_block(act, stride, 0, c)->fits;
    if (fits) return joined_tiles[cols];
#endif
    (void)act, (void)stride;
    return tiles[cols];
}

/* Tile by tile, so that the misses of lines far apart are hidden behind the next tile's work. */
static inline void write_out(const float *acc, int c0, int c1, float *out, int64_t out_stride) {
    for (int c = c0; c < c1; c++)
        EACH_HALF _mm512_storeu_ps(out + c * out_stride + 16 * h, _mm512_load_ps(acc + PANEL_ROWS * c + 16 * h));
}

/* The blocks of both halves that are read BLOCKS_AHEAD blocks after b (of more than two panels, which follow one
 * another with each block: the next); near the end, those of the panel after the `panels` that go together. */
typedef struct later_blocks { const char *half[HALVES], *end; } later_blocks;

LB_INLINE later_blocks later_than(const uint8_t *panel, int64_t k, int64_t b, int panels) {
    int64_t blocks = k / 256, at = b + (panels > 2 ? 1 : BLOCKS_AHEAD);
    const char *p = (const char *)panel + (size_t)(at / blocks * panels) * lb_rows32_panel_bytes(SHAPE, k)
                    + lb_rows32_block_at(SHAPE, k, at % blocks, 0);
    return (later_blocks){ { p, p + lb_rows16_half_bytes(SHAPE, k) }, p + SHAPE.block_bytes };
}

/* Prefetches `lines` more lines of each. Between the tiles: expanding a block and multiplying it take turns, and all
 * lines at once, while one expands, would fill the queue of misses and leave the memory idle for the rest. */
LB_INLINE void ahead_many(later_blocks *x, int lines) {
    for (int l = 0; l < lines && x->half[0] < x->end; l++) {
        EACH_HALF _mm_prefetch(x->half[h], _MM_HINT_T0);
        EACH_HALF x->half[h] += 64;
    }
}

/* Where a panel's blocks are: repacked (expand NULL), or 32 rows as files have them. */
typedef struct source { const uint8_t *panel; lb_native_expand expand; size_t row_bytes; } source;

LB_INLINE void expand_block(source from, int64_t k, int64_t b, expanded *e) {
    lb_expanded_at to = { .w = e->w, .scale = e->scale, .pair = e->pair, .d = e->d, .dmin = e->dmin };
    if (from.expand) from.expand(from.panel + (size_t)b * SHAPE.native_bytes, from.row_bytes, &to);
    for (int h = 0; h < HALVES && !from.expand; h++)
        expand(from.panel + lb_rows32_block_at(SHAPE, k, b, h), from.panel + lb_rows32_head_at(SHAPE, k, b, h), h, e);
#if FITS
    LB_UNROLL for (int i = 0; i < SUBS / 2; i++)
        EACH_HALF e->joined[i][h] = _mm512_mask_mov_epi16(e->scale[2 * i + 1][h], 0xaaaaaaaa,
                                                          _mm512_slli_epi32(e->scale[2 * i][h], 16));
#endif
}

/* What all blocks and panels of a product have in common. */
typedef struct columns {
    const char *act;
    size_t stride, step; /* to the next column, and to its next block */
    int64_t k;
    int cols;
    float *out;
    int64_t out_stride;
} columns;
LB_INLINE const lb_act_q8_256 *column(const columns *x, int64_t b, int c) {
    return (const lb_act_q8_256 *)(const void *)(x->act + (size_t)c * x->stride + (size_t)b * x->step);
}

/* Adds the products of block b of panels `first` and, if there is one, first + 1 of `panels` to acc. */
static inline void meet_pair(source from, int first, int panels, int64_t b, const columns *x,
                             float *const *acc) {
    const int some = panels - first < 2 ? 1 : 2, count = (x->cols + TILE_COLS - 1) / TILE_COLS;
    const int share = ((int)(SHAPE.block_bytes / 64) + count - 1) / count;
    const bool last = b == x->k / 256 - 1;
    expanded e[2];
    later_blocks later[2];
    for (int p = 0; p < some; p++) {
        source at = from;
        at.panel += (size_t)(first + p) * lb_rows32_panel_bytes(SHAPE, x->k);
        expand_block(at, x->k, b, &e[p]);
        later[p] = later_than(at.panel, x->k, b, panels);
    }
    const uint8_t *rows = from.panel + (size_t)(b + 1) * SHAPE.native_bytes;
    const void *after = column(x, first + 2 < panels ? b : b + 1, 0);
    for (int t = 0; t < count; t++) {
        int c0 = x->cols * t / count, c1 = x->cols * (t + 1) / count;
        const void *next = t + 1 < count ? column(x, b, c1) : after;
        const tile_fn tile = tile_for(column(x, b, c0), x->stride, c1 - c0);
        for (int p = 0; p < some; p++) {
            float *to = x->out + PANEL_ROWS * (first + p);
            if (!from.expand) ahead_many(&later[p], share);
            else
                lb_native_ahead(rows, from.row_bytes, SHAPE.native_bytes, PANEL_ROWS * t / count,
                                PANEL_ROWS * (t + 1) / count);
            if (last) t32_results_soon(to + c0 * x->out_stride, x->out_stride, c1 - c0);
            tile(&e[p], column(x, b, c0), x->stride, acc[p] + PANEL_ROWS * c0, next);
            if (last) write_out(acc[p], c0, c1, to, x->out_stride);
        }
    }
}

/* Columns in tiles of equal size, so that none is left with a thin one. Of several panels (repacked ones) two take
 * turns at the tiles, so that a tile's activations come from L2 once for both, and pair after pair meets a block of
 * 256 of all columns before the next comes, from L3 once for all. */
static void many(source from, int panels, const void *act, size_t stride, size_t step, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    const columns x = { act, stride, step, k, cols, out, out_stride };
    float *acc[LB_PANELS_MOST];
    for (int p = 0; p < panels; p++)
        memset(acc[p] = lb_panel_sums_take(cols), 0, (size_t)cols * PANEL_ROWS * sizeof **acc);
    for (int p = 0; p < panels && k == 0; p++) write_out(acc[p], 0, cols, out + PANEL_ROWS * p, out_stride);
    for (int64_t b = 0; b < k / 256; b++)
        for (int first = 0; first < panels; first += 2)
            meet_pair(from, first, panels, b, &x, acc + first);
    for (int p = panels; p-- > 0;) lb_panel_sums_give(acc[p], cols);
}

static void many_panels(const void *panels, int count, const void *act, size_t stride, size_t step, int64_t k, int cols,
                        float *out, int64_t out_stride) {
    many((source){ panels, NULL, 0 }, count, act, stride, step, k, cols, out, out_stride);
}

#if !defined(__AMX_INT8__)
void ROWS16_NATIVE(lb_native_expand expand_rows, const void *rows, const void *act, size_t stride, int64_t k, int cols,
                   float *out, int64_t out_stride) {
    const source from = { rows, expand_rows, (size_t)(k / 256) * SHAPE.native_bytes };
    many(from, 1, act, stride, sizeof(lb_act_q8_256), k, cols, out, out_stride);
}
#endif
