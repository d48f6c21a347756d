/* rows32_planes_amx.h: rows32_planes.h's planes times activations in blocks of 256 (lb_act_q8_256) by AMX's tiles: sums
 * of 256 are exact in int32, and f32 comes once for each 256 and plane, or once for the first two together.
 *
 * A panel's planes 0 and 1 stay in L1 while all columns meet them, 32 at a time and of one half of the panel's rows
 * after the other; those behind are a job more each, for both halves. Sums leave their tiles between the first products
 * of the next job, and become f32 between those of the one after that (rows16_amx.h).
 *
 * What a plane adds where it is zero is zero, so a row's bits depend neither on the columns beside it nor on the rows
 * that share its panel. */
#pragma once
#include "amx_panel.h"
#include "planes.h"
#include "rows32_planes.h"

_Static_assert(sizeof(planes_block) <= LB_TILES_SCRATCH, "what a panel is folded into fits beside the sums");

enum { PANEL_ROWS = LB_PANEL_ROWS, BOTH_HALVES = LB_PANEL_HALVES,
       PLANES_APART = 64 /* a tile's rows are whole lines */, PART_COLS = TILES_COLS / 4 };

/* Up to TILES_COLS columns of a block that meet two tiles of weights a step. */
typedef struct job {
    const __m512i (*w)[2][16]; /* of each step */
    int steps;               /* bits of those that are not all zero; one at least */
    int half;                /* whose planes 0 and 1 these are; or BOTH_HALVES: one plane more of each */
    const __m512 *unit;      /* of both halves, times `power` */
    float power;
    const char *act;         /* the first column's block */
    size_t stride;
    int cols;
    float *acc;              /* of the first column; PANEL_ROWS floats each */
    int32_t (*sums)[16][16]; /* [4]: columns 0 to 15 by either tile of weights, then 16 to 31 */
} job;

LB_INLINE void add_sums(float *acc, __m512i sums, __m512 unit, __m512 d) {
    const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), unit);
    _mm512_store_ps(acc, _mm512_fmadd_ps(t, d, _mm512_load_ps(acc)));
}

/* Columns [from, to) of part q (of four) of a job become f32. Sums of planes 0 and 1 are joined in int32: 256 times 127
 * times 32768 at most. */
LB_INLINE void finish_columns(const job *x, int q, int from, int to, const bool both) {
    const __m512 power = _mm512_set1_ps(x->power);
    const __m512 unit = _mm512_mul_ps(x->unit[both ? 0 : x->half], power), other = _mm512_mul_ps(x->unit[1], power);
    const size_t stride = x->stride;
    float *acc = x->acc + PANEL_ROWS * (PART_COLS * q + from) + (both ? 0 : 16 * x->half);
    const char *act = x->act + (size_t)(PART_COLS * q + from) * stride;
    const int32_t (*sums)[16] = (const int32_t (*)[16])(x->sums[q / 2 * 2] + q % 2 * PART_COLS + from);
    LB_UNROLL for (int c = from; c < to; c++, acc += PANEL_ROWS, act += stride, sums++) {
        const __m512 d = _mm512_set1_ps(((const lb_act_q8_256 *)(const void *)act)->d);
        const __m512i first = _mm512_load_si512(sums), second = _mm512_load_si512(sums + 16);
        if (both) {
            add_sums(acc, first, unit, d);
            add_sums(acc + 16, second, other, d);
        } else {
            add_sums(acc, _mm512_add_epi32(_mm512_slli_epi32(first, 8), second), unit, d);
        }
    }
}
LB_INLINE void finish_some(const job *x, int q, const bool both) {
    const int left = x->cols - PART_COLS * q;
    if (left >= PART_COLS) {
        finish_columns(x, q, 0, PART_COLS, both);
    } else {
        _Pragma("GCC unroll 1") for (int c = 0; c < left; c++) finish_columns(x, q, c, c + 1, both);
    }
}
LB_INLINE void finish_part(const job *x, int q) {
    if (x->half == BOTH_HALVES) finish_some(x, q, true);
    else finish_some(x, q, false);
}

