/* dense_avx512.h: gemm over unquantized weights in their native layout; a template, included once by each dtype's file.
 *
 * The file defines before the #include:
 *   DENSE_OP                        the multiply-add of a tile: sums += a vector of weights' dwords * a broadcast dword
 *   DENSE_PER_DWORD                 elements of K in a dword, as they meet in products: 1 or 2
 *   DENSE_FEW                       rows of x that a dot product of weights meets at once
 *   dense_fma(sum, w, x)            the same of 16 dwords each
 *   dense_weights(row, at, left)    16 of a row's dwords from element `at` on, of which `left` are left; others are 0
 *   dense_x(x, at, left)            16 dwords of a row of x from element `at` on, of which `left` are left; others are
 * 0
 *
 * Few rows: dot products of 4 rows of weights, 16 dwords at a time. Many: phase 0 puts x side by side (below), phase 1
 * hands out items of (panels of 32 rows, columns). Of an item 192 dwords of K at a time stand in L1, transposed so that
 * a lane is a row (once for up to 516 columns, a percent of the products' time), and the columns' dwords come by from
 * L2; their sums are added up in order of K, in every tile alike.
 *
 * x side by side: blocks of columns, of each the chunks of K, of each the tiles, of each its dwords, of each the tile's
 * columns. A chunk of all columns is one run of memory, read from its beginning to its end by every panel: the first of
 * an item brings it from L3 to L2, where twelve streams of a few lines each (rows as they are) waited for most of
 * them. */
#pragma once
#include <immintrin.h>
#include <string.h>

#include "gemm_panel.h"
#include "tile32.h"
#include "transpose16.h"

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
DENSE_INLINE __m512i dense_x(const float *x, int64_t at, int64_t left);

/* 24 KiB of weights and 9 of a tile's columns fit an L1 of 48; their sums and dwords an L2 of 1 MiB. */
enum { DENSE_ROWS = 32, DENSE_CHUNK = 192, DENSE_COLS = 516, DENSE_PANELS = 4 };

/* ---- tiles ---- */

/* Both sums += the weights times dword `i` of the tile's column, of n. */
#define DENSE_DOT(low, high, temp, other, address, at, n, i)                                                         \
    "vpbroadcastd 4*" #n "*" #i "+" #at "/32(%[x]), %%zmm" #temp "\n\t"                                              \
    DENSE_OP " %%zmm" #temp ", %%zmm30, %%zmm" #low "\n\t" DENSE_OP " %%zmm" #temp ", %%zmm31, %%zmm" #high "\n\t"
#define DENSE_STEP(n, i)                                                                                             \
    "vmovdqa64 128*" #i "(%[w]), %%zmm30\n\tvmovdqa64 64+128*" #i "(%[w]), %%zmm31\n\t" T32_##n(DENSE_DOT, n, i)
/* What tiles read of x lies side by side: up to three lines go by in four steps, as many are asked for 8 KiB further on
 * (what comes from L3 is late at 2), and a piece of a row of weights that are transposed next. */
#define DENSE_ASK                                                                                                    \
    "prefetcht0 8192(%[x])\n\tprefetcht0 8256(%[x])\n\tprefetcht0 8320(%[x])\n\t"                                    \
    DENSE_NEXT " (%[next])\n\tadd %[piece], %[next]\n\t"
#ifndef DENSE_NEXT
#define DENSE_NEXT "prefetcht0"
#endif
#define DENSE_ADD(low, high, temp, other, address, at, ...)                                                          \
    "vaddps " #at "(%[acc]), %%zmm" #low ", %%zmm" #low "\n\tvmovaps %%zmm" #low ", " #at "(%[acc])\n\t"             \
    "vaddps 64+" #at "(%[acc]), %%zmm" #high ", %%zmm" #high "\n\tvmovaps %%zmm" #high ", 64+" #at "(%[acc])\n\t"
