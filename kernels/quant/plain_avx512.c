/* plain_avx512.c: q8_0, q4_0 and int8 rows for AVX-512, the same bits as the loops that they stand for: gcc 12 makes of
 * those a quarter of the speed of memory. Blocks with NaN, infinities or what lb_clean limits are left to the loops. */
#include <immintrin.h>

#include "kquant.h"

/* Magnitudes as integers: larger for larger values, largest for NaN. */
static inline __m512i magnitude(__m512 x) {
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}
static inline bool clean(uint32_t most) { return most <= lb_f32_bits(LB_WEIGHT_LIMIT); }

static int64_t q8_0(const float *src, int64_t count, uint8_t *dst) {
    const __m512i sign = _mm512_set1_epi32((int)0x80000000u);
    const __m512 half = _mm512_set1_ps(0.49999997f); /* and not 1/2, which makes 1 of the number below 1/2 */
    int64_t b = 0;
    for (; b < count; b++, src += 32, dst += 34) {
        __m512 x[2] = { _mm512_loadu_ps(src), _mm512_loadu_ps(src + 16) };
        for (int i = 0; i < 2; i++) _mm_prefetch((const char *)(src + 16 * i) + 4096, _MM_HINT_T0);
        uint32_t most = _mm512_reduce_max_epu32(_mm512_max_epu32(magnitude(x[0]), magnitude(x[1])));
        if (!clean(most)) return b;
        float d = lb_f32_from_bits(most) / 127.0f, inverse = lb_finite_ratio(1.0f, d);
        lb_put_f16(dst, lb_f16_scale(d));
        for (int i = 0; i < 2; i++) { /* halves away from zero */
            __m512 v = _mm512_mul_ps(x[i], _mm512_set1_ps(inverse));
            __m512i towards = _mm512_ternarylogic_epi32(_mm512_castps_si512(v), sign, _mm512_castps_si512(half), 0xea);
            __m512i q = _mm512_cvttps_epi32(_mm512_add_ps(v, _mm512_castsi512_ps(towards)));
            _mm_storeu_si128((__m128i *)(void *)(dst + 2 + 16 * i), _mm512_cvtepi32_epi8(q));
        }
    }
    return b;
}

static int64_t q4_0(const float *src, int64_t count, uint8_t *dst) {
    int64_t b = 0;
    for (; b < count; b++, src += 32, dst += 18) {
        __m512 x[2] = { _mm512_loadu_ps(src), _mm512_loadu_ps(src + 16) };
        for (int i = 0; i < 2; i++) _mm_prefetch((const char *)(src + 16 * i) + 4096, _MM_HINT_T0);
        __m512i a[2] = { magnitude(x[0]), magnitude(x[1]) }, q[2];
        uint32_t most = _mm512_reduce_max_epu32(_mm512_max_epu32(a[0], a[1]));
        if (!clean(most)) return b;
        const __m512i top = _mm512_set1_epi32((int)most);
        uint32_t first = _mm512_cmpeq_epi32_mask(a[0], top) | (uint32_t)_mm512_cmpeq_epi32_mask(a[1], top) << 16;
        float d = (most == 0 ? 0.0f : src[__builtin_ctz(first)]) * -0.125f, inverse = lb_finite_ratio(1.0f, d);
        lb_put_f16(dst, lb_f16_scale(d));
        for (int i = 0; i < 2; i++) {
            __m512 v = _mm512_add_ps(_mm512_mul_ps(x[i], _mm512_set1_ps(inverse)), _mm512_set1_ps(8.5f));
            q[i] = _mm512_min_epi32(_mm512_cvttps_epi32(v), _mm512_set1_epi32(15));
        }
        __m512i both = _mm512_or_si512(q[0], _mm512_slli_epi32(q[1], 4));
        _mm_storeu_si128((__m128i *)(void *)(dst + 2), _mm512_cvtepi32_epi8(both));
    }
    return b;
}

static bool int8_row(const float *x, int64_t k, int8_t *codes, float *scale) {
    __m512i most[4];
    int64_t i = 0, whole = k / 64 * 64;
    for (int j = 0; j < 4; j++) most[j] = _mm512_setzero_si512();
    for (; i < whole; i += 64)
        for (int j = 0; j < 4; j++) most[j] = _mm512_max_epu32(most[j], magnitude(_mm512_loadu_ps(x + i + 16 * j)));
    for (; i < k; i += 16) {
        __mmask16 some = (__mmask16)(k - i < 16 ? (1u << (k - i)) - 1 : 0xffff);
        most[0] = _mm512_max_epu32(most[0], magnitude(_mm512_maskz_loadu_ps(some, x + i)));
    }
    uint32_t top = _mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_max_epu32(most[0], most[1]),
                                                            _mm512_max_epu32(most[2], most[3])));
    if (!clean(top)) return false;
    float amax = lb_f32_from_bits(top), s = amax / 127.5f > 0x1p-23f ? amax / 127.5f : 0x1p-23f;
    const __m512 inverse = _mm512_set1_ps(1.0f / s);
    for (i = 0; i < k; i += 16) { /* to the nearest, then within a byte: the same as the other way round */
        __mmask16 some = (__mmask16)(k - i < 16 ? (1u << (k - i)) - 1 : 0xffff);
        __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(some, x + i), inverse));
        _mm512_mask_cvtsepi32_storeu_epi8(codes + i, some, q);
    }
    *scale = s;
    return true;
}

const lb_plain_quantizers lb_plain_avx512 = { .q8_0 = q8_0, .q4_0 = q4_0, .int8_row = int8_row };
