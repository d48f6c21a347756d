/* tile_limits.c: what the inner tiles of the gemm kernels reach with everything in L1 (f32 and q4_k also with columns
 * out of L2 and L3, f32 with all that follows preparing x): 32 rows by as many columns as a tile has, the same bytes
 * over and over, by turns with chains of the tile's own instruction in registers. What a whole product lacks to these
 * is expanding, preparing x, results and waiting for memory; what a tile lacks to 100 are its scales. tile_limits.lua
 * compiles it once a header (-DTILE=1: floats, 2: dense f32, 3: int8 a scale a row, 4: int8 in groups of 32, 5: with
 * minima; 6 to 9: q4_k, q6_k, q2_k, q3_k) and runs it on one core. */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if TILE == 1
#include "kernels/cpu/rows32_float.h"
#elif TILE == 2
#include "kernels/cpu/dense_f32.h"
DENSE_INLINE __m512i dense_weights(const char *row, int64_t at, int64_t left) {
    (void)left;
    return _mm512_loadu_si512(row + 4 * at);
}
#elif TILE == 3
#include "kernels/cpu/rows32_i8.h"
#elif TILE == 6
#include "kernels/cpu/gemm_q4_k_avx512.c"
#elif TILE == 7
#include "kernels/cpu/gemm_q6_k_avx512.c"
#elif TILE == 8
#include "kernels/cpu/gemm_q2_k_avx512.c"
#elif TILE == 9
#include "kernels/cpu/gemm_q3_k_avx512.c"
#else
#define H32_SHARED 1
#if TILE == 5
#define H32_MIN
#endif
#include "kernels/cpu/rows32_g32.h"
#endif

enum { ROUNDS = 31, BYTES = 64 << 10 };
static char w[BYTES] __attribute__((aligned(4096))), x[BYTES] __attribute__((aligned(4096)));
static float acc[32 * 64] __attribute__((aligned(64))), scales[4096] __attribute__((aligned(64)));

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if TILE == 1
#define OP "vdpbf16ps"
enum { OPS = 64 };
#elif TILE == 2
#define OP "vfmadd231ps"
enum { OPS = 32 };
#else
#define OP "vpdpbusd"
enum { OPS = 128 };
#endif

/* Operations a second of 16 chains of it. */
static double peak(void) {
    const int64_t n = 400000;
    double begin = now();
    for (int64_t i = 0; i < n; i++)
#define CHAIN(c) OP " %%zmm16, %%zmm17, %%zmm" #c "\n\t"
        __asm__ volatile(CHAIN(0) CHAIN(1) CHAIN(2) CHAIN(3) CHAIN(4) CHAIN(5) CHAIN(6) CHAIN(7) CHAIN(8) CHAIN(9)
                         CHAIN(10) CHAIN(11) CHAIN(12) CHAIN(13) CHAIN(14) CHAIN(15) : : : T32_CLOBBERS);
    return (double)n * 16 * OPS / (now() - begin);
}

#if TILE == 2
/* 512 columns by 768 dwords of K, more than L2 has, by 32 rows of weights. */
enum { DENSE_K = 4 * DENSE_CHUNK, DENSE_MANY = 512 };
/* span 1: the weights stand in L1, x comes from L2; 2: weights are transposed too, four panels by turns; x from L3.
 * Returns its products of a dword with a row of weights, over 32. */
