/* dense_avx2.h: gemm over unquantized weights in their native layout with AVX2; a template, included once by each
 * dtype's file, which defines before the #include: DENSE_ELEMENT               bytes of an element of a row dense_8(p)
 * 8 elements at p as f32
 *
 * Up to six rows of x: dot products of 4 rows of weights, which are read once, in order. Many: phase 0 copies x padded,
 * phase 1 hands out items of (32 rows, columns); of an item 256 k at a time stand in L1, transposed, as f32. */
#pragma once
#include <immintrin.h>
#include <string.h>

#define F32_ZEROS 0
#include "f32_tile_avx2.h"

LB_INLINE __m256 dense_8(const char *p);

typedef struct dense_problem {
    const float *x;
    const char *w;
    float *out;
    int64_t m, n, k;
    size_t row_bytes, x_stride;
} dense_problem;

enum { DENSE_FEW = 6, DENSE_FEW_COLS = 4, DENSE_FEW_ROWS = 4, DENSE_COLS = 516, DENSE_LANES = 8 };

/* 8 elements of a row from `at` on, of which `left` are left; the others are 0. */
LB_INLINE __m256 dense_some(const char *row, int64_t at, int64_t left) {
    const char *p = row + at * DENSE_ELEMENT;
    if (left >= DENSE_LANES) return dense_8(p);
    char some[DENSE_LANES * DENSE_ELEMENT] = { 0 };
    if (left > 0) memcpy(some, p, (size_t)left * DENSE_ELEMENT);
    return dense_8(some);
}

/* ---- few columns ---- */

LB_INLINE float dense_sum(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Outputs n .. n + 3 of `cols` rows of x; rows past N read row N - 1 and are not stored. */
LB_INLINE void dense_few_rows(const dense_problem *p, const char *x, int64_t n, const int cols) {
    __m256 sum[DENSE_FEW_COLS][DENSE_FEW_ROWS];
    const char *w[DENSE_FEW_ROWS];
    const size_t ahead = DENSE_FEW_ROWS * p->row_bytes;
    LB_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++) {
        w[r] = p->w + (size_t)(n + r < p->n ? n + r : p->n - 1) * p->row_bytes;
        LB_UNROLL for (int c = 0; c < cols; c++) sum[c][r] = _mm256_setzero_ps();
    }
    int64_t whole = p->k / DENSE_LANES * DENSE_LANES;
    for (int64_t i = 0; i < whole; i += DENSE_LANES)
        LB_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++) {
            _mm_prefetch(w[r] + ahead + i * DENSE_ELEMENT, _MM_HINT_T1);
            __m256 v = dense_8(w[r] + i * DENSE_ELEMENT);
            LB_UNROLL for (int c = 0; c < cols; c++) sum[c][r] = _mm256_fmadd_ps(
                v, _mm256_loadu_ps((const float *)(const void *)(x + (size_t)c * p->x_stride) + i), sum[c][r]);
        }
    LB_UNROLL for (int r = 0; r < DENSE_FEW_ROWS; r++) {
        if (n + r >= p->n) break;
        __m256 v = dense_some(w[r], whole, p->k - whole);
        LB_UNROLL for (int c = 0; c < cols; c++) {
            const float *rest = (const float *)(const void *)(x + (size_t)c * p->x_stride) + whole; /* padded to 32 */
            if (whole < p->k) sum[c][r] = _mm256_fmadd_ps(v, _mm256_loadu_ps(rest), sum[c][r]);
            p->out[c * p->n + n + r] = dense_sum(sum[c][r]);
        }
    }
}

/* More than DENSE_FEW_COLS rows of x go in two turns, the second of which finds the weights in L1. */
static void dense_few(const dense_problem *p, const char *x, int64_t n0, int64_t n1) {
    for (int64_t n = n0; n < n1; n += DENSE_FEW_ROWS)
        for (int64_t c = 0; c < p->m; c += DENSE_FEW_COLS) {
            dense_problem some = *p;
            some.out += c * p->n;
            const char *from = x + (size_t)c * p->x_stride;
            switch (p->m - c) {
            case 1: dense_few_rows(&some, from, n, 1); break;
            case 2: dense_few_rows(&some, from, n, 2); break;
            case 3: dense_few_rows(&some, from, n, 3); break;
            default: dense_few_rows(&some, from, n, 4);
            }
        }
}

/* ---- many ---- */

/* v[i] lane j becomes v[j] lane i. */
LB_INLINE void dense_transpose(__m256 v[8]) {
    __m256 t[8];
    LB_UNROLL for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    LB_UNROLL for (int i = 0; i < 8; i += 4) {
        v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    LB_UNROLL for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x31);
    }
    LB_UNROLL for (int i = 0; i < 8; i++) v[i] = t[i];
}