/* acc[column][32] += four dwords of K, `fours` times; asks for `piece` bytes from `next` on with each. */
#define DENSE_TILE(n)                                                                                                \
    static __attribute__((noinline)) void dense_tile_##n(const void *w, const void *x, int64_t fours, float *acc,    \
                                                         const char *next, int64_t piece) {                          \
        __asm__ volatile(T32_##n(T32_ZERO, 0) ".p2align 6\n1:\n\t" DENSE_ASK                                         \
                         DENSE_STEP(n, 0) DENSE_STEP(n, 1) DENSE_STEP(n, 2) DENSE_STEP(n, 3)                         \
                         "add $512, %[w]\n\tadd $16*" #n ", %[x]\n\tdec %[fours]\n\tjnz 1b\n\t"                      \
                         T32_##n(DENSE_ADD, 0)                                                                       \
                         : [w] "+r"(w), [x] "+r"(x), [fours] "+r"(fours), [next] "+r"(next)                          \
                         : [acc] "r"(acc), [piece] "r"(piece)                                                        \
                         : T32_CLOBBERS);                                                                            \
    }
T32_EACH(DENSE_TILE)
typedef void (*dense_tile_fn)(const void *, const void *, int64_t, float *, const char *, int64_t);
static const dense_tile_fn dense_tiles[] = { NULL, dense_tile_1, dense_tile_2, dense_tile_3, dense_tile_4, dense_tile_5,
                                             dense_tile_6, dense_tile_7, dense_tile_8, dense_tile_9, dense_tile_10,
                                             dense_tile_11, dense_tile_12 };

/* ---- few columns ---- */

enum { DENSE_FEW_ROWS = 4, DENSE_FEW_MOST = 12 /* columns; more are faster with weights transposed */,
       DENSE_FEW_CHUNK = 1024 /* dwords of x that stay in L1 */,
       DENSE_AHEAD = 2048 };

/* The lane sums of four outputs, each by the same tree. */
DENSE_INLINE __m128 dense_reduce_4(const __m512 *s) {
    __m256 h[4];
    DENSE_UNROLL for (int i = 0; i < 4; i++)
        h[i] = _mm256_add_ps(_mm512_castps512_ps256(s[i]), _mm512_extractf32x8_ps(s[i], 1));
    __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(h[0], h[1]), _mm256_hadd_ps(h[2], h[3]));
    return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}

/* Prefetches four lines of each of four rows, DENSE_AHEAD bytes behind byte `from`: behind a row's end comes the row
 * four further. In bursts, as the other products of one row do. */
DENSE_INLINE void dense_few_ahead(const dense_problem *p, const char *const *w, size_t from) {
    size_t later = from + DENSE_AHEAD;
    if (later >= p->row_bytes) later += (DENSE_FEW_ROWS - 1) * p->row_bytes;
    DENSE_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++)
        DENSE_UNROLL for (int l = 0; l < 4; l++) _mm_prefetch(w[r] + later + 64 * l, _MM_HINT_T0);
}

/* Outputs n .. n + 3 of `cols` rows of x; dwords [at, at + count) are added to them, or begin them. Rows past N read
 * row N - 1 and are not stored. */
DENSE_INLINE void dense_few_tile(const dense_problem *p, const char *x, int64_t n, int64_t at, int64_t count,
                                 const int cols) {
    const char *w[DENSE_FEW_ROWS];
    const size_t element = p->row_bytes / (size_t)p->k;
    DENSE_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++)
        w[r] = p->w + (size_t)(n + r < p->n ? n + r : p->n - 1) * p->row_bytes;
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

