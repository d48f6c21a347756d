/* rows32_int_avx2.h: what the AVX2 kernels of weight-only integer formats with groups share: the panels of
 * rows32_int_pack.h, codes to f32, fused multiply-adds in f32. */
#pragma once
#include "rows16_avx2.h"
#include "rows32_int_pack.h"

LB_INLINE int64_t f32_span(const int_format f, const lb_quantizer *q) {
    (void)f;
    return q->group;
}

/* Codes are multiplied as they are: what levels are less than they goes into the zeros. */
LB_INLINE void f32_scales(const int_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at,
                          int part, __m256 *s, __m256 *z) {
    (void)k;
    const uint8_t *p = panel + (size_t)(at / q->group) * int_group_bytes(f, q->group) + 32 * part;
    __m256i pair = x2_load(p);
    if (f.head == INT_F16) {
        const __m256i apart = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
                                               0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
        __m256i both = _mm256_shuffle_epi8(pair, apart);
        both = _mm256_permute4x64_epi64(both, 0xd8);
        *s = _mm256_cvtph_ps(_mm256_castsi256_si128(both));
        *z = _mm256_mul_ps(_mm256_sub_ps(_mm256_setzero_ps(), _mm256_cvtph_ps(_mm256_extracti128_si256(both, 1))), *s);
    } else {
        if (f.head == INT_BF16) {
            *s = _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16));
            *z = _mm256_castsi256_ps(_mm256_and_si256(pair, _mm256_set1_epi32((int)0xffff0000)));
        } else {
            *s = _mm256_castsi256_ps(pair);
            *z = _mm256_load_ps((const float *)(const void *)(p + 128));
        }
        *z = _mm256_fnmadd_ps(_mm256_set1_ps(int_offset(f)), *s, *z);
    }
}

LB_INLINE const uint8_t *f32_run_at(const int_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k,
                                    int64_t at) {
    (void)k;
    return panel + (size_t)(at / q->group) * int_group_bytes(f, q->group) + int_head_bytes(f)
           + (size_t)(at % q->group / 32) * 2 * int_run_bytes(f);
}

/* A vector's, where codes do not straddle two. */
LB_INLINE int f32_piece(const int_format f) { return 16 % f.bits ? 32 : 32 / f.bits; }

LB_INLINE void f32_decode(const int_format f, const uint8_t *codes, int piece, int part, __m256 *w) {
    const uint8_t *p = codes + (size_t)(part / 2) * int_run_bytes(f) + 32 * (part % 2);
    const __m256i mask = _mm256_set1_epi32((1 << f.bits) - 1);
    const int pairs = f32_piece(f) / 2;
    LB_UNROLL for (int i = 0; i < pairs; i++) {
        int at = (piece * pairs + i) * f.bits, from = at % 16;
        __m256i v = x2_load_ahead(p + 64 * (at / 16)), even = from ? _mm256_srli_epi32(v, from) : v, odd;
        if (from + f.bits > 16) {
            __m256i x = _mm256_or_si256(_mm256_srli_epi16(v, from),
                                        _mm256_slli_epi16(x2_load(p + 64 * (at / 16 + 1)), 16 - from));
            even = x;
            odd = _mm256_srli_epi32(x, 16);
        } else {
            odd = _mm256_srli_epi32(v, 16 + from);
        }
        if (from + f.bits != 16) odd = _mm256_and_si256(odd, mask);
        w[2 * i] = _mm256_cvtepi32_ps(_mm256_and_si256(even, mask));
        w[2 * i + 1] = _mm256_cvtepi32_ps(odd);
    }
}

#define F32_TYPE int_format
#define F32_ZEROS 1
#include "rows32_f32_avx2.h"

#define int_run(f, panels, ...) f32_run(f, __VA_ARGS__)
#define INT_PANELS NULL
#define INT_DEFINE_PANELS
#define INT_WITH(how) "multiply-adds with f32 activations in " how
#define INT_ACT F32_ACT
#define LB_INT_KERNEL LB_ROWS32_KERNEL, F32_ARITHMETIC
