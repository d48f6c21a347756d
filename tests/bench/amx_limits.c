/* amx_limits.c: what products of int8 by AMX's tiles reach, part by part, on one core, by turns with chains of tdpbsud
 * on tiles that stay in registers: the kernels' own functions, with everything in L1, then out of L2, then a whole item
 * (512 columns by 8 panels, K = 14336, weights and columns out of L3). amx_limits.lua compiles it once a format
 * (-DPART=1: int8dq, 2 to 6: q2_k to q6_k; 7: groups of 32 with a scale each, which no kernel does by tiles; 8 and 9:
 * q4_0 and q8_0, whose scales are folded into two planes of bytes and into three). */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if PART == 1
#include "kernels/cpu/gemm_int8dq_amx.c"
#elif PART == 2
#include "kernels/cpu/gemm_q2_k_amx.c"
#elif PART == 3
#include "kernels/cpu/gemm_q3_k_amx.c"
#elif PART == 4
#include "kernels/cpu/gemm_q4_k_amx.c"
#elif PART == 5
#include "kernels/cpu/gemm_q5_k_amx.c"
#elif PART == 6
#include "kernels/cpu/gemm_q6_k_amx.c"
#elif PART == 8
#include "kernels/cpu/gemm_q4_0_planes_amx.c"
#elif PART == 9
#include "kernels/cpu/gemm_q8_0_planes_amx.c"
#else
#include "kernels/cpu/amx_panel.h"
#endif

enum { ACT_BYTES = 64 << 20, ROUNDS = 15, COLS = 512, PANELS = 8, N = 4096, K = 14336, REQ_XCOMP_PERM = 0x1023,
       TILE_DATA = 18 };

/* The thread's scratch memory (engine/scratch.h). */
static char *scratch;
static size_t taken;
void *lb_scratch_take(size_t bytes) {
    void *p = scratch + taken;
    taken += (bytes + 63) / 64 * 64;
    return p;
}
void lb_scratch_give(void *p, size_t bytes) { taken -= (bytes + 63) / 64 * 64; }

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* The rate of tiles depends on what they hold. */
static char *filled(size_t bytes) {
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) exit(1);
    madvise(p, bytes, MADV_HUGEPAGE); /* as buffers and scratch memory have it */
    for (uint32_t i = 0; i < bytes; i++) p[i] = (char)(i * 0x9e3779b1u >> 20);
    return p;
}
static char *weights, *act_bytes;
static float *out;

/* ns of a product. */
static double peak(void) {
    enum { STEPS = 5000 };
    lb_tiles_open(&lb_tiles_whole);
    LB_TILE_LOAD(4, act_bytes, 64);
    LB_TILE_LOAD(5, act_bytes + 1024, 64);
    LB_TILE_LOAD(6, weights, 64);
    LB_TILE_LOAD(7, weights + 1024, 64);
    const double begin = now_ns();
    for (int i = 0; i < STEPS; i++) {
        LB_TILE_SU(0, 4, 6);
        LB_TILE_SU(1, 4, 7);
        LB_TILE_SU(2, 5, 6);
        LB_TILE_SU(3, 5, 7);
    }
    return (now_ns() - begin) / (4 * STEPS);
}