/* The same of all of K, for rows of x from column c0 on. */
DENSE_INLINE void dense_few_cols(const dense_problem *p, const char *x, int64_t n, int64_t c0, const int cols) {
    dense_problem of = *p;
    of.out += c0 * p->n;
    int64_t all = (dense_dwords(p->k) + 15) / 16 * 16;
    for (int64_t at = 0; at < all; at += DENSE_FEW_CHUNK)
        dense_few_tile(&of, x + (size_t)c0 * p->x_stride, n, at,
                       all - at < DENSE_FEW_CHUNK ? all - at : DENSE_FEW_CHUNK, cols);
}

/* Each weight comes from memory once, its rows' chunks in order: memory sees four forward streams. More columns than a
 * tile has meet the four rows again, out of L2. */
static void dense_few(const dense_problem *p, const char *x, int64_t n0, int64_t n1) {
    const int64_t passes = (p->m + DENSE_FEW - 1) / DENSE_FEW;
    for (int64_t n = n0; n < n1; n += DENSE_FEW_ROWS)
        for (int64_t i = 0; i < passes; i++) {
            int64_t c0 = p->m * i / passes;
            switch (p->m * (i + 1) / passes - c0) {
            case 1: dense_few_cols(p, x, n, c0, 1); break;
            case 2: dense_few_cols(p, x, n, c0, 2); break;
            case 3: dense_few_cols(p, x, n, c0, 3); break;
            case 4: dense_few_cols(p, x, n, c0, 4); break;
            case 5: dense_few_cols(p, x, n, c0, 5); break;
            default: dense_few_cols(p, x, n, c0, 6);
            }
        }
}
_Static_assert(DENSE_FEW == 6, "as the switch has it");

/* ---- weights side by side ---- */

/* Dwords of K from element `from` on, `count` of them, of 16 rows at w, of which `rows` exist, to to[dword][half];
 * `whole`, a constant: all rows and elements do. What does not exist is zero. */
DENSE_INLINE void dense_pack_half(const dense_problem *p, const char *w, int64_t rows, int64_t from, int64_t count,
                                  __m512i (*to)[2], int half, const bool whole) {
    const size_t step = p->row_bytes;
    for (int64_t i = 0; i < count; i += 16, from += 16 * DENSE_PER_DWORD) {
        __m512i v[16];
        DENSE_UNROLL for (int r = 0; r < 16; r++) {
            if (whole) v[r] = dense_weights(w + (size_t)r * step, from, 16 * DENSE_PER_DWORD);
            else v[r] = r < rows ? dense_weights(w + (size_t)r * step, from, p->k - from) : _mm512_setzero_si512();
        }
        transpose16(v);
        DENSE_UNROLL for (int r = 0; r < 16; r++) _mm512_store_si512(&to[i + r][half], v[r]);
    }
}

/* Dwords [at, at + count) of 32 rows from row0 on, to[dword][2]; rows past N are zero. */
static void dense_pack(const dense_problem *p, int64_t row0, int64_t at, int64_t count, __m512i (*to)[2]) {
    for (int half = 0; half < 2; half++) {
        int64_t row = row0 + 16 * half, from = at * DENSE_PER_DWORD;
        const char *w = p->w + (size_t)row * p->row_bytes;
        if (row + 16 <= p->n && from + count * DENSE_PER_DWORD <= p->k)
            dense_pack_half(p, w, 16, from, count, to, half, true);
        else dense_pack_half(p, w, p->n - row, from, count, to, half, false);
    }
}

/* A block of columns of x, and where it begins side by side. */
typedef struct dense_columns { int64_t first; int count, tiles; const char *x; } dense_columns;

static int64_t dense_padded(int64_t k) { return (dense_dwords(k) + 15) / 16 * 16; }
static int64_t dense_across(int64_t m) { return (m + DENSE_COLS - 1) / DENSE_COLS; }

static dense_columns dense_block(const dense_problem *p, int64_t i, const void *x) {
    int64_t across = dense_across(p->m), first = p->m * i / across;
    dense_columns c = { .first = first, .count = (int)(p->m * (i + 1) / across - first) };
    c.tiles = (c.count + TILE32_COLS - 1) / TILE32_COLS;
    c.x = (const char *)x + (size_t)(first * dense_padded(p->k)) * 4;
    return c;
}

