/* act_q8_avx2.c: one f32 row to int8 codes, scales and block sums in the forms of act_q8_avx2.h. */
#include "act_q8_avx2.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "engine/activation.h"
#include "engine/dtype.h"

#define INLINE static inline __attribute__((always_inline))

/* How a value becomes a code: as activation.c has it, NaN (also Inf * 0) becomes 0 and overflow saturates. The
 * asymmetric form rounds, makes NaN 0, and then adds the zero. */
typedef struct coding { __m256 id, zero, least; bool asym; } coding;

INLINE __m256i codes_8(const coding c, __m256 x) {
    __m256 f = _mm256_mul_ps(x, c.id), number = _mm256_cmp_ps(f, f, _CMP_ORD_Q);
    if (c.asym) {
        f = _mm256_and_ps(f, number);
        f = _mm256_add_ps(_mm256_round_ps(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), c.zero);
    }
    f = _mm256_min_ps(_mm256_max_ps(f, c.least), _mm256_set1_ps(127.0f));
    return c.asym ? _mm256_cvtps_epi32(f) : _mm256_and_si256(_mm256_cvtps_epi32(f), _mm256_castps_si256(number));
}

/* 32 codes in order. */
INLINE __m256i codes_32(const coding c, const float *x) {
    __m256i a = _mm256_packs_epi32(codes_8(c, _mm256_loadu_ps(x)), codes_8(c, _mm256_loadu_ps(x + 8)));
    __m256i b = _mm256_packs_epi32(codes_8(c, _mm256_loadu_ps(x + 16)), codes_8(c, _mm256_loadu_ps(x + 24)));
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* 16 codes as int16, elements 4i, 4i + 2, 4i + 1, 4i + 3. */
INLINE void put_wide(__m128i q, int16_t *to) {
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_cvtepi8_epi16(_mm_shuffle_epi8(q, order)));
}

/* Block g of a piece from its codes. */
INLINE void put_block(__m256i q, float d, int g, lb_act_q8x2 *b) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q); /* sums of two */
    __m256i s = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e));
    s = _mm256_add_epi16(s, _mm256_shuffle_epi32(s, 0xb1)); /* both parts of 16, in every dword of a half */
    uint32_t low = (uint32_t)_mm256_extract_epi32(s, 0), high = (uint32_t)_mm256_extract_epi32(s, 4);
    int16_t parts[4] = { (int16_t)low, (int16_t)(low >> 16), (int16_t)high, (int16_t)(high >> 16) };
    for (int i = 0; i < 4; i++) b->minus16[2 * g + i / 2][i % 2] = (int16_t)-parts[i];
    for (int i = 0; i < 2; i++) {
        b->minus32[g][i] = (int16_t)-(parts[i] + parts[2 + i]);
        b->sum16[2 * g + i] = (int16_t)(parts[2 * i] + parts[2 * i + 1]);
    }
    int32_t sum = b->sum16[2 * g] + b->sum16[2 * g + 1];
    b->sum32[g] = (int16_t)sum;
    b->minus[g] = -sum;
    b->sum[g] = (float)sum;
    b->d[g] = d;
    _mm256_storeu_si256((__m256i *)(void *)(b->q + 32 * g), q);
}

/* The largest of 32 magnitudes, as integers: NaN is the largest of all, and its block's scale becomes NaN. */
INLINE __m256i larger(const float *x, __m256i most) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (int i = 0; i < 32; i += 8) {
        __m256i v = _mm256_castps_si256(_mm256_loadu_ps(x + i));
        most = _mm256_max_epi32(_mm256_and_si256(v, magnitude), most);
    }
    return most;
}

INLINE float largest_bits(__m256i v) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return lb_f32_from_bits((uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1))));
}

INLINE float largest_lane(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

INLINE lb_act_q8x2 *piece(void *act, int64_t i, bool wide) {
    return (lb_act_q8x2 *)(void *)((char *)act + (size_t)i * (wide ? sizeof(lb_act_q8x2_wide) : sizeof(lb_act_q8x2)));
}

/* Blocks [first, first + count) of a row, which share how they are coded and their scale. */
INLINE void code_blocks(const coding c, float d, const float *x, int64_t first, int64_t count, bool wide, void *act) {
    for (int64_t i = first; i < first + count; i++) {
        lb_act_q8x2 *b = piece(act, i / 8, wide);
        __m256i q = codes_32(c, x + 32 * i);
        put_block(q, d, (int)(i % 8), b);
        if (!wide) continue;
        int16_t *to = ((lb_act_q8x2_wide *)b)->q + 32 * (i % 8);
        put_wide(_mm256_castsi256_si128(q), to);
        put_wide(_mm256_extracti128_si256(q, 1), to + 16);
    }
}

/* What a short last piece has no blocks for is zero. */
static void clear_rest(int64_t k, bool wide, void *act) {
    lb_act_q8x2 *last = piece(act, k / 256, wide);
    if (k % 256) memset(last, 0, (size_t)((char *)piece(act, k / 256 + 1, wide) - (char *)last));
}

INLINE void prepare(const float *x, int64_t k, int64_t together, bool wide, void *act) {
    clear_rest(k, wide, act);
    for (int64_t i = 0; i < k / 32; i += together) {
        int64_t count = k / 32 - i < together ? k / 32 - i : together;
        __m256i most = _mm256_setzero_si256();
        for (int64_t j = i; j < i + count; j++) most = larger(x + 32 * j, most);
        float amax = largest_bits(most);
        coding c = { .id = _mm256_set1_ps(amax > 0 ? 127.0f / amax : 0), .least = _mm256_set1_ps(-127.0f) };
        code_blocks(c, amax / 127.0f, x, i, count, wide, act);
    }
}

size_t lb_act_q8x2_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)((k + 255) / 256) * sizeof(lb_act_q8x2);
}

