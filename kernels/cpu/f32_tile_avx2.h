/* f32_tile_avx2.h: tiles of 16 rows and up to 6 columns of multiply-adds in f32 with AVX2. F32_ZEROS is defined before
 * the #include: 1 = spans have zeros that meet the sums of activations. */
#pragma once
#include <immintrin.h>
#include <string.h>

#include "act_f32_avx2.h"
#include "gemm_panel.h"
#include "rows16_pack.h"

enum { F32_ROWS = 32, F32_CHUNK = 256, F32_COLS = 6 };

/* 16 rows x F32_CHUNK in f32, with a scale and a zero for each span. */
typedef struct f32_expanded {
    __m256 w[F32_CHUNK][2], s[F32_CHUNK / 16][2], z[F32_CHUNK / 16][2];
} f32_expanded;

LB_INLINE const float *f32_act(const void *act, size_t stride, int64_t k, int c) {
    return (const float *)(const void *)((const char *)act + (size_t)c * stride) + k;
}

/* The sum of column c's activations [at, end), a span or what is left of one. */
LB_INLINE float f32_sum(const void *act, size_t stride, int64_t k, int64_t at, int64_t end, int64_t span, int c) {
    const float *row = f32_act(act, stride, 0, c);
    if (end - at == span) return row[lb_act_f32_sums_at(k, span) + at / span];
    float s = 0;
    for (const float *p = row + lb_act_f32_sums_at(k, 32) + at / 32; at < end; at += 32) s += *p++;
    return s;
}

LB_INLINE __m256 f32_onto(__m256 total, __m256 sum, __m256 s, __m256 z, float of_act) {
    total = _mm256_fmadd_ps(sum, s, total);
    return F32_ZEROS ? _mm256_fmadd_ps(z, _mm256_set1_ps(of_act), total) : total;
}

/* In assembly: gcc 12 would add into any of the three, and keep sums in memory. */
LB_INLINE __m256 f32_fma(__m256 sum, __m256 w, __m256 x) {
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x));
    return sum;
}

#define F32_TILE_EACH LB_UNROLL for (int c = 0; c < cols; c++) LB_UNROLL for (int i = 0; i < 2; i++)

/* acc[c][32] += the products of 16 rows and `some` k from `at` on. */
LB_INLINE void f32_tile(const f32_expanded *e, const void *act, size_t stride, int64_t k, int64_t at, int64_t some,
                        int64_t span, float *acc, const int cols) {
    for (int64_t from = 0, n = 0; from < some; from += span, n++) {
        int64_t end = some - from < span ? some : from + span;
        __m256 sum[F32_COLS][2];
        const float *x[F32_COLS];
        F32_TILE_EACH sum[c][i] = _mm256_setzero_ps();
        LB_UNROLL for (int c = 0; c < cols; c++) x[c] = f32_act(act, stride, at, c);
        for (int64_t j = from; j < end; j += 4)
            LB_UNROLL for (int u = 0; u < 4; u++) {
                __m256 w0 = e->w[j + u][0], w1 = e->w[j + u][1];
                LB_UNROLL for (int c = 0; c < cols; c++) {
                    __m256 v = _mm256_broadcast_ss(x[c] + j + u);
                    sum[c][0] = f32_fma(sum[c][0], w0, v);
                    sum[c][1] = f32_fma(sum[c][1], w1, v);
                }
            }
        LB_UNROLL for (int c = 0; c < cols; c++) {
            float of_act = F32_ZEROS ? f32_sum(act, stride, k, at + from, at + end, span, c) : 0;
            LB_UNROLL for (int i = 0; i < 2; i++) {
                float *to = acc + F32_ROWS * c + 8 * i;
                _mm256_store_ps(to, f32_onto(_mm256_load_ps(to), sum[c][i], e->s[n][i], e->z[n][i], of_act));
            }
        }
    }
}

#define F32_TILE(n)                                                                                                  \
    static __attribute__((noinline)) void f32_tile_##n(const f32_expanded *e, const void *act, size_t stride,        \
                                                       int64_t k, int64_t at, int64_t some, int64_t span,            \
                                                       float *acc) {                                                 \
        f32_tile(e, act, stride, k, at, some, span, acc, n);                                                         \
    }
F32_TILE(1)
F32_TILE(2) F32_TILE(3) F32_TILE(4) F32_TILE(5)
    F32_TILE(6) static void (*const f32_tiles[])(const f32_expanded *, const void *, size_t, int64_t, int64_t, int64_t,
                                                 int64_t, float *) = { NULL,       f32_tile_1, f32_tile_2, f32_tile_3,
                                                                       f32_tile_4, f32_tile_5, f32_tile_6 };

#define F32_ACT lb_act_f32_prepare, lb_act_f32_bytes, LB_ACT_KIND_F32
/* The fields of a descriptor that follow from it: all, or but for activations that are rounded. */
#define F32_ARITHMETIC .act = LB_ACT_F32, F32_PRODUCTS
#if F32_ZEROS
#define F32_BOUND                                                                                                    \
    .tolerance = 1e-9,                                                                                               \
    .tolerance_why = "levels are exact in f32; sums of up to 256 products, then of spans, round once each: NMSE of " \
                     "about 1e-13; codes with a zero are multiplied before it is taken off, which cancels where "    \
                     "activations have one sign: up to 1.3e-10 was seen"
#else
#define F32_BOUND                                                                                                    \
    .tolerance = 1e-11,                                                                                              \
    .tolerance_why = "levels are exact in f32; sums of up to 256 products, then of spans, round once each: NMSE of " \
                     "about 1e-13, more where sums cancel"
#endif
#define F32_PRODUCTS .isa = LB_ISA_AVX2, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, F32_BOUND
