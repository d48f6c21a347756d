/* act_i8_token_avx512.c: one f32 row to LB_ACT_I8_TOKEN codes, scale and sum. */
#include "act_i8_token_avx512.h"

#include <float.h>
#include <immintrin.h>
#include <stdbool.h>

#include "engine/dtype.h"

size_t lb_act_i8_token_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return sizeof(lb_act_i8_token) + (size_t)lb_act_i8_token_padded(k);
}

enum { AHEAD = 1024 }; /* floats: rows are read for the first time here */

static float row_amax(const float *x, int64_t k) {
    __m512i m[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    int64_t i = 0;
    for (; i + 64 <= k; i += 64)
        for (int j = 0; j < 4; j++) { /* magnitudes as integers: NaN is the largest of all */
            _mm_prefetch((const char *)(x + i + 16 * j + AHEAD), _MM_HINT_T0);
            m[j] = _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x + i + 16 * j))), m[j]);
        }
    for (; i < k; i += 16) {
        __mmask16 some = (__mmask16)(k - i >= 16 ? 0xffff : (1u << (k - i)) - 1);
        m[0] = _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(_mm512_maskz_loadu_ps(some, x + i))), m[0]);
    }
    m[0] = _mm512_max_epi32(_mm512_max_epi32(m[0], m[1]), _mm512_max_epi32(m[2], m[3]));
    return lb_f32_from_bits((uint32_t)_mm512_reduce_max_epi32(m[0]));
}

/* As activation.c: NaN (also Inf * 0) becomes 0, overflow saturates. Of `left` floats, 16 at most. */
static __m512i any_codes(const float *x, int64_t left, __m512 inverse) {
    const __mmask16 some = (__mmask16)(left >= 16 ? 0xffff : (1u << (left > 0 ? left : 0)) - 1);
    __m512 f = _mm512_mul_ps(_mm512_maskz_loadu_ps(some, x), inverse);
    const __mmask16 number = _mm512_cmp_ps_mask(f, f, _CMP_ORD_Q);
    f = _mm512_min_ps(_mm512_max_ps(f, _mm512_set1_ps(-128.0f)), _mm512_set1_ps(127.0f));
    return _mm512_maskz_cvtps_epi32(number, f);
}

/* The codes of 64 floats of a row without NaN and Inf: its products are 127.5 and a rounding at most, so that packing
 * does all that saturates. */
static inline __m512i plain_codes(const float *x, __m512 inverse) {
    __m512i v[4];
    for (int j = 0; j < 4; j++) v[j] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * j), inverse));
    v[0] = _mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v[0]);
}

void lb_act_i8_token_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    lb_act_i8_token *a = act;
    float d = row_amax(x, k) / 127.5f;
    d = d <= 0x1p-23f ? 0x1p-23f : d; /* NaN stays */
    const __m512 inverse = _mm512_set1_ps(1.0f / d);
    const bool plain = d <= FLT_MAX;
    __m512i sum = _mm512_setzero_si512(), fours = sum;
    int64_t i = 0;
    for (; plain && i + 64 <= k; i += 64) {
        const __m512i v = plain_codes(x + i, inverse);
        fours = _mm512_dpbusd_epi32(fours, _mm512_set1_epi8(1), v);
        _mm512_storeu_si512(a->q + i, v);
    }
    for (; i < lb_act_i8_token_padded(k); i += 16) {
        const __m512i v = any_codes(x + i, k - i, inverse);
        sum = _mm512_add_epi32(sum, v);
        _mm_store_si128((__m128i *)(a->q + i), _mm512_cvtepi32_epi8(v));
    }
    a->d = d;
    a->sum = _mm512_reduce_add_epi32(_mm512_add_epi32(sum, fours));
    for (int j = 0; j < 14; j++) a->unused[j] = 0;
}
