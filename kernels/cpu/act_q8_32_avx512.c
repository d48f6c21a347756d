/* act_q8_32_avx512.c: one f32 row to LB_ACT_Q8_32 or LB_ACT_I8_TOKEN_ASYM codes, scales and block sums. */
#include "act_q8_32_avx512.h"
#include "act_q8_avx512.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "engine/activation.h"
#include "engine/dtype.h"

size_t lb_act_q8_32_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)(k / 32) * sizeof(lb_act_q8_32);
}

/* As activation.c: NaN (also Inf * 0) becomes 0, overflow saturates. */
static inline __m512i codes_16(__m512 x, __m512 id) {
    __m512 f = _mm512_mul_ps(x, id);
    __mmask16 number = _mm512_cmp_ps_mask(f, f, _CMP_ORD_Q);
    f = _mm512_min_ps(_mm512_max_ps(f, _mm512_set1_ps(-127.0f)), _mm512_set1_ps(127.0f));
    return _mm512_maskz_cvtps_epi32(number, f);
}

/* The largest of 32 magnitudes, as integers: NaN is the largest of all, and its block's scale becomes NaN. */
static inline __m512i larger(const float *x, __m512i most) {
    most = _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x))), most);
    return _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x + 16))), most);
}

static inline void put_sums(lb_act_q8_32 *b, int32_t sum, float d) {
    b->d = d;
    b->start = -128 * sum;
    b->sum = (float)sum;
    b->half = 0.5f * (float)sum;
}

static inline void put_block(const float *x, __m512 id, float d, lb_act_q8_32 *b) {
    __m512i q0 = codes_16(_mm512_loadu_ps(x), id), q1 = codes_16(_mm512_loadu_ps(x + 16), id);
    _mm_storeu_si128((__m128i *)b->q, _mm512_cvtepi32_epi8(q0));
    _mm_storeu_si128((__m128i *)(b->q + 16), _mm512_cvtepi32_epi8(q1));
    put_sums(b, _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1)), d);
}

/* `blocks` that share a scale. */
static inline void prepare_blocks(const float *x, int64_t blocks, lb_act_q8_32 *b) {
    __m512i most = _mm512_setzero_si512();
    for (int64_t i = 0; i < blocks; i++) most = larger(x + 32 * i, most);
    float amax = lb_f32_from_bits((uint32_t)_mm512_reduce_max_epi32(most));
    __m512 id = _mm512_set1_ps(amax > 0 ? 127.0f / amax : 0);
    for (int64_t i = 0; i < blocks; i++) put_block(x + 32 * i, id, amax / 127.0f, b + i);
}

void lb_act_q8_32_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    lb_act_q8_32 *b = act;
    for (int64_t i = 0; i < k / 32; i++) prepare_blocks(x + 32 * i, 1, b + i);
}

/* The lane sums of eight vectors, each by the same tree. */
static inline __m256i sums_of_8(const __m512i s[8]) {
    __m512i four[4], two[2];
    for (int i = 0; i < 4; i++)
        four[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2 * i], s[2 * i + 1]),
                                   _mm512_unpackhi_epi32(s[2 * i], s[2 * i + 1]));
    for (int i = 0; i < 2; i++)
        two[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(four[2 * i], four[2 * i + 1]),
                                  _mm512_unpackhi_epi64(four[2 * i], four[2 * i + 1]));
    __m512i t = _mm512_add_epi32(_mm512_shuffle_i32x4(two[0], two[1], _MM_SHUFFLE(1, 0, 1, 0)),
                                 _mm512_shuffle_i32x4(two[0], two[1], _MM_SHUFFLE(3, 2, 3, 2)));
    t = _mm512_add_epi32(t, _mm512_shuffle_i32x4(t, t, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm512_castsi512_si256(_mm512_shuffle_i32x4(t, t, _MM_SHUFFLE(3, 1, 2, 0)));
}

/* As put_sums, of eight blocks. */
static inline void put_sums_8(lb_act_q8_32 *b, __m256i sum, float scale) {
    __m256 d = _mm256_set1_ps(scale), f = _mm256_cvtepi32_ps(sum), half = _mm256_mul_ps(f, _mm256_set1_ps(0.5f));
    __m256 start = _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sum, 7)));
    for (int high = 0; high < 2; high++) {
        __m256 t = high ? _mm256_unpackhi_ps(d, start) : _mm256_unpacklo_ps(d, start);
        __m256 u = high ? _mm256_unpackhi_ps(f, half) : _mm256_unpacklo_ps(f, half);
        for (int odd = 0; odd < 2; odd++) {
            __m256d v = odd ? _mm256_unpackhi_pd(_mm256_castps_pd(t), _mm256_castps_pd(u))
                            : _mm256_unpacklo_pd(_mm256_castps_pd(t), _mm256_castps_pd(u));
            _mm_storeu_pd((double *)(void *)&b[2 * high + odd].d, _mm256_castpd256_pd128(v));
            _mm_storeu_pd((double *)(void *)&b[2 * high + odd + 4].d, _mm256_extractf128_pd(v, 1));
        }
    }
}