static double many(int span) {
    static float columns[DENSE_K * DENSE_MANY] __attribute__((aligned(4096)));
    static float rows[DENSE_PANELS * DENSE_ROWS * DENSE_K], out[DENSE_PANELS * DENSE_ROWS * DENSE_MANY];
    static dense_space space __attribute__((aligned(64)));
    dense_problem p = { .w = (const char *)rows,
                        .out = out,
                        .m = DENSE_MANY,
                        .n = DENSE_PANELS * DENSE_ROWS,
                        .k = DENSE_K,
                        .row_bytes = DENSE_K * 4 };
    dense_columns b = dense_block(&p, 0, columns);
    for (int i = 0; i < DENSE_K / DENSE_CHUNK * DENSE_PANELS; i++) {
        int panel = i % DENSE_PANELS;
        if (span == 2) dense_chunk(&p, &space, &b, 0, panel, DENSE_PANELS, i / DENSE_PANELS * DENSE_CHUNK, DENSE_CHUNK);
        for (int t = 0; span == 1 && t < b.tiles; t++) {
            int c0 = dense_tile_at(&b, t), c1 = dense_tile_at(&b, t + 1);
            dense_tiles[c1 - c0](space.w, dense_tile_x(&b, 0, DENSE_CHUNK, c0), DENSE_CHUNK / 4,
                                 space.acc[panel] + c0 * DENSE_ROWS, (const char *)space.w, 0);
        }
    }
    return (double)DENSE_K * DENSE_PANELS * DENSE_MANY;
}

/* An item of a whole product, K = 14336, as a thread of the kernel has it when x is prepared: weights out of memory
 * (59 MB by turns), x (29 MB) out of L3 or memory, results written to rows of 4096. */
static double whole_item(void) {
    enum { K = 14336, N = 4096, ITEMS = 8, ROWS = DENSE_PANELS * DENSE_ROWS };
    static float columns[K * DENSE_MANY] __attribute__((aligned(4096))), rows[ITEMS * ROWS * K], out[N * DENSE_MANY];
    static dense_space space __attribute__((aligned(64)));
    static int64_t done;
    if (!rows[5]) memset(rows, 61, sizeof rows), memset(columns, 61, sizeof columns), memset(out, 61, sizeof out);
    dense_problem p = { .w = (const char *)rows, .out = out, .m = DENSE_MANY, .n = N, .k = K, .row_bytes = K * 4 };
    dense_columns b = dense_block(&p, 0, columns);
    int64_t first = done++ % ITEMS * ROWS;
    for (int64_t at = 0; at < K; at += DENSE_CHUNK)
        for (int i = 0; i < DENSE_PANELS; i++)
            dense_chunk(&p, &space, &b, first, i, DENSE_PANELS, at, K - at < DENSE_CHUNK ? K - at : DENSE_CHUNK);
    return (double)K * DENSE_PANELS * DENSE_MANY;
}
#endif

#if TILE >= 6
/* span 1: sub-blocks by themselves; 2: joined. */
#if FITS
#define TILE_OF(span) ((span) % 2 == 0 ? joined_tiles : tiles)
#else
#define TILE_OF(span) tiles
#endif
/* The next tile of two panels by turns, whose weights stay in L1: 510 columns, their sums out of L2; activations of K
 * = 14336, 11 MB. span 3 and 4: in rows; 5 and 6: all columns of a block of 256 in one run of memory; 7 and 8: so, and
 * four pairs of panels meet a block before the next comes, as the kernel has it. */
static void from_far(int span) {
    enum { MANY = 510 / TILE_COLS * TILE_COLS, BLOCKS = 14336 / 256, ROW = 21600, RUN = 384 + 32 };
    static char rows[510 * (BLOCKS * RUN)] __attribute__((aligned(4096)));
    static float sums[8][32 * MANY] __attribute__((aligned(64)));
    static expanded both[2];
    static int64_t done;
    const int tiles_all = MANY / TILE_COLS, pairs = span < 7 ? 1 : 4;
    if (!rows[5]) memset(rows, 5, sizeof rows);
    int64_t at = done++ / 2, t = at % tiles_all, pair = at / tiles_all % pairs, block = at / tiles_all / pairs % BLOCKS;
    int64_t column = span < 5 ? ROW : RUN, further = span < 5 ? 384 : MANY * RUN;
    const char *from = rows + further * block + column * TILE_COLS * t, *next = rows + further * block;
    if (t + 1 < tiles_all) next = from + column * TILE_COLS;
    else if (pair + 1 == pairs) next = rows + further * ((block + 1) % BLOCKS);
    TILE_OF(span)[TILE_COLS](&both[done % 2], (const lb_act_q8_256 *)(const void *)from, (size_t)column,
                             sums[2 * pair + done % 2] + 32 * TILE_COLS * t, next);
}
#endif