size_t lb_act_q8x2_wide_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)((k + 255) / 256) * sizeof(lb_act_q8x2_wide);
}

#define PREPARE(name, together, wide)                                                                                \
    void name(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {                                  \
        (void)q;                                                                                                     \
        prepare(x, k, together, wide, act);                                                                          \
    }
PREPARE(lb_act_q8x2_prepare_256, 8, false)
PREPARE(lb_act_q8x2_prepare_256_wide, 8, true)
PREPARE(lb_act_q8x2_prepare_32, 1, false)
PREPARE(lb_act_q8x2_prepare_32_wide, 1, true)

size_t lb_act_i8_asym_x2_bytes(const struct lb_quantizer *q, int64_t k) {
    return lb_act_q8x2_wide_bytes(q, k) + sizeof(float);
}

void lb_act_i8_asym_x2_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps(), zero = _mm256_setzero_ps(), bad = zero;
    for (int64_t i = 0; i < k; i += 8) { /* a NaN is neither */
        __m256 v = _mm256_loadu_ps(x + i);
        low = _mm256_min_ps(v, low);
        high = _mm256_max_ps(v, high);
        bad = _mm256_or_ps(bad, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    }
    float most = _mm256_movemask_ps(bad) ? NAN : largest_lane(high);
    lb_act_asym s = lb_act_asym_of(-largest_lane(_mm256_sub_ps(zero, low)), most);
    coding c = { _mm256_set1_ps(s.id), _mm256_set1_ps(s.zero), _mm256_set1_ps(-128.0f), true };
    clear_rest(k, true, act);
    code_blocks(c, s.d, x, 0, k / 32, true, act);
    float shift = s.d * s.zero;
    memcpy((char *)act + lb_act_q8x2_wide_bytes(q, k), &shift, sizeof shift);
}

size_t lb_act_i8x2_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return sizeof(lb_act_i8x2) + (size_t)lb_act_i8x2_padded(k);
}

size_t lb_act_i8x2_wide_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return sizeof(lb_act_i8x2) + 2 * (size_t)lb_act_i8x2_padded(k);
}

INLINE void prepare_token(const float *x, int64_t k, bool wide, lb_act_i8x2 *a) {
    __m256i most = _mm256_setzero_si256();
    float rest[32] = { 0 };
    int64_t whole = k / 32 * 32;
    if (k > whole) memcpy(rest, x + whole, (size_t)(k - whole) * sizeof *x);
    for (int64_t i = 0; i < whole; i += 32) most = larger(x + i, most);
    float d = largest_bits(larger(rest, most)) / 127.5f;
    d = d <= 0x1p-23f ? 0x1p-23f : d; /* NaN stays */
    coding c = { .id = _mm256_set1_ps(1.0f / d), .least = _mm256_set1_ps(-128.0f) };
    __m256i sum = _mm256_setzero_si256();
    for (int64_t i = 0; i < lb_act_i8x2_padded(k); i += 32) {
        __m256i q = i >= k ? _mm256_setzero_si256() : codes_32(c, i < whole ? x + i : rest);
        __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        if (wide) {
            put_wide(_mm256_castsi256_si128(q), (int16_t *)(void *)a->q + i);
            put_wide(_mm256_extracti128_si256(q, 1), (int16_t *)(void *)a->q + i + 16);
        } else {
            _mm256_storeu_si256((__m256i *)(void *)(a->q + i), q);
        }
    }
    int32_t lanes[8];
    _mm256_storeu_si256((__m256i *)(void *)lanes, sum);
    memset(a, 0, sizeof *a);
    a->d = d;
    for (int i = 0; i < 8; i++) a->sum += lanes[i];
}

void lb_act_i8x2_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    prepare_token(x, k, false, act);
}

void lb_act_i8x2_prepare_wide(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    prepare_token(x, k, true, act);
}
