/* act_q8_avx512.c: one f32 row to LB_ACT_Q8_256 codes, scales and block sums. */
#include "act_q8_avx512.h"

#include <immintrin.h>
#include <string.h>

#include "engine/dtype.h"

size_t lb_act_q8_256_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)(k / 256) * sizeof(lb_act_q8_256);
}

static float block_amax(const float *x) {
    __m512i m[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 4; j++) /* magnitudes as integers: NaN is the largest of all */
            m[j] = _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x + 16 * (i + j)))), m[j]);
    m[0] = _mm512_max_epi32(_mm512_max_epi32(m[0], m[1]), _mm512_max_epi32(m[2], m[3]));
    return lb_f32_from_bits((uint32_t)_mm512_reduce_max_epi32(m[0]));
}

/* As activation.c: NaN (also Inf * 0) becomes 0, overflow saturates. */
static inline __m512i any_codes(__m512 f) {
    __mmask16 number = _mm512_cmp_ps_mask(f, f, _CMP_ORD_Q);
    f = _mm512_min_ps(_mm512_max_ps(f, _mm512_set1_ps(-127.0f)), _mm512_set1_ps(127.0f));
    return _mm512_maskz_cvtps_epi32(number, f);
}

/* Dwords 4 i + j become 4 j + i. */
static inline __m512i turned(__m512i v) {
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}

/* The codes of 64 floats. `plain`, a constant: see lb_act_q8_plain. */
static inline __m512i codes64(const float *x, __m512 id, const bool plain) {
    __m512i v[4];
    for (int j = 0; j < 4; j++) {
        __m512 f = _mm512_mul_ps(_mm512_loadu_ps(x + 16 * j), id);
        v[j] = plain ? _mm512_cvtps_epi32(f) : any_codes(f);
    }
    return turned(_mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3])));
}

/* From sums of four, those of the 16 runs of 16. */
static inline __m512i runs(const __m512i s[4]) {
    __m512i t[2];
    for (int i = 0; i < 2; i++)
        t[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2 * i], s[2 * i + 1]),
                                _mm512_unpackhi_epi32(s[2 * i], s[2 * i + 1]));
    return turned(_mm512_add_epi32(_mm512_unpacklo_epi64(t[0], t[1]), _mm512_unpackhi_epi64(t[0], t[1])));
}

/* From the sums of runs of 16 and of 32, and of their magnitudes: what is positive in a run, or negative, is half of
 * sum + magnitudes at the most; codes up to c times it are int16 for sure up to 32767 / c. */
static inline int32_t fits_of(__m512i magnitude16, __m256i sum32) {
    __m256i magnitude32 = _mm256_madd_epi16(_mm512_cvtepi32_epi16(magnitude16), _mm256_set1_epi16(1));
    __m256i twice = _mm256_add_epi32(magnitude32, _mm256_abs_epi32(sum32));
    int32_t fits = 0;
    if (!_mm256_cmpgt_epi32_mask(twice, _mm256_set1_epi32(2 * (32767 / 15)))) fits |= LB_ACT_Q8_FITS_4;
    if (!_mm512_cmpgt_epi32_mask(magnitude16, _mm512_set1_epi32(32767 / 32))) fits |= LB_ACT_Q8_FITS_6;
    return fits;
}

static inline void put_block(const float *x, float amax, float id, lb_act_q8_256 *b, const bool plain) {
    b->d = amax / 127.0f;
    __m512 vid = _mm512_set1_ps(id);
    const __m512i ones = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
    __m512i fours[4], magnitudes[4];
    for (int j = 0; j < 4; j++) {
        __m512i q = codes64(x + 64 * j, vid, plain);
        _mm512_storeu_si512(b->q + 64 * j, q);
        fours[j] = _mm512_dpbusd_epi32(zero, ones, q);
        magnitudes[j] = _mm512_dpbusd_epi32(zero, _mm512_abs_epi8(q), ones);
    }
    __m512i sums = runs(fours);
    _mm512_storeu_si512(b->neg32, _mm512_slli_epi32(_mm512_sub_epi32(zero, sums), 5));
    __m256i s16 = _mm512_cvtepi32_epi16(sums);
    _mm256_storeu_si256((__m256i *)b->sum16, s16);
    __m256i s32 = _mm256_madd_epi16(s16, _mm256_set1_epi16(1));
    _mm_store_si128((__m128i *)b->sum32, _mm256_cvtepi32_epi16(s32));
    b->neg127 = -127 * _mm512_reduce_add_epi32(sums);
    b->fits = fits_of(runs(magnitudes), s32);
    b->unused = 0;
}

void lb_act_q8_256_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    lb_act_q8_256 *b = act;
    for (int64_t i = 0; i < k / 256; i++, b++, x += 256) {
        float amax, id;
        if (lb_act_q8_plain(x, &amax, &id)) {
            put_block(x, amax, id, b, true);
        } else {
            amax = block_amax(x);
            put_block(x, amax, amax > 0 ? 127.0f / amax : 0, b, false);
        }
    }
}
