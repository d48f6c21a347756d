/* act_digits_avx512.c: one f32 row to bf16 and its digits. */
#include "act_digits_avx512.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>

#include "engine/kernel.h"

/* A row's largest magnitude is below 2^(top + 1) of its power of two: of so many digits. */
static inline int top_of(int count) { return 8 * count - 3; }
/* Values whose exponent is below the largest one's by this at most are whole: bf16 has 7 bits behind the first. */
static inline int exact_of(int count) { return top_of(count) - 7; }

/* How tiles are made: `count` digits, `blocks` groups each, of `group` values. */
typedef struct shape { int count, blocks, group; const uint8_t *order; } shape;

static shape whole(int count, const uint8_t order[8]) { return (shape){ count, 1, LB_DIGITS_STEP, order }; }
static shape of_groups(int count, int64_t group) {
    const int blocks = lb_act_digits_blocks(group, count);
    return blocks == 1 ? whole(count, lb_act_digits_pairs_order)
                       : (shape){ count, blocks, (int)group, lb_act_digits_pairs_order };
}

static inline int steps_of_block(const shape s) { return s.blocks * s.group / LB_DIGITS_STEP; }
static inline int64_t steps_of(const shape s, int64_t k) {
    const int64_t together = s.blocks * s.group;
    return (k + together - 1) / together * steps_of_block(s);
}
static inline size_t tile_bytes(const shape s) { return (size_t)(s.blocks * lb_act_digits_tile(s.count)); }

/* Which value is k = `at` of the tile of a step, `at` a multiple of 8. */
static inline int64_t value_at(const shape s, int64_t step, int at) {
    const int each = LB_DIGITS_STEP / s.blocks, steps = steps_of_block(s);
    return (step / steps * s.blocks + at / each) * s.group + step % steps * each + at % each;
}

/* 64: a row may begin anywhere. */
static size_t bytes_of(const shape s, const struct lb_quantizer *q, int64_t k) {
    return lb_act_bf16_bytes(q, k) + 64 + 64 + (size_t)steps_of(s, k) * tile_bytes(s);
}
size_t lb_act_digits_bytes(const struct lb_quantizer *q, int64_t k) {
    return bytes_of(whole(LB_DIGITS, lb_act_digits_order), q, k);
}
size_t lb_act_digits_groups_bytes(const struct lb_quantizer *q, int64_t k) {
    const size_t all = bytes_of(of_groups(LB_DIGITS, q->group), q, k);
    const size_t few = bytes_of(of_groups(LB_DIGITS_FEW, q->group), q, k); /* longer blocks have more behind K */
    return all > few ? all : few;
}

/* Bits of magnitudes in bf16: NaN is above all; the least of those that are not zero, less 1. */
typedef struct range { uint32_t most, least; } range;

static range range_of(const uint16_t *v, int64_t padded) {
    const __m512i one = _mm512_set1_epi16(1), low = _mm512_set1_epi32(0xffff);
    __m512i most = _mm512_setzero_si512(), least = _mm512_set1_epi16(-1);
    for (int64_t i = 0; i < padded; i += 32) {
        const __m512i size = _mm512_and_si512(_mm512_loadu_si512(v + i), _mm512_set1_epi16(0x7fff));
        most = _mm512_max_epu16(most, size);
        least = _mm512_min_epu16(least, _mm512_sub_epi16(size, one)); /* of zero the largest there is */
    }
    most = _mm512_max_epu32(_mm512_and_si512(most, low), _mm512_srli_epi32(most, 16));
    least = _mm512_min_epu32(_mm512_and_si512(least, low), _mm512_srli_epi32(least, 16));
    return (range){ _mm512_reduce_max_epu32(most), _mm512_reduce_min_epu32(least) };
}

/* Whether every value times 2^(top - the largest one's exponent) is whole. */
static bool digits_hold(const range r, int count) {
    const int smallest = (int)(r.most >> 7) - exact_of(count); /* exponent, with its bias */
    return r.most < 0x7f80 && (smallest <= 0 || r.least + 1 >= (uint32_t)smallest << 7);
}

/* Stage by stage 1, 2 and 4 lanes change places with as many vectors: r[i] has lane i of each. */
static inline void transpose8(__m512i r[8]) {
    const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
#pragma GCC unroll 3
    for (int s = 1; s < 8; s *= 2) {
        const __mmask8 odd = s == 1 ? 0xaa : s == 2 ? 0xcc : 0xf0;
        const __m512i first = _mm512_mask_add_epi64(lane, odd, lane, _mm512_set1_epi64(8 - s));
        const __m512i second = _mm512_mask_add_epi64(_mm512_add_epi64(lane, _mm512_set1_epi64(s)), odd, lane,
                                                     _mm512_set1_epi64(8));
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            if (i & s) continue;
            const __m512i a = r[i], b = r[i + s];
            r[i] = _mm512_permutex2var_epi64(a, first, b);
            r[i + s] = _mm512_permutex2var_epi64(a, second, b);
        }
    }
}