/* Tile t += columns by a tile of weights, of which plane 0 alone has a sign; with `left` to none: what it holds goes
 * there. */
#define PLANES_PRODUCT(SIGNED, t, a, w, left)                                                                        \
    do {                                                                                                             \
        if (left) {                                                                                                  \
            LB_TILE_STORE(t, (left)[t], 64);                                                                         \
            LB_TILE_ZERO(t);                                                                                         \
        }                                                                                                            \
        if (SIGNED) LB_TILE_SS(t, a, w);                                                                             \
        else LB_TILE_SU(t, a, w);                                                                                    \
    } while (0)

/* Two tiles of weights by those of columns from `a` on. */
LB_INLINE void step(const __m512i w[2][16], const char *a, size_t stride, bool two, const bool both,
                    int32_t (*left)[16][16]) {
    LB_TILE_LOAD(6, w[0], 64);
    LB_TILE_LOAD(4, a, stride);
    LB_TILE_LOAD(7, w[1], 64);
    PLANES_PRODUCT(!both, 0, 4, 6, left);
    PLANES_PRODUCT(false, 1, 4, 7, left);
    if (!two) return;
    LB_TILE_LOAD(5, a + 16 * stride, stride);
    PLANES_PRODUCT(!both, 2, 5, 6, left);
    PLANES_PRODUCT(false, 3, 5, 7, left);
}

/* What is asked for meanwhile, into L2, so many lines a step behind the first. */
typedef struct soon { uintptr_t at; int lines; } soon;

/* A job's products; meanwhile the sums of the `last` one leave their tiles, and those of the one `before` it become
 * f32. */
LB_INLINE void meet_planes(const job *x, const job *last, const job *before, soon ask, const bool both) {
    const bool two = x->cols > 16;
    const int first = both ? __builtin_ctz((unsigned)x->steps) : 0;
    step(x->w[first], x->act + 64 * first, x->stride, two, both, last->sums);
    finish_part(before, 0);
    LB_UNROLL for (int i = 1; i < PLANES_STEPS; i++) {
        if (!both || (i > first && x->steps >> i & 1))
            step(x->w[i], x->act + 64 * i, x->stride, two, both, NULL);
        finish_part(before, i);
        for (int l = 0; l < ask.lines; l++, ask.at += 64) _mm_prefetch((const char *)ask.at, _MM_HINT_T1);
    }
}
static __attribute__((noinline)) void meet_first(const job *x, const job *last, const job *before, soon ask) {
    meet_planes(x, last, before, ask, false);
}
static __attribute__((noinline)) void meet_more(const job *x, const job *last, const job *before) {
    meet_planes(x, last, before, (soon){ 0 }, true);
}

/* The job in hand, the last, whose sums are in tiles, and the one before, whose sums are in memory and not yet f32. */
typedef struct pipeline {
    int32_t sums[2][4][16][16] __attribute__((aligned(64)));
    __m512 unit[2][LB_PANEL_HALVES]; /* of this panel's block and of the one before */
    job jobs[3], *now, *last, *before;
    int turn, unit_turn;
} pipeline;

LB_INLINE void pipe_open(pipeline *pipe) {
    pipe->now = &pipe->jobs[0], pipe->last = &pipe->jobs[1], pipe->before = &pipe->jobs[2];
    pipe->turn = pipe->unit_turn = 0;
    *pipe->last = *pipe->before = (job){ .unit = pipe->unit[0], .sums = pipe->sums[0] };
}

