/* act_f8_avx512.c: one f32 row to e4m3 numbers, kept as bf16, with their scales. */
#include "act_f8_avx512.h"

#include <immintrin.h>

#include "engine/dtype.h"

float lb_act_f8_amax(const float *x, int64_t n) {
    __m512i m = _mm512_setzero_si512();
    for (int64_t i = 0; i < n; i += 16) { /* magnitudes as integers: NaN is the largest of all */
        __mmask16 some = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        m = _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(_mm512_maskz_loadu_ps(some, x + i))), m);
    }
    return lb_f32_from_bits((uint32_t)_mm512_reduce_max_epi32(m));
}

/* Sixteen x / d to the nearest e4m3 number, as bf16; NaN to 0. Below 2^-6 by the addition that leaves multiples of
 * 2^-9. */
static inline __m256i e4m3_16(__m512 x, __m512 d) {
    __m512 v = _mm512_div_ps(x, d), top = _mm512_set1_ps(448.0f), magic = _mm512_set1_ps(0x1.8p14f);
    __mmask16 number = _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q);
    __m512 a = _mm512_min_ps(_mm512_abs_ps(v), top);
    __m512 small = _mm512_sub_ps(_mm512_add_ps(a, magic), magic);
    __m512i u = _mm512_castps_si512(a), odd = _mm512_and_si512(_mm512_srli_epi32(u, 20), _mm512_set1_epi32(1));
    u = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7ffff)), odd);
    u = _mm512_and_si512(u, _mm512_set1_epi32((int)0xfff00000));
    __mmask16 low = _mm512_cmp_ps_mask(a, _mm512_set1_ps(0x1p-6f), _CMP_LT_OQ);
    u = _mm512_mask_mov_epi32(u, low, _mm512_castps_si512(small));
    __m512i sign = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32((int)0x80000000));
    u = _mm512_maskz_or_epi32(number, u, sign);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(u, 16));
}

/* n numbers, and zeros up to `padded`. */
static void put(const float *x, int64_t n, int64_t padded, float d, uint16_t *out) {
    __m512 divisor = _mm512_set1_ps(d);
    for (int64_t i = 0; i < padded; i += 16) {
        uint32_t some = i < n && d > 0 ? (n - i >= 16 ? 0xffffu : (1u << (n - i)) - 1) : 0;
        __m256i v = e4m3_16(_mm512_maskz_loadu_ps((__mmask16)some, x + i), divisor);
        _mm256_storeu_si256((__m256i *)(out + i), v);
    }
}

static int64_t padded_to_32(int64_t k) { return (k + 31) / 32 * 32; }

size_t lb_act_f8_row_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)padded_to_32(k) * 2 + sizeof(float);
}

void lb_act_f8_scaled_prepare(const float *x, int64_t k, float amax, void *act) {
    uint16_t *v = act;
    float d = amax / 448.0f;
    put(x, k, padded_to_32(k), d, v);
    *(float *)(void *)(v + padded_to_32(k)) = d;
}

void lb_act_f8_row_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    lb_act_f8_scaled_prepare(x, k, lb_act_f8_amax(x, k), act);
}

size_t lb_act_f8_128_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)(k / 128) * LB_ACT_F8_BLOCK_BYTES;
}

void lb_act_f8_128_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    char *to = act;
    for (int64_t i = 0; i < k; i += 128, to += LB_ACT_F8_BLOCK_BYTES) {
        float d = lb_act_f8_amax(x + i, 128) / 448.0f;
        put(x + i, 128, 128, d, (uint16_t *)(void *)to);
        *(float *)(void *)(to + 256) = d;
    }
}
