/* act_f8_avx2.c: one f32 row to e4m3 numbers times their scale, in f32. */
#include "act_f8_avx2.h"

#include <immintrin.h>

#include "engine/dtype.h"

/* The first `n` of eight, n from 0 on. */
static inline __m256i first(int64_t n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n < 8 ? n : 8)), lanes);
}

float lb_act_f8_f32_amax(const float *x, int64_t n) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i m = _mm256_setzero_si256();
    for (int64_t i = 0; i < n; i += 8) { /* as integers: NaN is the largest of all */
        __m256i v = _mm256_castps_si256(_mm256_maskload_ps(x + i, first(n - i)));
        m = _mm256_max_epi32(_mm256_and_si256(v, magnitude), m);
    }
    __m128i h = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    h = _mm_max_epi32(h, _mm_shuffle_epi32(h, 0x4e));
    return lb_f32_from_bits((uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(h, _mm_shuffle_epi32(h, 0xb1))));
}

/* Eight x / d to the nearest e4m3 number; NaN to 0. Below 2^-6 by the addition that leaves multiples of 2^-9. */
static inline __m256 e4m3_8(__m256 x, __m256 d) {
    const __m256 sign = _mm256_set1_ps(-0.0f), magic = _mm256_set1_ps(0x1.8p14f);
    __m256 v = _mm256_div_ps(x, d), number = _mm256_cmp_ps(v, v, _CMP_ORD_Q);
    __m256 a = _mm256_min_ps(_mm256_andnot_ps(sign, v), _mm256_set1_ps(448.0f));
    __m256 small = _mm256_sub_ps(_mm256_add_ps(a, magic), magic);
    __m256i u = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(u, 20), _mm256_set1_epi32(1));
    u = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7ffff)), odd);
    u = _mm256_and_si256(u, _mm256_set1_epi32((int)0xfff00000));
    __m256 r = _mm256_blendv_ps(_mm256_castsi256_ps(u), small, _mm256_cmp_ps(a, _mm256_set1_ps(0x1p-6f), _CMP_LT_OQ));
    return _mm256_and_ps(number, _mm256_or_ps(r, _mm256_and_ps(v, sign)));
}

static int64_t padded_to_32(int64_t k) { return (k + 31) / 32 * 32; }

/* n numbers, NaN where d is, and zeros up to `padded`. */
static void put(const float *x, int64_t n, int64_t padded, float d, float *out) {
    const __m256 scale = _mm256_set1_ps(d);
    for (int64_t i = 0; i < padded; i += 8) {
        __m256 v = _mm256_setzero_ps();
        if (i < n && d != 0) v = _mm256_mul_ps(e4m3_8(_mm256_maskload_ps(x + i, first(n - i)), scale), scale);
        _mm256_storeu_ps(out + i, v);
    }
}

size_t lb_act_f8_f32_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)padded_to_32(k) * sizeof(float);
}

void lb_act_f8_f32_scaled_prepare(const float *x, int64_t k, float amax, void *act) {
    put(x, k, padded_to_32(k), amax / 448.0f, act);
}

void lb_act_f8_f32_row_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    lb_act_f8_f32_scaled_prepare(x, k, lb_act_f8_f32_amax(x, k), act);
}

void lb_act_f8_f32_128_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    for (int64_t i = 0; i < k; i += 128)
        put(x + i, 128, 128, lb_act_f8_f32_amax(x + i, 128) / 448.0f, (float *)act + i);
}