/* The job that stands in pipe->now. */
LB_INLINE void pipe_in(pipeline *pipe, soon ask) {
    job *now = pipe->now, *last = pipe->last, *before = pipe->before;
    now->sums = pipe->sums[pipe->turn ^= 1];
    if (now->half == BOTH_HALVES) meet_more(now, last, before);
    else meet_first(now, last, before, ask);
    pipe->before = last, pipe->last = now, pipe->now = before;
}

/* Those that are not done yet. */
static void pipe_out(pipeline *pipe) {
    job *last = pipe->last, *before = pipe->before;
    LB_TILE_STORE(0, last->sums[0], 64);
    LB_TILE_STORE(1, last->sums[1], 64);
    if (last->cols > 16) {
        LB_TILE_STORE(2, last->sums[2], 64);
        LB_TILE_STORE(3, last->sums[3], 64);
    }
    for (int q = 0; q < 4; q++) finish_part(before, q);
    for (int q = 0; q < 4; q++) finish_part(last, q);
    last->cols = before->cols = 0;
}

/* What all blocks and panels of a product have in common. */
typedef struct planes_columns {
    const char *act;
    size_t stride, step; /* to the next column, and to its next block */
    int64_t k;
    int cols, panels;
    const uint8_t *weights;
    float *acc;          /* [panels][cols][PANEL_ROWS] */
} planes_columns;

/* Columns [c0, c0 + n), for which tiles are open, by block b of panel p, which is folded at e. */
static void meet_columns(const planes_columns *x, const planes_block *e, const __m512 *unit, int64_t b, int p, int c0,
                         int n, pipeline *pipe) {
    enum { STEPS = LB_PANEL_HALVES * (PLANES_STEPS - 1), ALL = (1 << PLANES_STEPS) - 1 };
    const char *act = x->act + (size_t)c0 * x->stride + (size_t)b * x->step;
    /* of the next block each panel asks for some columns, if they lie side by side */
    const int lines = x->step > x->stride ? (int)(TILES_COLS * x->stride / 64) / x->panels / STEPS + 1 : 0;
    soon ask = { (uintptr_t)act + x->step + (size_t)(p * lines * STEPS * 64), lines };
    float *acc = x->acc + (size_t)(p * x->cols + c0) * PANEL_ROWS;
    float power = 1;
    for (int i = 0; i < LB_PANEL_HALVES + e->planes; i++) {
        const bool more = i >= LB_PANEL_HALVES;
        if (more) power *= 0x1p-8f, ask.lines = 0;
        *pipe->now = (job){ .w = more ? e->more[i - LB_PANEL_HALVES] : e->w[i],
                            .steps = more ? e->steps[i - LB_PANEL_HALVES] : ALL, .half = more ? BOTH_HALVES : i,
                            .unit = unit, .power = power, .act = act, .stride = x->stride, .cols = n, .acc = acc };
        pipe_in(pipe, ask);
        ask.at += (size_t)lines * (STEPS / 2) * 64;
    }
}

/* Block b of panel p by all columns. */
static void meet_panel(const h32 f, const planes_columns *x, const planes_block *e, int64_t b, int p, int *width,
                       pipeline *pipe) {
    const uint8_t *panel = x->weights + (size_t)p * h32_panel_bytes(f, x->k);
    const uint8_t *next = panel + h32_scales_at(f, (b + 1) * PLANES_GROUPS);
    const int lines = (int)(h32_scales_at(f, PLANES_GROUPS) / 64), shares = (x->cols + TILES_COLS - 1) / TILES_COLS;
    __m512 *unit = pipe->unit[pipe->unit_turn ^= 1];
    memcpy(unit, e->unit, sizeof e->unit);
    for (int c0 = 0, i = 0; c0 < x->cols; c0 += TILES_COLS, i++) {
        const int n = x->cols - c0 < TILES_COLS ? x->cols - c0 : TILES_COLS;
        if (n != *width) { /* what is in tiles would be lost */
            if (*width) pipe_out(pipe);
            tiles_open_for(*width = n);
        }
        for (int l = lines * i / shares; l < lines * (i + 1) / shares; l++)
            _mm_prefetch((const char *)next + 64 * l, _MM_HINT_T1);
        meet_columns(x, e, unit, b, p, c0, n, pipe);
    }
}

