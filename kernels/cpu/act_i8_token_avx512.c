/* act_i8_token_avx512.c: one f32 row to LB_ACT_I8_TOKEN codes, scale and sum. */
#include "act_i8_token_avx512.h"

#include <immintrin.h>

#include "engine/dtype.h"

size_t lb_act_i8_token_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return sizeof(lb_act_i8_token) + (size_t)lb_act_i8_token_padded(k);
}

static float row_amax(const float *x, int64_t k) {
    __m512i m[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    int64_t i = 0;
    for (; i + 64 <= k; i += 64)
        for (int j = 0; j < 4; j++) /* magnitudes as integers: NaN is the largest of all */
            m[j] = _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x + i + 16 * j))), m[j]);
    for (; i < k; i += 16) {
        __mmask16 some = (__mmask16)(k - i >= 16 ? 0xffff : (1u << (k - i)) - 1);
        m[0] = _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(_mm512_maskz_loadu_ps(some, x + i))), m[0]);
    }
    m[0] = _mm512_max_epi32(_mm512_max_epi32(m[0], m[1]), _mm512_max_epi32(m[2], m[3]));
    return lb_f32_from_bits((uint32_t)_mm512_reduce_max_epi32(m[0]));
}

void lb_act_i8_token_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    lb_act_i8_token *a = act;
    float d = row_amax(x, k) / 127.5f;
    d = d <= 0x1p-23f ? 0x1p-23f : d; /* NaN stays */
    __m512 inverse = _mm512_set1_ps(1.0f / d);
    __m512i sum = _mm512_setzero_si512();
    for (int64_t i = 0; i < lb_act_i8_token_padded(k); i += 16) {
        uint32_t left = i < k ? (uint32_t)(k - i >= 16 ? 16 : k - i) : 0;
        __m512 f = _mm512_mul_ps(_mm512_maskz_loadu_ps((__mmask16)((1u << left) - 1), x + i), inverse);
        /* As activation.c: NaN (also Inf * 0) becomes 0, overflow saturates. */
        __mmask16 number = _mm512_cmp_ps_mask(f, f, _CMP_ORD_Q);
        f = _mm512_min_ps(_mm512_max_ps(f, _mm512_set1_ps(-128.0f)), _mm512_set1_ps(127.0f));
        __m512i v = _mm512_maskz_cvtps_epi32(number, f);
        sum = _mm512_add_epi32(sum, v);
        _mm_store_si128((__m128i *)(a->q + i), _mm512_cvtepi32_epi8(v));
    }
    a->d = d;
    a->sum = _mm512_reduce_add_epi32(sum);
    for (int i = 0; i < 14; i++) a->unused[i] = 0;
}