/* Operations a second of a tile of 256 dwords of K (dense: 192) with a scale for each `span` elements. */
static double tile(int span) {
    const int64_t n = TILE == 2 && span ? span > 2 ? 1 : 4 : 4000;
    double begin = now(), work = 0;
    int dwords = 0, cols = 12;
    for (int64_t i = 0; i < n; i++) {
#if TILE == 1
        dwords = 128;
        cols = FLOAT_TILE_COLS(span);
        FLOAT_TILES(span)[cols](w, (const uint16_t *)(const void *)x, 512 + 96, 256 / span, span / 8, scales, acc, 0);
#elif TILE == 2
        dwords = 192;
        if (span) {
            work += span > 2 ? whole_item() : many(span);
        } else {
            dense_tiles[12](w, x, 192 / 4, acc, w, 0);
        }
#elif TILE == 3
        dwords = 128;
        i8_tiles[12]((const uint8_t *)w, (const int8_t *)x, 512 + 96, 32, (int32_t *)(void *)acc, 0, (const uint8_t *)w,
                     0);
#elif TILE >= 6
        dwords = 64, cols = TILE_COLS;
        if (span > 2) from_far(span);
        else
            TILE_OF(span)
            [TILE_COLS]((const expanded *)(const void *)w, (const lb_act_q8_256 *)(const void *)x, 384 + 96, acc, x);
#else
        dwords = 64, cols = 6;
        h32_tiles[6](w, x, 384 + 96, 8, scales, acc, x);
#endif
    }
    (void)span;
    return (work ? work : (double)n * dwords * cols) * 2 * OPS / (now() - begin);
}

static int order(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

/* One line: the median of tile over the peaks before and after. */
static void show(const char *what, int span) {
    double ratio[ROUNDS], before = peak();
    for (int i = 0; i < ROUNDS; i++) {
        double t = tile(span), after = peak();
        ratio[i] = 2 * t / (before + after);
        before = after;
    }
    qsort(ratio, ROUNDS, sizeof *ratio, order);
    printf("%-58s %5.1f %%\n", what, 100 * ratio[ROUNDS / 2]);
}

int main(void) {
    for (int i = 0; i < 4096; i++) scales[i] = 1e-3f;
    peak();
#if TILE == 1
    show("bf16, 32 x 12, a scale for each 256", 256);
    show("bf16, 32 x 12, a scale for each 128", 128);
    show("bf16, 32 x 12, a scale for each 64", 64);
    show("bf16, 32 x 7, a scale for each 32", 32);
    show("bf16, 32 x 7, a scale for each 16", 16);
#elif TILE == 2
    show("f32, 32 x 12, sums of 192", 0);
    show("the same, 512 columns out of L2", 1);
    show("the same, columns out of L3, weights transposed", 2);
    tile(3), tile(3);
    show("weights out of memory, 29 MB of columns, results written", 3);
#elif TILE == 3
    show("int8, 32 x 12, a scale a row, 512 at a time", 0);
#elif TILE == 6
    show("q4_k, q5_k: int8, 32 x 6, a scale and a minimum for each 32", 1);
    show("q4_k: the same, scales in pairs", 2);
    show("without pairs, 510 columns in rows out of L3", 3);
    show("in pairs, 510 columns in rows out of L3", 4);
    show("in pairs, 510 columns in one run out of L3", 6);
    show("the same by four pairs of panels, three of them out of L2", 8);
#elif TILE == 7
    show("q6_k: int8, 32 x 6, a scale for each 16", 1);
    show("the same, scales in pairs", 2);
#elif TILE == 8
    show("q2_k: int8, 32 x 12, a minimum for each 16", 0);
#elif TILE == 9
    show("q3_k: int8, 32 x 12, a scale for each 256", 0);
#elif TILE == 4
    show("int8, 32 x 6, a scale for each 32", 0);
#else
    show("int8, 32 x 6, a scale and a minimum for each 32", 0);
#endif
    return 0;
}