/* Eight values times 2^up as digits: qword i has those of weight 256^i, byte t of it value order[t]'s. */
static inline __m512i digits_of_8(const uint16_t *v, __m256 up, __m512i order) {
    const __m128i bf16 = _mm_loadu_si128((const __m128i *)(const void *)v);
    const __m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16);
    const __m512i whole = _mm512_cvttps_epi64(_mm256_scalef_ps(_mm256_castsi256_ps(bits), up));
    /* Every byte but the highest is taken as itself less 128, and as much was added before. */
    const __m512i half = _mm512_set1_epi64(0x0080808080808080);
    return _mm512_permutexvar_epi8(order, _mm512_xor_si512(_mm512_add_epi64(whole, half), half));
}

/* The tile of a step; of values from `end` on digits are zero. */
static inline void tile_of_8(const shape s, const uint16_t *v, int64_t end, __m256 up, __m512i from, int64_t step,
                             int8_t *to) {
    for (int j = 0; j < s.blocks; j++, to += 64 * LB_DIGITS) {
        __m512i rows[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            const int64_t k = value_at(s, step, 8 * i);
            rows[i] = i * s.blocks / 8 == j && k < end ? digits_of_8(v + k, up, from) : _mm512_setzero_si512();
        }
        transpose8(rows);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) _mm512_store_si512(to + 64 * i, rows[i]);
    }
}

/* Sixteen values times 2^up as four digits: quarter i has those of weight 256^i, in the order of `order`. */
static inline __m512i digits_of_16(const uint16_t *v, __m512 up, __m512i order) {
    const __m256i bf16 = _mm256_loadu_si256((const __m256i *)(const void *)v);
    const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16);
    const __m512i whole = _mm512_cvttps_epi32(_mm512_scalef_ps(_mm512_castsi512_ps(bits), up));
    const __m512i half = _mm512_set1_epi32(0x00808080);
    return _mm512_permutexvar_epi8(order, _mm512_xor_si512(_mm512_add_epi32(whole, half), half));
}

/* The tile of a step; of values from `end` on digits are zero. */
static inline void tile_of_4(const shape s, const uint16_t *v, int64_t end, __m512 up, __m512i from, int64_t step,
                             int8_t *to) {
    for (int j = 0; j < s.blocks; j++, to += 64 * LB_DIGITS_FEW) {
        __m512i r[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const int64_t k = value_at(s, step, 16 * i);
            r[i] = i * s.blocks / 4 == j && k < end ? digits_of_16(v + k, up, from) : _mm512_setzero_si512();
        }
        const __m512i low01 = _mm512_shuffle_i32x4(r[0], r[1], 0x44), low23 = _mm512_shuffle_i32x4(r[2], r[3], 0x44);
        const __m512i high01 = _mm512_shuffle_i32x4(r[0], r[1], 0xee), high23 = _mm512_shuffle_i32x4(r[2], r[3], 0xee);
        _mm512_store_si512(to, _mm512_shuffle_i32x4(low01, low23, 0x88));
        _mm512_store_si512(to + 64, _mm512_shuffle_i32x4(low01, low23, 0xdd));
        _mm512_store_si512(to + 128, _mm512_shuffle_i32x4(high01, high23, 0x88));
        _mm512_store_si512(to + 192, _mm512_shuffle_i32x4(high01, high23, 0xdd));
    }
}

static void tiles(const shape s, const uint16_t *v, int64_t padded, float up, int8_t *to) {
    uint8_t at[64]; /* where the bytes of a vector's digits come from */
    const bool few = s.count == LB_DIGITS_FEW;
    for (int i = 0; i < 64; i++)
        at[i] = (uint8_t)(few ? 4 * (i % 16 / 8 * 8 + s.order[i % 8]) + i / 16 : 8 * s.order[i % 8] + i / 8);
    const __m512i from = _mm512_loadu_si512(at);
    const int64_t steps = steps_of(s, padded);
    for (int64_t step = 0; step < steps; step++, to += tile_bytes(s)) {
        if (few) tile_of_4(s, v, padded, _mm512_set1_ps(up), from, step, to);
        else tile_of_8(s, v, padded, _mm256_set1_ps(up), from, step, to);
    }
}

/* Tiles of one of two shapes: where four digits hold the row, or of eight. */
static void prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act, shape four, shape eight) {
    lb_act_bf16_prepare(q, x, k, act);
    const uint16_t *v = act;
    const int64_t padded = lb_act_bf16_padded(k);
    const range r = range_of(v, padded);
    const bool few = digits_hold(r, LB_DIGITS_FEW), held = few || digits_hold(r, LB_DIGITS);
    const shape s = few || !held ? four : eight;
    const int up = top_of(s.count) + 127 - (int)(r.most >> 7);
    *(lb_act_digits *)(uintptr_t)lb_act_digits_of(act, k) = (lb_act_digits){ held ? (float)-up : NAN, s.count };
    if (held) tiles(s, v, padded, (float)up, (int8_t *)(uintptr_t)lb_act_digits_tiles(act, k));
}

void lb_act_digits_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    prepare(q, x, k, act, whole(LB_DIGITS_FEW, lb_act_digits_order), whole(LB_DIGITS, lb_act_digits_order));
}

void lb_act_digits_groups_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    prepare(q, x, k, act, of_groups(LB_DIGITS_FEW, q->group), of_groups(LB_DIGITS, q->group));
}

void lb_act_digits_sixes_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    prepare(q, x, k, act, whole(LB_DIGITS_FEW, lb_act_digits_sixes_order), whole(LB_DIGITS, lb_act_digits_sixes_order));
}