/* Tiles of equal width, so that none is thin. */
DENSE_INLINE int dense_tile_at(const dense_columns *c, int t) { return c->count * t / c->tiles; }
/* Where the dwords of a tile, whose first column is c0, stand in the chunk of `count` at `at`. */
DENSE_INLINE const char *dense_tile_x(const dense_columns *c, int64_t at, int64_t count, int c0) {
    return c->x + (size_t)(at * c->count + count * c0) * 4;
}

/* Dwords [at, at + count) of columns [c0, c1) of a block to their place. */
static void dense_pack_x(const dense_problem *p, const dense_columns *b, int c0, int c1, int64_t at, int64_t count) {
    char *to = (char *)(uintptr_t)dense_tile_x(b, at, count, c0);
    const int cols = c1 - c0;
    const __mmask16 some = (__mmask16)((1u << cols) - 1);
    for (int64_t i = 0; i < count; i += 16) {
        __m512i v[16];
        int64_t from = (at + i) * DENSE_PER_DWORD;
        DENSE_UNROLL for (int c = 0; c < 16; c++) {
            v[c] = _mm512_setzero_si512();
            if (c < cols) {
                const float *row = p->x + (b->first + c0 + c) * p->k;
                _mm_prefetch((const char *)(row + from) + 1024, _MM_HINT_T0);
                if (DENSE_PER_DWORD == 2) _mm_prefetch((const char *)(row + from) + 1088, _MM_HINT_T0);
                v[c] = dense_x(row, from, p->k - from);
            }
        }
        transpose16(v);
        DENSE_UNROLL for (int r = 0; r < 16; r++, to += 4 * cols) _mm512_mask_storeu_epi32(to, some, v[r]);
    }
}

/* This part's share of x: tiles one after the other, of each the chunks. */
static void dense_prepare(const dense_problem *p, const lb_launch *l, const void *x) {
    int64_t all = dense_padded(p->k), chunks = (all + DENSE_CHUNK - 1) / DENSE_CHUNK, across = dense_across(p->m);
    int64_t begin, end, total = 0, before = 0;
    for (int64_t i = 0; i < across; i++) total += dense_block(p, i, x).tiles * chunks;
    lb_split(total, 1, l->part, l->parts, &begin, &end);
    for (int64_t i = 0; i < across; i++) {
        dense_columns b = dense_block(p, i, x);
        int64_t mine = b.tiles * chunks, u0 = begin > before ? begin - before : 0;
        int64_t u1 = end - before < mine ? end - before : mine;
        for (int64_t u = u0; u < u1; u++) {
            int t = (int)(u / chunks);
            int64_t at = u % chunks * DENSE_CHUNK;
            int64_t count = all - at < DENSE_CHUNK ? all - at : DENSE_CHUNK;
            dense_pack_x(p, &b, dense_tile_at(&b, t), dense_tile_at(&b, t + 1), at, count);
        }
        before += mine;
    }
}

/* ---- items ---- */

typedef struct dense_space { __m512i w[DENSE_CHUNK][2]; float acc[DENSE_PANELS][DENSE_COLS * DENSE_ROWS]; } dense_space;

/* The rows of weights that are transposed after those at hand, which tiles ask for a row each. */
typedef struct dense_next { const char *row; size_t row_bytes, bytes; int64_t rows, piece; } dense_next;

static dense_next dense_after(const dense_problem *p, int64_t row0, int64_t at) {
    size_t element = p->row_bytes / (size_t)p->k, bytes = DENSE_CHUNK * DENSE_PER_DWORD * element;
    return (dense_next){ p->w + (size_t)row0 * p->row_bytes + (size_t)(at * DENSE_PER_DWORD) * element, p->row_bytes,
                         bytes, p->n - row0 < DENSE_ROWS ? p->n - row0 : DENSE_ROWS,
                         (int64_t)(bytes / (DENSE_CHUNK / 4)) };
}
/* The row that tile t of n asks for; where there are fewer tiles than rows it asks for the others at once. (gcc drops
 * calls of functions that only prefetch: this one has a value.) */