LB_INLINE void planes_many(const h32 f, const void *panels, int count, const void *act, size_t stride, size_t step,
                           int64_t k, int cols, float *out, int64_t out_stride) {
    const size_t acc_bytes = (size_t)count * (size_t)cols * PANEL_ROWS * sizeof(float);
    const planes_columns x = { act, stride, step, k, cols, count, panels, lb_scratch_take(acc_bytes) };
    planes_block *e = lb_scratch_take(sizeof *e);
    pipeline pipe;
    int width = 0;
    pipe_open(&pipe);
    memset(x.acc, 0, acc_bytes);
    for (int64_t b = 0; b < k / 256; b++)
        for (int p = 0; p < count; p++) {
            planes_fold(f, (const uint8_t *)panels + (size_t)p * h32_panel_bytes(f, k), b * PLANES_GROUPS, e);
            meet_panel(f, &x, e, b, p, &width, &pipe);
        }
    if (width) pipe_out(&pipe);
    lb_tiles_close();
    for (int c = 0; c < cols; c++)
        for (int p = 0; p < count; p++)
            LB_UNROLL for (int h = 0; h < LB_PANEL_HALVES; h++)
                _mm512_storeu_ps(out + c * out_stride + PANEL_ROWS * p + 16 * h,
                                 _mm512_load_ps(x.acc + (size_t)(p * cols + c) * PANEL_ROWS + 16 * h));
    lb_scratch_give(e, sizeof *e);
    lb_scratch_give(x.acc, acc_bytes);
}

/* ---- what a format's file is made of (LB_H32_PANEL) ---- */

#define H32_RUN(f, panel, act, stride, k, cols, out, out_stride)                                                     \
    planes_many(f, panel, 1, act, stride, sizeof(lb_act_q8_256), k, cols, out, out_stride)
#define H32_PANELS(...)                                                                                              \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        (void)q;                                                                                                     \
        planes_many(FORMAT, panels, count, act, stride, step, k, cols, out, out_stride);                             \
    }                                                                                                                \
    static const lb_panels panels_ops = { .most = LB_PANELS_MOST, .run = run_panels,                                 \
                                          .act_block = sizeof(lb_act_q8_256), .act_apart = PLANES_APART };           \
    static bool supports(const lb_args *a, const char **why) {                                                       \
        const lb_tensor *x = lb_arg(a, LB_GEMM_X);                                                                   \
        *why = "takes 96 rows of x and more, K a multiple of 256";                                                   \
        return x->dims[0] >= LB_PLANES_ROWS && x->dims[1] % 256 == 0;                                                \
    }                                                                                                                \
    LB_ROWS32_DEFINE_LAYOUT                                                                                          \
    H32_PLANES_PANEL(__VA_ARGS__)
#define H32_PLANES_PANEL(prepare, bytes, kind)                                                                    \
    const lb_panel LB_PLANES = { .rows = 32, .max_cols = LB_PANEL_MAX_COLS, .run = run, .several = &panels_ops,  \
                                     .panel_bytes = panel_bytes, .act_prepare = prepare, .act_bytes = bytes,         \
                                     .act_kind = kind };                                                             \
    LB_GEMM_PANEL(LB_PLANES)
#define H32_ACT lb_act_q8_256_prepare, lb_act_q8_256_bytes, LB_ACT_KIND_Q8_256
#define LB_H32_NATIVE(name)
#define H32_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AMX_INT8)
#define LB_PLANES_ABOUT                                                                                              \
    "96 rows of x and more; scales folded into the weights: exact whole numbers in two planes of bytes and as many "   \
    "more as a block's scales need, tdpbssd and tdpbsud over 256 of each, f32 once per 256"