/* Eight blocks that share a scale: as prepare_blocks, without its care for what no number is where all are. */
static inline void prepare_eight(const float *x, lb_act_q8_32 *b) {
    float amax, inverse;
    if (!lb_act_q8_plain(x, &amax, &inverse)) {
        prepare_blocks(x, 8, b);
        return;
    }
    __m512 id = _mm512_set1_ps(inverse);
    __m512i s[8];
    for (int i = 0; i < 8; i++) {
        __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 32 * i), id));
        __m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 32 * i + 16), id));
        _mm_storeu_si128((__m128i *)b[i].q, _mm512_cvtepi32_epi8(q0));
        _mm_storeu_si128((__m128i *)(b[i].q + 16), _mm512_cvtepi32_epi8(q1));
        s[i] = _mm512_add_epi32(q0, q1);
    }
    put_sums_8(b, sums_of_8(s), amax / 127.0f);
}

void lb_act_q8_256_prepare_32(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    lb_act_q8_32 *b = act;
    int64_t i = 0;
    for (; i + 8 <= k / 32; i += 8) prepare_eight(x + 32 * i, b + i);
    if (i < k / 32) prepare_blocks(x + 32 * i, k / 32 - i, b + i);
}

size_t lb_act_i8_asym_bytes(const struct lb_quantizer *q, int64_t k) {
    return lb_act_q8_32_bytes(q, k) + sizeof(float);
}

void lb_act_i8_asym_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    __m512 lows = _mm512_setzero_ps(), highs = _mm512_setzero_ps();
    __mmask16 bad = 0;
    for (int64_t i = 0; i < k; i += 16) { /* a NaN is neither: min and max return their second operand then */
        __m512 v = _mm512_loadu_ps(x + i);
        lows = _mm512_min_ps(v, lows);
        highs = _mm512_max_ps(v, highs);
        bad |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    }
    lb_act_asym s = lb_act_asym_of(bad ? NAN : _mm512_reduce_min_ps(lows), _mm512_reduce_max_ps(highs));
    __m512 inverse = _mm512_set1_ps(s.id), zero = _mm512_set1_ps(s.zero);
    lb_act_q8_32 *b = act;
    for (int64_t i = 0; i < k / 32; i++, b++, x += 32) {
        __m512i v[2];
        for (int j = 0; j < 2; j++) {
            __m512 f = _mm512_mul_ps(_mm512_loadu_ps(x + 16 * j), inverse);
            f = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(f, f, _CMP_ORD_Q), f);
            f = _mm512_add_ps(_mm512_roundscale_ps(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), zero);
            f = _mm512_min_ps(_mm512_max_ps(f, _mm512_set1_ps(-128.0f)), _mm512_set1_ps(127.0f));
            v[j] = _mm512_cvtps_epi32(f);
            _mm_storeu_si128((__m128i *)(b->q + 16 * j), _mm512_cvtepi32_epi8(v[j]));
        }
        put_sums(b, _mm512_reduce_add_epi32(_mm512_add_epi32(v[0], v[1])), s.d);
    }
    float shift = s.d * s.zero;
    memcpy((char *)act + lb_act_q8_32_bytes(q, k), &shift, sizeof shift);
}