DENSE_INLINE const char *dense_ask(const dense_next *a, int t, int n, const char *none) {
    int64_t r = a->rows * t / n, last = a->rows * (t + 1) / n;
    for (int64_t i = r + 1; i < last; i++)
        for (size_t b = 0; b < a->bytes; b += 64) _mm_prefetch(a->row + (size_t)i * a->row_bytes + b, _MM_HINT_T1);
    return r < last ? a->row + (size_t)r * a->row_bytes : none;
}

/* Columns [c0, c1) of one panel's sums to `out`, tile by tile. Their lines lie far apart and are not in the caches:
 * they are asked for before the tile's last products, so that stores find them. (In assembly, see dense_ask.) */
DENSE_INLINE void dense_write_soon(const dense_problem *p, int64_t row0, int64_t col0, int c0, int c1) {
    for (int c = c0; c < c1; c++) {
        const float *to = p->out + (col0 + c) * p->n + row0;
        __asm__ volatile("prefetchw (%0)\n\tprefetchw 64(%0)" : : "r"(to));
    }
}

static void dense_write(const dense_problem *p, const float *acc, int64_t row0, int64_t col0, int c0, int c1) {
    int64_t left = p->n - row0;
    const __mmask16 low = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
    const __mmask16 high = (__mmask16)(left >= 32 ? 0xffff : left <= 16 ? 0 : (1u << (left - 16)) - 1);
    for (int c = c0; c < c1; c++) {
        float *to = p->out + (col0 + c) * p->n + row0;
        _mm512_mask_storeu_ps(to, low, _mm512_load_ps(acc + c * DENSE_ROWS));
        _mm512_mask_storeu_ps(to + 16, high, _mm512_load_ps(acc + c * DENSE_ROWS + 16));
    }
}

/* Adds dwords [at, at + count) of K to the sums of panel i of those from row `first` on; the first begin them, the last
 * finish them. */
static void dense_chunk(const dense_problem *p, dense_space *s, const dense_columns *b, int64_t first, int i,
                        int panels, int64_t at, int64_t count) {
    int64_t row0 = first + DENSE_ROWS * i, all = dense_padded(p->k);
    dense_next next = i == panels - 1 ? dense_after(p, first, at + count) : dense_after(p, row0 + DENSE_ROWS, at);
    dense_pack(p, row0, at, count, s->w);
    for (int t = 0; t < b->tiles; t++) {
        int c0 = dense_tile_at(b, t), c1 = dense_tile_at(b, t + 1);
        float *acc = s->acc[i] + c0 * DENSE_ROWS;
        if (at + count == all) dense_write_soon(p, row0, b->first, c0, c1);
        if (at == 0) memset(acc, 0, (size_t)(c1 - c0) * DENSE_ROWS * sizeof *acc);
        const char *row = dense_ask(&next, t, b->tiles, (const char *)s->w);
        dense_tiles[c1 - c0](s->w, dense_tile_x(b, at, count, c0), count / 4, acc, row, next.piece);
        if (at + count == all) dense_write(p, s->acc[i], row0, b->first, c0, c1);
    }
}

/* Panels go together as long as there are many items to come, then one by one, so that no part is left with a large
 * one. */
