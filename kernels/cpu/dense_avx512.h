/* dense_avx512.h: gemm over unquantized weights in their native layout; a template, included once by each dtype's file.
 *
 * The file defines before the #include:
 *   DENSE_OP                        the multiply-add of a tile: sums += a vector of weights' dwords * a broadcast dword
 *   DENSE_PER_DWORD                 elements of K in a dword, as they meet in products: 1 or 2
 *   DENSE_FEW                       up to so many rows of x the weights are read once, in order, and not transposed
 *   dense_fma(sum, w, x)            the same of 16 dwords each
 *   dense_weights(row, at, left)    16 of a row's dwords from element `at` on, of which `left` are left; others are 0
 *   dense_x_bytes(k), dense_prepare(x, k, to)    a row of x as dwords, padded with zeros to a multiple of 16
 *
 * Few rows: dot products of 4 rows of weights, 16 dwords at a time. Many: phase 0 prepares x, phase 1 hands out items of
 * (panels of 32 rows, columns). Of an item 192 dwords of K at a time stand in L1, transposed so that a lane is a row (once
 * for up to 516 columns, a percent of the products' time), and the columns' dwords come by from L2; their sums are added
 * up in order of K, in every tile alike. */
#pragma once
#include <immintrin.h>
#include <string.h>

#include "gemm_panel.h"
#include "tile32.h"

#define DENSE_UNROLL _Pragma("GCC unroll 16") /* without it gcc keeps vectors in memory */
#define DENSE_INLINE static inline __attribute__((always_inline))

typedef struct dense_problem {
    const float *x;
    const char *w;
    float *out;
    int64_t m, n, k;
    size_t row_bytes, x_stride;
} dense_problem;

DENSE_INLINE int64_t dense_dwords(int64_t k) { return (k + DENSE_PER_DWORD - 1) / DENSE_PER_DWORD; }
DENSE_INLINE __m512 dense_fma(__m512 sum, __m512i w, __m512i x);
DENSE_INLINE __m512i dense_weights(const char *row, int64_t at, int64_t left);
static size_t dense_x_bytes(int64_t k);
static void dense_prepare(const float *x, int64_t k, void *to);

/* 24 KiB of weights and 9 of a tile's columns fit an L1 of 48; their sums and dwords an L2 of 1 MiB. */
enum { DENSE_ROWS = 32, DENSE_CHUNK = 192, DENSE_COLS = 516, DENSE_PANELS = 4 };

/* ---- tiles ---- */

#define DENSE_ADD(low, high, temp, other, address, at, ...)                                                          \
    "vaddps " #at "(%[acc]), %%zmm" #low ", %%zmm" #low "\n\tvmovaps %%zmm" #low ", " #at "(%[acc])\n\t"             \
    "vaddps 64+" #at "(%[acc]), %%zmm" #high ", %%zmm" #high "\n\tvmovaps %%zmm" #high ", 64+" #at "(%[acc])\n\t"
/* acc[column][32] += four dwords of K, `fours` times. */
#define DENSE_TILE(n)                                                                                                \
    static __attribute__((noinline)) void dense_tile_##n(const void *w, const void *a, size_t s, int64_t fours,      \
                                                         float *acc) {                                               \
        const char *b = (const char *)a + 3 * s, *c = (const char *)a + 6 * s, *d = (const char *)a + 9 * s;         \
        __asm__ volatile(T32_##n(T32_ZERO, 0) ".p2align 6\n1:\n\t" T32_FOUR_STEPS(n, DENSE_OP)                       \
                         "dec %[fours]\n\tjnz 1b\n\t" T32_##n(DENSE_ADD, 0)                                          \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [fours] "+r"(fours)      \
                         : [s] "r"(s), [acc] "r"(acc)                                                                \
                         : T32_CLOBBERS);                                                                            \
    }
T32_EACH(DENSE_TILE)
typedef void (*dense_tile_fn)(const void *, const void *, size_t, int64_t, float *);
static const dense_tile_fn dense_tiles[] = { NULL, dense_tile_1, dense_tile_2, dense_tile_3, dense_tile_4, dense_tile_5,
                                             dense_tile_6, dense_tile_7, dense_tile_8, dense_tile_9, dense_tile_10,
                                             dense_tile_11, dense_tile_12 };

/* ---- few columns ---- */

