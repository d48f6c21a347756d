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

static int64_t q4_0_each(const float *src, int64_t count, uint8_t *dst) {
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

/* Lane i: the largest of register order16[i]'s lanes, without signs. */
static const uint8_t order16[16] = { 0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15 };
static inline __m512i largest16(__m512i *v) {
    for (int i = 0; i < 8; i++)
        v[i] = _mm512_max_epu32(_mm512_unpacklo_epi32(v[i], v[i + 8]), _mm512_unpackhi_epi32(v[i], v[i + 8]));
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_max_epu32(_mm512_unpacklo_epi64(v[i], v[i + 4]), _mm512_unpackhi_epi64(v[i], v[i + 4]));
    for (int n = 2; n > 0; n--)
        for (int i = 0; i < n; i++)
            v[i] = _mm512_max_epu32(_mm512_shuffle_i32x4(v[i], v[i + n], 0x88),
                                    _mm512_shuffle_i32x4(v[i], v[i + n], 0xdd));
    return v[0];
}

/* 16 blocks, so that one tree finds the extremes of all and one register has their scales: blocks with a value as large
 * as the extreme and of the other sign are made again one by one. False = not clean, nothing is done. */
static bool q4_0_sixteen(const float *src, uint8_t *dst) {
    float inverse[16];
    uint32_t other[16];
    uint16_t half[16];
    __m512i v[16];
    for (int i = 0; i < 16; i++) { /* the sign behind the magnitude */
        const float *x = src + 32 * order16[i];
        v[i] = _mm512_max_epu32(_mm512_rol_epi32(_mm512_castps_si512(_mm512_loadu_ps(x)), 1),
                                _mm512_rol_epi32(_mm512_castps_si512(_mm512_loadu_ps(x + 16)), 1));
    }
    __m512i top = largest16(v), most = _mm512_srli_epi32(top, 1);
    if (_mm512_cmpgt_epu32_mask(most, _mm512_set1_epi32((int)lb_f32_bits(LB_WEIGHT_LIMIT)))) return false;
    __mmask16 negative = _mm512_test_epi32_mask(top, _mm512_set1_epi32(1));
    __mmask16 some = _mm512_test_epi32_mask(most, most);
    __m512 d = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_maskz_ror_epi32(some, top, 1)), _mm512_set1_ps(-0.125f));
    __m512 r = _mm512_div_ps(_mm512_set1_ps(1.0f), d);
    __mmask16 infinite = _mm512_fpclass_ps_mask(r, 0x18); /* of 0, or of what is too small */
    _mm512_storeu_ps(inverse, _mm512_mask_mov_ps(r, infinite, _mm512_setzero_ps()));
    /* equal to nothing where the extreme is positive: the sign of negative ones lost ties */
    _mm512_storeu_si512(other, _mm512_mask_mov_epi32(_mm512_set1_epi32(-1), negative & some, most));
    __m512 within = _mm512_min_ps(_mm512_max_ps(d, _mm512_set1_ps(-65504.0f)), _mm512_set1_ps(65504.0f));
    _mm256_storeu_si256((void *)half, _mm512_cvtps_ph(within, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    for (int b = 0; b < 16; b++, src += 32, dst += 18) {
        __m512 x[2] = { _mm512_loadu_ps(src), _mm512_loadu_ps(src + 16) };
        __m512i q[2], same = _mm512_set1_epi32((int)other[b]);
        __mmask16 ties = 0;
        for (int i = 0; i < 2; i++) {
            _mm_prefetch((const char *)(src + 16 * i) + 4096, _MM_HINT_T0);
            ties |= _mm512_cmpeq_epi32_mask(_mm512_castps_si512(x[i]), same);
            __m512 y = _mm512_add_ps(_mm512_mul_ps(x[i], _mm512_set1_ps(inverse[b])), _mm512_set1_ps(8.5f));
            q[i] = _mm512_min_epi32(_mm512_cvttps_epi32(y), _mm512_set1_epi32(15));
        }
        __m512i both = _mm512_or_si512(q[0], _mm512_slli_epi32(q[1], 4));
        lb_put_f16(dst, half[b]);
        _mm_storeu_si128((__m128i *)(void *)(dst + 2), _mm512_cvtepi32_epi8(both));
        if (ties) q4_0_each(src, 1, dst);
    }
    return true;
}

static int64_t q4_0(const float *src, int64_t count, uint8_t *dst) {
    int64_t b = 0;
    while (b + 16 <= count && q4_0_sixteen(src + 32 * b, dst + 18 * b)) b += 16;
    return b + q4_0_each(src + 32 * b, count - b < 16 ? count - b : 16, dst + 18 * b);
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