static int order(const void *a, const void *b) {
    const double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

/* One line: the median share of the peak of `part`, which returns how many products it stands for, of 16 rows by 16
 * columns by 64 of K of the format's own numbers. */
static void show(const char *what, double (*part)(void)) {
    double share[ROUNDS], ns[ROUNDS], before = peak();
    part();
    for (int i = 0; i < ROUNDS; i++) {
        const double begin = now_ns(), products = part();
        ns[i] = (now_ns() - begin) / products;
        const double after = peak();
        share[i] = (before + after) / 2 / ns[i];
        before = after;
    }
    qsort(share, ROUNDS, sizeof *share, order);
    qsort(ns, ROUNDS, sizeof *ns, order);
    printf("%-64s %5.2f ns %5.1f %%\n", what, ns[ROUNDS / 2], 100 * share[ROUNDS / 2]);
}

#if PART == 1
/* Meetings of a panel's 1024 k with 32 columns, weights `apart` bytes after each other; sums are loaded, or begin. */
static double meetings(size_t apart, bool first) {
    enum { TIMES = 32 };
    const i8_tiles a = { act_bytes, 64, 64 * TILES_COLS };
    tiles_open_for(TILES_COLS);
    for (int i = 0; i < TIMES; i++) {
        int32_t *acc = (int32_t *)(void *)out + (first ? i % 2 : i) * TILES_COLS * I8_ROWS;
        int32_t *before = first ? acc : acc + (i ? -1 : TIMES) * TILES_COLS * I8_ROWS;
        i8_meet((const uint8_t *)weights + (size_t)i * apart, a, I8_TILES_K / 64, true, first, acc, before,
                (i8_soon){ .sums = first ? acc : acc + TILES_COLS * I8_ROWS });
    }
    return TIMES * I8_TILES_K / 64 * 4;
}
static double from_l1(void) { return meetings(0, true); }
static double from_l2(void) { return meetings(I8_TILES_K * I8_ROWS, true); }
static double added(void) { return meetings(I8_TILES_K * I8_ROWS, false); }
static double item(void) {
    static int64_t done;
    const size_t bytes = PANELS * i8_panel_bytes(FORMAT, K);
    i8_panels(FORMAT, (const uint8_t *)weights + (size_t)(done++ % 8) * bytes, PANELS, act_bytes,
              sizeof(lb_act_i8_token) + K, 64 * TILES_COLS, K, COLS, out, N);
    return (double)PANELS * 2 * COLS / 16 * K / 64;
}
/* Scales that floats' steps meet at full speed: of random bits some are subnormal. */
static void scales(void) {
    for (int p = 0; p < 8 * PANELS; p++) {
        float *of_rows = (float *)(void *)(weights + (size_t)p * i8_panel_bytes(FORMAT, K));
        for (int r = 0; r < I8_ROWS; r++) of_rows[r] = 0.01f;
    }
    for (int c = 0; c < COLS; c++) {
        char *slab = act_bytes + (size_t)(c / TILES_COLS * TILES_COLS) * (sizeof(lb_act_i8_token) + K);
        ((lb_act_i8_token *)(void *)slab)[c % TILES_COLS].d = 0.01f;
    }
}
static void parts(void) {
    scales();
    show("int8dq: 32 x 32 by 1024 k, all in L1", from_l1);
    show("the same, weights out of L2", from_l2);
    show("and sums loaded and stored, out of L2", added);
    show("a whole item", item);
}
#elif PART == 7
/* 32 x 32 by groups of 32 k: what any format with a scale for each of them needs besides decoding: products with half
 * of their K, whose sums are stored, become f32, are multiplied by the scales of both sides and added. */
static double groups(bool scaled) {
    enum { GROUPS = 400, ROWS = 32 };
    static int32_t got[2][TILES_COLS][ROWS] __attribute__((aligned(64)));
    static float acc[TILES_COLS][ROWS] __attribute__((aligned(64)));
    lb_tiles t = lb_tiles_whole;
    t.row_bytes[4] = t.row_bytes[5] = 32, t.rows[6] = t.rows[7] = 8;
    lb_tiles_open(&t);
    for (int i = 0; i < GROUPS; i++) {
        const char *w = weights + i % 16 * 1024, *a = act_bytes + i % 8 * 1024;
        int32_t (*now)[ROWS] = got[i % 2], (*before)[ROWS] = got[(i + 1) % 2];
        LB_TILE_ZERO(0);
        LB_TILE_ZERO(1);
        LB_TILE_ZERO(2);
        LB_TILE_ZERO(3);
        LB_TILE_LOAD(6, w, 128);
        LB_TILE_LOAD(7, w + 64, 128);
        LB_TILE_LOAD(4, a, 32);
        LB_TILE_SU(0, 4, 6);
        LB_TILE_SU(1, 4, 7);
        LB_TILE_LOAD(5, a + 512, 32);
        LB_TILE_SU(2, 5, 6);
        LB_TILE_SU(3, 5, 7);
        LB_TILE_STORE(0, now[0], 128);
        LB_TILE_STORE(1, now[0] + 16, 128);
        LB_TILE_STORE(2, now[16], 128);
        LB_TILE_STORE(3, now[16] + 16, 128);
        const float *scales = out + i % 16 * 64;
        const __m512 low = _mm512_loadu_ps(scales), high = _mm512_loadu_ps(scales + 16);
        for (int c = 0; scaled && c < TILES_COLS; c++) {
            const __m512 d = _mm512_set1_ps(scales[32 + c]);
            const __m512 first = _mm512_cvtepi32_ps(_mm512_load_si512(before[c]));
            const __m512 second = _mm512_cvtepi32_ps(_mm512_load_si512(before[c] + 16));
            _mm512_store_ps(acc[c], _mm512_fmadd_ps(first, _mm512_mul_ps(low, d), _mm512_load_ps(acc[c])));
            const __m512 sum = _mm512_load_ps(acc[c] + 16);
            _mm512_store_ps(acc[c] + 16, _mm512_fmadd_ps(second, _mm512_mul_ps(high, d), sum));
        }
    }
    return GROUPS * 4 / 2.0;
}
static double sums_only(void) { return groups(false); }
static double with_scales(void) { return groups(true); }
static void parts(void) {
    show("groups of 32, all in L1: products and storing their sums", sums_only);
    show("and scales, in f32", with_scales);
}
#elif PART >= 8
enum { STRIDE = sizeof(lb_act_q8_256) + PLANES_APART, BLOCKS = 100 };
static planes_block e __attribute__((aligned(4096)));
static pipeline in_hand;

/* The jobs of 32 columns by a block of 32 rows. */
static int jobs_of(job to[LB_PANEL_HALVES + PLANES_MORE]) {
    for (int i = 0; i < LB_PANEL_HALVES + e.planes; i++) {
        const bool more = i >= BOTH_HALVES;
        to[i] = (job){ .w = more ? e.more[i - BOTH_HALVES] : e.w[i], .steps = 15, .half = more ? BOTH_HALVES : i,
                       .unit = e.unit, .power = 1, .act = act_bytes, .stride = STRIDE, .cols = TILES_COLS, .acc = out,
                       .sums = in_hand.sums[0] };
    }
    return LB_PANEL_HALVES + e.planes;
}
/* They, all in L1. */
static double meetings(bool finished) {
    job jobs[LB_PANEL_HALVES + PLANES_MORE];
    const int count = jobs_of(jobs);
    tiles_open_for(TILES_COLS);
    pipe_open(&in_hand);
    for (int i = 0; i < BLOCKS; i++)
        for (int j = 0; j < count; j++) {
            *in_hand.now = jobs[j];
            if (!finished) in_hand.before->cols = 0;
            pipe_in(&in_hand, (soon){ 0 });
        }
    return BLOCKS * 16;
}
static double tiles_only(void) { return meetings(false); }
static double with_finish(void) { return meetings(true); }
static double finish_only(void) {
    job jobs[LB_PANEL_HALVES + PLANES_MORE];
    const int count = jobs_of(jobs);
    for (int i = 0; i < BLOCKS; i++)
        for (int j = 0; j < count; j++)
            for (int q = 0; q < 4; q++) finish_part(&jobs[j], q);
    return BLOCKS * 16;
}
static double folding(void) {
    for (int i = 0; i < 16; i++)
        planes_fold(FORMAT, (const uint8_t *)weights, i % 4 * PLANES_GROUPS, &e);
    return 16.0 * 16 * COLS / 32;
}
static double block(void) {
    const planes_columns x = { act_bytes, STRIDE, (size_t)COLS * STRIDE, 4096, COLS, PANELS, (const uint8_t *)weights,
                               (float *)(void *)scratch };
    int width = 0;
    pipe_open(&in_hand);
    for (int p = 0; p < PANELS; p++) meet_panel(FORMAT, &x, &e, 0, p, &width, &in_hand);
    pipe_out(&in_hand);
    return (double)PANELS * 16 * COLS / 32;
}
static double item(void) {
    static int64_t done;
    planes_many(FORMAT, weights + (size_t)(done++ % 2) * PANELS * h32_panel_bytes(FORMAT, K), PANELS, act_bytes, STRIDE,
                (size_t)COLS * STRIDE, K, COLS, out, N);
    return (double)PANELS * 16 * COLS / 32 * K / 256;
}
/* Scales of 1 to 3.99: codes of four bits times them are whole numbers of 16 bits. */
static void parts(void) {
    for (size_t at = 0; at + STRIDE <= ACT_BYTES; at += STRIDE) ((lb_act_q8_256 *)(void *)(act_bytes + at))->d = 0.01f;
    for (size_t at = 0; at + 64 <= ACT_BYTES; at += h32_scales_at(FORMAT, 1))
        for (int r = 0; r < 32; r++) {
            const uint16_t f16 = (uint16_t)(0x3c00 + (at / 64 * 37 + (size_t)r * 977) % 2048);
            memcpy(weights + at + 2 * r, &f16, 2);
        }
    planes_fold(FORMAT, (const uint8_t *)weights, 0, &e);
    printf("%s, %d planes:\n", PART == 8 ? "q4_0" : "q8_0", 2 + e.planes);
    show("32 x 32 by 256 k, all in L1: the products alone", tiles_only);
    show("the f32 step alone", finish_only);
    show("both", with_finish);
    show("folding a block alone, for 512 columns", folding);
    show("512 columns by 8 panels out of L2", block);
    show("a whole item", item);
}
#else
enum { STRIDE = sizeof(lb_act_q8_256) + ROWS16_APART, MEETINGS = 200, PRODUCTS = 16 * (FOLDED ? 1 : 2) };
static folded_block e[PANELS * BLOCKS_TOGETHER] __attribute__((aligned(4096)));
static pipeline in_hand;
static double meetings(bool finished) {
    tiles_open_for(TILES_COLS);
    const job none = { .e = e, .sums = in_hand.sums[0] };
    in_hand.last = in_hand.before = none;
    for (int i = 0; i < MEETINGS; i++) {
        pipe_in(&in_hand, (job){ .e = e, .act = act_bytes, .stride = STRIDE, .cols = TILES_COLS, .half = i % 2,
                                 .acc = out }, (uintptr_t)act_bytes, 0);
        if (!finished) in_hand.before.cols = 0;
    }
    return MEETINGS * 16 / (PRODUCTS / 16);
}
static double tiles_only(void) { return meetings(false); }
static double with_finish(void) { return meetings(true); }
static double finish_only(void) {
    const job now = { .e = e, .act = act_bytes, .stride = STRIDE, .cols = TILES_COLS, .acc = out,
                      .sums = in_hand.sums[0] };
    for (int i = 0; i < MEETINGS; i++)
        for (int q = 0; q < 4; q++) finish_part(&now, q);
    return MEETINGS * 16 / (PRODUCTS / 16);
}
/* A block of a panel, folded for 512 columns. */
static double folding(void) {
    for (int i = 0; i < 16; i++)
        EACH_HALF fold_half((const uint8_t *)weights + i * 8192, (const uint8_t *)weights, h, e + i % PANELS);
    return 16.0 * 16 * COLS / 32;
}
static double block(void) {
    const tiles_columns x = { act_bytes, STRIDE, (size_t)COLS * STRIDE, 4096, COLS, PANELS, (const uint8_t *)weights,
                              (float *)(void *)scratch };
    meet_blocks(&x, e, 0, BLOCKS_TOGETHER);
    return (double)PANELS * BLOCKS_TOGETHER * 16 * COLS / 32;
}
static double item(void) {
    static int64_t done;
    many_tiles(weights + (size_t)(done++ % 8) * PANELS * lb_rows32_panel_bytes(SHAPE, K), PANELS, act_bytes, STRIDE,
               (size_t)COLS * STRIDE, K, COLS, out, N);
    return (double)PANELS * 16 * COLS / 32 * K / 256;
}
/* Factors that floats' steps meet at full speed: of random bits some are subnormal. */
static void parts(void) {
    for (size_t at = 0; at + STRIDE <= ACT_BYTES; at += STRIDE) ((lb_act_q8_256 *)(void *)(act_bytes + at))->d = 0.01f;
    for (int i = 0; i < PANELS * BLOCKS_TOGETHER; i++) {
        EACH_HALF fold_half((const uint8_t *)weights + i * 8192, (const uint8_t *)weights, h, e + i);
        EACH_HALF e[i].d[h] = e[i].dmin[h] = _mm512_set1_ps(0.01f);
        memcpy(e[i].w, act_bytes, sizeof e[i].w); /* bytes of all magnitudes */
    }
    printf("q%d_k:\n", PART);
    show("32 x 32 by 256 k, all in L1: the products alone", tiles_only);
    show("the f32 step alone", finish_only);
    show("both", with_finish);
    show("folding a block alone, for 512 columns", folding);
    show("512 columns by 8 panels out of L2", block);
    show("a whole item", item);
}
#endif

int main(void) {
    if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILE_DATA)) return 1;
    weights = filled((size_t)64 << 20), act_bytes = filled(ACT_BYTES), out = (float *)(void *)filled(16 << 20);
    scratch = filled((size_t)4 << 20), scratch += -(uintptr_t)scratch % (2 << 20); /* a huge page */
    memset(out, 0, 16 << 20), memset(scratch, 0, LB_SCRATCH_BYTES);
    parts();
    return 0;
}