enum { DENSE_FEW_ROWS = 4, DENSE_FEW_CHUNK = 1024 /* dwords of x that stay in L1 */,
       DENSE_AHEAD = 2048 };

/* The lane sums of four outputs, each by the same tree. */
DENSE_INLINE __m128 dense_reduce_4(const __m512 *s) {
    __m256 h[4];
    DENSE_UNROLL for (int i = 0; i < 4; i++)
        h[i] = _mm256_add_ps(_mm512_castps512_ps256(s[i]), _mm512_extractf32x8_ps(s[i], 1));
    __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(h[0], h[1]), _mm256_hadd_ps(h[2], h[3]));
    return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}

/* Prefetches four lines of each of four rows, DENSE_AHEAD bytes behind byte `from`: behind a row's end comes the row four
 * further. In bursts, as the other products of one row do. */
DENSE_INLINE void dense_few_ahead(const dense_problem *p, const char *const *w, size_t from) {
    size_t later = from + DENSE_AHEAD;
    if (later >= p->row_bytes) later += (DENSE_FEW_ROWS - 1) * p->row_bytes;
    DENSE_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++)
        DENSE_UNROLL for (int l = 0; l < 4; l++) _mm_prefetch(w[r] + later + 64 * l, _MM_HINT_T0);
}

/* Outputs n .. n + 3 of `cols` rows of x; dwords [at, at + count) are added to them, or begin them. Rows past N read row
 * N - 1 and are not stored. */
DENSE_INLINE void dense_few_tile(const dense_problem *p, const char *x, int64_t n, int64_t at, int64_t count,
                                 const int cols) {
    const char *w[DENSE_FEW_ROWS];
    const size_t element = p->row_bytes / (size_t)p->k;
    DENSE_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++) w[r] = p->w + (size_t)(n + r < p->n ? n + r : p->n - 1) * p->row_bytes;
    __m512 sum[DENSE_FEW][DENSE_FEW_ROWS];
    DENSE_UNROLL for (int c = 0; c < cols; c++)
        DENSE_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++) sum[c][r] = _mm512_setzero_ps();
    for (int64_t i = at; i < at + count; i += 16) {
        __m512i v[DENSE_FEW_ROWS];
        int64_t from = i * DENSE_PER_DWORD;
        if (i / 16 % 4 == 0) dense_few_ahead(p, w, (size_t)from * element);
        DENSE_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++) v[r] = dense_weights(w[r], from, p->k - from);
        DENSE_UNROLL for (int c = 0; c < cols; c++) {
            __m512i y = _mm512_loadu_si512(x + (size_t)c * p->x_stride + (size_t)i * 4);
            DENSE_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++) sum[c][r] = dense_fma(sum[c][r], v[r], y);
        }
    }
    __mmask8 rows = (__mmask8)(p->n - n >= DENSE_FEW_ROWS ? 15 : (1 << (p->n - n)) - 1);
    DENSE_UNROLL for (int c = 0; c < cols; c++) {
        float *out = p->out + c * p->n + n;
        __m128 s = dense_reduce_4(sum[c]);
        if (at) s = _mm_add_ps(_mm_maskz_loadu_ps(rows, out), s);
        _mm_mask_storeu_ps(out, rows, s);
    }
}

/* Each weight is read once, its rows' chunks in order: memory sees four forward streams. */
DENSE_INLINE void dense_few_cols(const dense_problem *p, const char *x, int64_t n0, int64_t n1, const int cols) {
    int64_t all = (dense_dwords(p->k) + 15) / 16 * 16;
    for (int64_t n = n0; n < n1; n += DENSE_FEW_ROWS)
        for (int64_t at = 0; at < all; at += DENSE_FEW_CHUNK)
            dense_few_tile(p, x, n, at, all - at < DENSE_FEW_CHUNK ? all - at : DENSE_FEW_CHUNK, cols);
}

static void dense_few(const dense_problem *p, const char *x, int64_t n0, int64_t n1) {
    switch (p->m) {
    case 1: dense_few_cols(p, x, n0, n1, 1); return;
    case 2: dense_few_cols(p, x, n0, n1, 2); return;
    case 3: dense_few_cols(p, x, n0, n1, 3); return;
    case 4: dense_few_cols(p, x, n0, n1, 4); return;
    case 5: dense_few_cols(p, x, n0, n1, 5); return;
    default: dense_few_cols(p, x, n0, n1, 6); return;
    }
}
_Static_assert(DENSE_FEW == 6, "as the switch has it");