/* Elements [at, at + some) of 16 rows from row0 on; rows past N are zero. */
static void dense_expand(const dense_problem *p, int64_t row0, int64_t at, int64_t some, f32_expanded *e) {
    for (int half = 0; half < 2; half++)
        for (int64_t i = 0; i < some; i += 8) {
            __m256 v[8];
            LB_UNROLL for (int r = 0; r < 8; r++) {
                int64_t row = row0 + 8 * half + r;
                v[r] = row < p->n ? dense_some(p->w + (size_t)row * p->row_bytes, at + i, p->k - at - i)
                                  : _mm256_setzero_ps();
            }
            dense_transpose(v);
            LB_UNROLL for (int r = 0; r < 8; r++) e->w[i + r][half] = v[r];
        }
    for (int half = 0; half < 2; half++) e->s[0][half] = _mm256_set1_ps(1.0f);
}

/* 32 rows from row0 on times columns [c0, c0 + cols). */
static void dense_item(const dense_problem *p, const char *x, int64_t row0, int64_t c0, int cols) {
    float *acc = lb_panel_sums_take(cols);
    f32_expanded e;
    memset(acc, 0, (size_t)cols * F32_ROWS * sizeof *acc);
    int64_t padded = lb_act_f32_padded(p->k);
    int count = (cols + F32_COLS - 1) / F32_COLS;
    for (int64_t at = 0; at < padded; at += F32_CHUNK) {
        int64_t some = padded - at < F32_CHUNK ? padded - at : F32_CHUNK;
        for (int half = 0; half < 2 && row0 + 16 * half < p->n; half++) {
            dense_expand(p, row0 + 16 * half, at, some, &e);
            for (int t = 0; t < count; t++) {
                int from = cols * t / count, to = cols * (t + 1) / count;
                f32_tiles[to - from](&e, x + (size_t)(c0 + from) * p->x_stride, p->x_stride, p->k, at, some, F32_CHUNK,
                                     acc + F32_ROWS * from + 16 * half);
            }
        }
    }
    int64_t rows = p->n - row0 < F32_ROWS ? p->n - row0 : F32_ROWS;
    for (int c = 0; c < cols; c++)
        memcpy(p->out + (c0 + c) * p->n + row0, acc + F32_ROWS * c, (size_t)rows * sizeof *acc);
    lb_panel_sums_give(acc, cols);
}

static void dense_items(const dense_problem *p, const lb_launch *l, const char *x) {
    int64_t down = (p->n + F32_ROWS - 1) / F32_ROWS, across = (p->m + DENSE_COLS - 1) / DENSE_COLS;
    for (int64_t i; (i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) < down * across;) {
        int64_t c = i % across, c0 = p->m * c / across, c1 = p->m * (c + 1) / across;
        dense_item(p, x, i / across * F32_ROWS, c0, (int)(c1 - c0));
    }
}

/* ---- the kernel ---- */

static int64_t dense_rows(const lb_args *a) { return lb_arg(a, LB_GEMM_X)->dims[0]; }
static int phases(const lb_args *a) { return dense_rows(a) <= DENSE_FEW ? 1 : 2; }

/* All rows of x. */
static size_t dense_x_all(int64_t m, int64_t k) {
    return ((size_t)m * lb_panel_act_stride(lb_act_f32_bytes(NULL, k)) + 63) / 64 * 64;
}

static size_t workspace_bytes(const lb_args *a, int parts) {
    return dense_x_all(dense_rows(a), lb_arg(a, LB_GEMM_X)->dims[1]) * (size_t)(dense_rows(a) <= DENSE_FEW ? parts : 1);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *xt = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    dense_problem p = { .x = lb_tensor_f32(xt), .w = lb_tensor_data(w), .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)),
                        .m = xt->dims[0], .n = w->dims[0], .k = xt->dims[1] };
    p.row_bytes = (size_t)p.k * DENSE_ELEMENT;
    p.x_stride = lb_panel_act_stride(lb_act_f32_bytes(NULL, p.k));
    char *x = l->workspace;
    int64_t begin, end;
    if (p.m == 0 || p.n == 0) return;
    if (p.m <= DENSE_FEW) { /* every part prepares all of x, cheaper than a barrier */
        x += (size_t)l->part * dense_x_all(p.m, p.k);
        lb_split(p.n, DENSE_FEW_ROWS, l->part, l->parts, &begin, &end);
        for (int64_t i = 0; begin < end && i < p.m; i++)
            lb_act_f32_prepare(NULL, p.x + i * p.k, p.k, x + (size_t)i * p.x_stride);
        dense_few(&p, x, begin, end);
    } else if (l->phase == 0) {
        lb_split(p.m, 1, l->part, l->parts, &begin, &end);
        for (int64_t i = begin; i < end; i++) lb_act_f32_prepare(NULL, p.x + i * p.k, p.k, x + (size_t)i * p.x_stride);
    } else {
        dense_items(&p, l, x);
    }
}

/* The descriptor's fields that follow from it. */
#define DENSE_KERNEL                                                                                                 \
    .op = "gemm", .device = "cpu", .source = "luabench", .isa = LB_ISA_AVX2, .priority = 10, .act = LB_ACT_F32,      \
    .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-10,                                                \
    .tolerance_why = "f32 sums of K / 8 terms in each lane, or of 256 terms at a time: NMSE of about 1e-13",         \
    .about = "weights to f32 (exact); up to six rows of x: dot products of 8 lanes, the weights streamed once; more: " \
             "32 rows of weights transposed into L1, tiles of 16 x 6 multiply-adds",                                 \
    .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch
