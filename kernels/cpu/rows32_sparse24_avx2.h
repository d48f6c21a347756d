/* rows32_sparse24_avx2.h: 2:4 sparse floats over panels of 32 rows (rows32_sparse24_pack.h) with AVX2: kept values are
 * spread out, zeros between, in f32. */
#pragma once
#include "mini_avx2.h"
#include "rows32_sparse24_pack.h"

/* bf16, or e4m3 of one byte. */
typedef struct s24 { int bytes; } s24;

LB_INLINE int64_t f32_span(const s24 f, const lb_quantizer *q) {
    (void)f, (void)q;
    return 256;
}

LB_INLINE void f32_scales(const s24 f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at, int part,
                          __m256 *s, __m256 *z) {
    (void)f, (void)q, (void)k, (void)at, (void)z;
    *s = _mm256_load_ps((const float *)(const void *)panel + 8 * part);
}

LB_INLINE const uint8_t *f32_run_at(const s24 f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at) {
    (void)q, (void)k;
    return panel + S24_HEAD + (size_t)(at / 32) * s24_run_bytes(f.bytes);
}

LB_INLINE int f32_piece(const s24 f) { return f.bytes == 1 ? 8 : 4; }

/* Two kept values of 8 rows at the four places that the lowest bits of `code` say. */
LB_INLINE void s24_four(__m256 first, __m256 second, __m256i code, __m256 w[4]) {
    const __m256i three = _mm256_set1_epi32(3);
    __m256i a = _mm256_and_si256(code, three), b = _mm256_and_si256(_mm256_srli_epi32(code, 2), three);
    LB_UNROLL for (int i = 0; i < 4; i++) {
        const __m256i at = _mm256_set1_epi32(i);
        w[i] = _mm256_or_ps(_mm256_and_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a, at)), first),
                            _mm256_and_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(b, at)), second));
    }
}

LB_INLINE void f32_decode(const s24 f, const uint8_t *codes, int piece, int part, __m256 *w) {
    __m256i places = x2_load_ahead(codes + 32 * part);
    if (f.bytes == 2) {
        __m256i v = x2_load_ahead(codes + S24_PLACES + 128 * piece + 32 * part);
        s24_four(_mm256_castsi256_ps(_mm256_slli_epi32(v, 16)),
                 _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000))),
                 _mm256_srli_epi32(places, 4 * piece), w);
    } else {
        __m256 kept[4];
        mini_four(3, codes + S24_PLACES + 256 * (part / 2) + 64 * piece + 32 * (part % 2), kept);
        LB_UNROLL for (int i = 0; i < 2; i++)
            s24_four(kept[2 * i], kept[2 * i + 1], _mm256_srli_epi32(places, 8 * piece + 4 * i), w + 4 * i);
    }
}

#define F32_TYPE s24
#define F32_ZEROS 0
#include "rows32_f32_avx2.h"

/* run(), panel_bytes() and repack() of a file. */
#define S24_FUNCTIONS(BYTES)                                                                                         \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        f32_run((s24){ .bytes = BYTES }, q, panel, act, stride, k, cols, out, out_stride);                           \
    }                                                                                                                \
    LB_S24_LAYOUT(BYTES, false)
