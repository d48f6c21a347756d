/* rows32_mini_avx2.h: formats with small floating-point codes over panels of 32 rows (rows32_float_pack.h) with AVX2
 * (mini_avx2.h). */
#pragma once
#include "mini_avx2.h"
#include "rows32.h"
#include "rows32_float_pack.h"

/* A format; always a constant but for the panel's addresses, so that the inlined functions below know it. */
typedef struct mini {
    int bits, mantissa;      /* 8 with 3 or 2 bits of mantissa, 6 with 3 or 2 */
    int span;                /* k that share a scale */
    size_t (*head_bytes)(const lb_quantizer *q, int64_t k);
    /* Scales of span i of 8 rows, part of 4. */
    __m256 (*scale)(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int part);
} mini;

LB_INLINE int64_t f32_span(const mini f, const lb_quantizer *q) {
    (void)q;
    return f.span;
}

LB_INLINE void f32_scales(const mini f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at, int part,
                          __m256 *s, __m256 *z) {
    (void)z;
    *s = f.scale(q, panel, k, at / f.span, part);
}

LB_INLINE const uint8_t *f32_run_at(const mini f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at) {
    return panel + f.head_bytes(q, k) + (size_t)(at / 32) * 2 * float_half_bytes(f.bits);
}

LB_INLINE int f32_piece(const mini f) { return f.bits == 8 ? 4 : 16; }

/* Bits [from, from + count) of every dword to bits [to, to + count), zeros elsewhere if they are not all at the top. */
LB_INLINE __m256i mini_move(__m256i v, int from, int count, int to) {
    __m256i at = to > from ? _mm256_slli_epi32(v, to - from) : _mm256_srli_epi32(v, from - to);
    return _mm256_and_si256(at, _mm256_set1_epi32((int)(((1u << count) - 1) << to)));
}

/* The code of element j of pair p of eight, at the top. v[i]: the i-th words of the row's two numbers of 48 bits. */
LB_INLINE __m256i mini_six(const __m256i v[3], int p, int j) {
    const int word = 6 * p / 16, bit = 6 * p % 16, here = bit + 6 > 16 ? 16 - bit : 6;
    if (here == 6) return _mm256_slli_epi32(v[word], 26 - 16 * j - bit);
    return _mm256_or_si256(mini_move(v[word], 16 * j + bit, here, 26),
                           mini_move(v[word + 1], 16 * j, 6 - here, 26 + here));
}

LB_INLINE void f32_decode(const mini f, const uint8_t *codes, int piece, int part, __m256 *w) {
    const uint8_t *at = codes + (size_t)(part / 2) * float_half_bytes(f.bits) + 32 * (part % 2);
    if (f.bits == 8) {
        mini_four(f.mantissa, at + 64 * piece, w);
    } else {
        __m256i v[3];
        LB_UNROLL for (int i = 0; i < 3; i++) v[i] = x2_load_ahead(at + 192 * piece + 64 * i);
        LB_UNROLL for (int i = 0; i < 16; i++) w[i] = mini_value(f.bits, f.mantissa, mini_six(v, i / 2, i % 2));
    }
}

/* ---- scales ---- */

/* A row's. */
LB_INLINE __m256 mini_row_scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int part) {
    (void)q, (void)k, (void)i;
    return _mm256_load_ps((const float *)(const void *)panel + 8 * part);
}

/* Powers of two of spans of 32; 2^-127 is subnormal. */
LB_INLINE __m256 mini_e8m0_scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int part) {
    (void)q, (void)k;
    __m256i e =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(panel + FLOAT_ROWS * i + 8 * part)));
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_slli_epi32(e, 23), _mm256_set1_epi32(0x00400000)));
}

#define F32_TYPE mini
#define F32_ZEROS 0
#include "rows32_f32_avx2.h"

/* run(), panel_bytes() and repack() of a file from unpack, put_scales and RUN(...), which has the format in it. */
#define MINI_FUNCTIONS(BITS, HEAD)                                                                                   \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        RUN(q, panel, act, stride, k, cols, out, out_stride);                                                        \
    }                                                                                                                \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        return HEAD(q, k) + (size_t)((k + 31) / 32) * 2 * float_half_bytes(BITS);                                    \
    }                                                                                                                \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        float_repack(BITS, HEAD(q, k), unpack, put_scales, q, native, n, k, row0, row1, dst);                        \
    }