/* ---- weights side by side ---- */

/* v[i] dword j becomes v[j] dword i. */
DENSE_INLINE void dense_transpose(__m512i v[16]) {
    __m512i t[16];
    DENSE_UNROLL for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    DENSE_UNROLL for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    DENSE_UNROLL for (int i = 0; i < 4; i++) { /* 128-bit pieces of rows 0..3, 4..7, 8..11, 12..15 */
        __m512i a = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88), b = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        __m512i c = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88), d = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
        t[i] = _mm512_shuffle_i32x4(a, c, 0x88);
        t[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
        t[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
    DENSE_UNROLL for (int i = 0; i < 16; i++) v[i] = t[i];
}

/* Dwords [at, at + count) of 32 rows from row0 on, to[dword][2]; rows past N are zero. */
static void dense_pack(const dense_problem *p, int64_t row0, int64_t at, int64_t count, __m512i (*to)[2]) {
    for (int half = 0; half < 2; half++)
        for (int64_t i = 0; i < count; i += 16) {
            __m512i v[16];
            DENSE_UNROLL for (int r = 0; r < 16; r++) {
                int64_t row = row0 + 16 * half + r, from = (at + i) * DENSE_PER_DWORD;
                v[r] = _mm512_setzero_si512();
                if (row < p->n) v[r] = dense_weights(p->w + (size_t)row * p->row_bytes, from, p->k - from);
            }
            dense_transpose(v);
            DENSE_UNROLL for (int r = 0; r < 16; r++) _mm512_store_si512(&to[i + r][half], v[r]);
        }
}

/* ---- items ---- */

typedef struct dense_space { __m512i w[DENSE_CHUNK][2]; float acc[DENSE_PANELS][DENSE_COLS * DENSE_ROWS]; } dense_space;

static int64_t dense_padded(int64_t k) { return (dense_dwords(k) + 15) / 16 * 16; }

/* Prefetches piece i of n of the 32 rows' chunk at dword `at`, lines of a row after one another. */
static void dense_ahead(const dense_problem *p, int64_t row0, int64_t at, int i, int n) {
    size_t element = p->row_bytes / (size_t)p->k, from = (size_t)(at * DENSE_PER_DWORD) * element;
    int per_row = (int)(DENSE_CHUNK * DENSE_PER_DWORD * element / 64) + 1, lines = DENSE_ROWS * per_row;
    for (int l = lines * i / n; l < lines * (i + 1) / n && row0 + l / per_row < p->n; l++)
        _mm_prefetch(p->w + (size_t)(row0 + l / per_row) * p->row_bytes + from + (size_t)(64 * (l % per_row)), _MM_HINT_T1);
}

/* What an item is: panels of 32 rows from row0 on, columns [col0, col0 + cols). */
typedef struct dense_part { int64_t row0, col0; int panels, cols; } dense_part;

/* Columns [c0, c1) of one panel's sums to `out`, tile by tile, so that the misses of lines far apart are hidden behind the
 * next tile's work. */
static void dense_write(const dense_problem *p, const float *acc, int64_t row0, int64_t col0, int c0, int c1) {
    size_t bytes = (size_t)(p->n - row0 < DENSE_ROWS ? p->n - row0 : DENSE_ROWS) * sizeof(float);
    for (int c = c0; c < c1; c++) memcpy(p->out + (col0 + c) * p->n + row0, acc + c * DENSE_ROWS, bytes);
}

/* Adds dwords [at, at + count) of K to the sums of an item's panel i; the first begin them, the last finish them. */
static void dense_chunk(const dense_problem *p, dense_space *s, const char *x, dense_part q, int i, int64_t at,
                        int64_t count) {
    int tiles = (q.cols + TILE32_COLS - 1) / TILE32_COLS;
    int64_t row0 = q.row0 + DENSE_ROWS * i, all = dense_padded(p->k);
    bool wrap = i == q.panels - 1;
    dense_pack(p, row0, at, count, s->w);
    for (int t = 0; t < tiles; t++) {
        int c0 = q.cols * t / tiles, c1 = q.cols * (t + 1) / tiles;
        float *acc = s->acc[i] + c0 * DENSE_ROWS;
        dense_ahead(p, wrap ? q.row0 : row0 + DENSE_ROWS, wrap ? at + count : at, t, tiles);
        if (at == 0) memset(acc, 0, (size_t)(c1 - c0) * DENSE_ROWS * sizeof *acc);
        dense_tiles[c1 - c0](s->w, x + (size_t)(q.col0 + c0) * p->x_stride + (size_t)at * 4, p->x_stride, count / 4, acc);
        if (at + count == all) dense_write(p, s->acc[i], row0, q.col0, c0, c1);
    }
}

static void dense_items(const dense_problem *p, const lb_launch *l, dense_space *s, const char *x) {
    int64_t panels = (p->n + DENSE_ROWS - 1) / DENSE_ROWS, across = (p->m + DENSE_COLS - 1) / DENSE_COLS;
    int64_t each = panels * across / (8 * l->parts); /* about eight items a part, where N allows */
    each = each < 1 ? 1 : each > DENSE_PANELS ? DENSE_PANELS : each;
    int64_t down = (panels + each - 1) / each;
    for (int64_t i; (i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) < down * across;) {
        int64_t first = i / across * each, c = i % across, c0 = p->m * c / across, c1 = p->m * (c + 1) / across;
        dense_part q = { first * DENSE_ROWS, c0, (int)(panels - first < each ? panels - first : each), (int)(c1 - c0) };
        for (int64_t at = 0, all = dense_padded(p->k); at < all; at += DENSE_CHUNK)
            for (int j = 0; j < q.panels; j++)
                dense_chunk(p, s, x, q, j, at, all - at < DENSE_CHUNK ? all - at : DENSE_CHUNK);
    }
}

/* ---- the kernel ---- */

static int64_t dense_rows(const lb_args *a) { return lb_arg(a, LB_GEMM_X)->dims[0]; }
static int phases(const lb_args *a) { return dense_rows(a) <= DENSE_FEW ? 1 : 2; }

/* All rows of x, in whole cache lines. */
static size_t dense_x_all(int64_t m, int64_t k) {
    return ((size_t)m * lb_panel_act_stride(dense_x_bytes(k)) + 63) / 64 * 64;
}

static size_t workspace_bytes(const lb_args *a, int parts) {
    size_t x = dense_x_all(dense_rows(a), lb_arg(a, LB_GEMM_X)->dims[1]);
    return dense_rows(a) <= DENSE_FEW ? (size_t)parts * x : x + (size_t)parts * sizeof(dense_space);
}

/* Few rows: every part prepares all of x for itself, which is cheaper than a barrier. */
static void dense_launch_few(const dense_problem *p, const lb_launch *l) {
    char *x = (char *)l->workspace + (size_t)l->part * dense_x_all(p->m, p->k);
    int64_t begin, end;
    lb_split(p->n, DENSE_FEW_ROWS, l->part, l->parts, &begin, &end);
    if (begin >= end) return;
    for (int64_t i = 0; i < p->m; i++) dense_prepare(p->x + i * p->k, p->k, x + (size_t)i * p->x_stride);
    dense_few(p, x, begin, end);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    dense_problem p = { .x = lb_tensor_f32(x), .w = lb_tensor_data(w), .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)),
                        .m = x->dims[0], .n = w->dims[0], .k = x->dims[1] };
    p.row_bytes = (size_t)p.k * lb_dtype_size(w->dtype);
    p.x_stride = lb_panel_act_stride(dense_x_bytes(p.k));
    int64_t begin, end;
    if (p.m == 0 || p.n == 0) return;
    lb_split(p.k ? p.m : p.m * p.n, 1, l->part, l->parts, &begin, &end);
    if (p.k == 0) {
        for (int64_t i = begin; i < end; i++) p.out[i] = 0;
    } else if (p.m <= DENSE_FEW) {
        dense_launch_few(&p, l);
    } else if (l->phase == 0) {
        for (int64_t i = begin; i < end; i++)
            dense_prepare(p.x + i * p.k, p.k, (char *)l->workspace + (size_t)i * p.x_stride);
    } else {
        char *spaces = (char *)l->workspace + dense_x_all(p.m, p.k);
        dense_items(&p, l, (dense_space *)(void *)(spaces + (size_t)l->part * sizeof(dense_space)), l->workspace);
    }
}

/* The descriptor's fields that follow from it. */
#define DENSE_KERNEL                                                                                                 \
    .op = "gemm", .device = "cpu", .source = "luabench", .priority = 20, .phases = phases,                           \
    .workspace_bytes = workspace_bytes, .launch = launch