static void dense_items(const dense_problem *p, const lb_launch *l, dense_space *s, const void *x) {
    int64_t panels = (p->n + DENSE_ROWS - 1) / DENSE_ROWS, across = dense_across(p->m), all = dense_padded(p->k);
    int64_t each = panels * across / (8 * l->parts); /* about eight items a part, where N allows */
    each = each < 1 ? 1 : each > DENSE_PANELS ? DENSE_PANELS : each;
    int64_t large = each > 1 && panels > each * l->parts ? (panels - each * l->parts) / each : 0;
    int64_t down = large + (panels - large * each);
    for (int64_t i; (i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) < down * across;) {
        int64_t at = i / across, first = at < large ? at * each : large * each + (at - large);
        dense_columns b = dense_block(p, i % across, x);
        int count = (int)(at < large ? each : 1);
        for (at = 0; at < all; at += DENSE_CHUNK)
            for (int j = 0; j < count; j++)
                dense_chunk(p, s, &b, first * DENSE_ROWS, j, count, at,
                            all - at < DENSE_CHUNK ? all - at : DENSE_CHUNK);
    }
}

/* ---- the kernel ---- */

static int64_t dense_m(const lb_args *a) { return lb_arg(a, LB_GEMM_X)->dims[0]; }
static int phases(const lb_args *a) { return dense_m(a) <= DENSE_FEW_MOST ? 1 : 2; }

/* Rows of x, in whole cache lines: side by side, or of `stride` bytes. */
static size_t dense_x_all(int64_t m, int64_t k, bool few) {
    size_t row = (size_t)dense_padded(k) * 4;
    return ((size_t)m * (few ? lb_panel_act_stride(row) : row) + 63) / 64 * 64;
}

static size_t workspace_bytes(const lb_args *a, int parts) {
    bool few = dense_m(a) <= DENSE_FEW_MOST;
    size_t x = dense_x_all(dense_m(a), lb_arg(a, LB_GEMM_X)->dims[1], few);
    return few ? (size_t)parts * x : x + (size_t)parts * sizeof(dense_space);
}

/* Few rows: every part prepares all of x for itself, which is cheaper than a barrier. */
static void dense_launch_few(const dense_problem *p, const lb_launch *l) {
    char *x = (char *)l->workspace + (size_t)l->part * dense_x_all(p->m, p->k, true);
    int64_t begin, end;
    lb_split(p->n, DENSE_FEW_ROWS, l->part, l->parts, &begin, &end);
    if (begin >= end) return;
    for (int64_t c = 0; c < p->m; c++)
        for (int64_t i = 0; i < dense_padded(p->k); i += 16)
            _mm512_storeu_si512(x + (size_t)c * p->x_stride + 4 * (size_t)i,
                                dense_x(p->x + c * p->k, i * DENSE_PER_DWORD, p->k - i * DENSE_PER_DWORD));
    dense_few(p, x, begin, end);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    dense_problem p = { .x = lb_tensor_f32(x), .w = lb_tensor_data(w), .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)),
                        .m = x->dims[0], .n = w->dims[0], .k = x->dims[1] };
    p.row_bytes = (size_t)p.k * lb_dtype_size(w->dtype);
    p.x_stride = lb_panel_act_stride((size_t)dense_padded(p.k) * 4);
    if (p.m == 0 || p.n == 0) return;
    if (p.k == 0) {
        int64_t begin, end;
        lb_split(p.m * p.n, 1, l->part, l->parts, &begin, &end);
        for (int64_t i = begin; i < end; i++) p.out[i] = 0;
    } else if (p.m <= DENSE_FEW_MOST) {
        dense_launch_few(&p, l);
    } else if (l->phase == 0) {
        dense_prepare(&p, l, l->workspace);
    } else {
        char *spaces = (char *)l->workspace + dense_x_all(p.m, p.k, false);
        dense_items(&p, l, (dense_space *)(void *)(spaces + (size_t)l->part * sizeof(dense_space)), l->workspace);
    }
}

/* The descriptor's fields that follow from it. */
#define DENSE_KERNEL                                                                                                 \
    .op = "gemm", .device = "cpu", .source = "luabench", .priority = 20, .phases = phases,                           \
    .workspace_bytes = workspace_bytes, .launch = launch
