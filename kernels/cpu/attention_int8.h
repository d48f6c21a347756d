/* attention_int8.h: what attention over packed caches (q8_0, q4_0) shares, however many rows there are: q as int8 in
 * blocks of 32 (LB_ACT_Q8_32), products by vpdpbusd and vpdpwssd, probabilities times the values' factors as int16
 * relative to the row's largest probability and the positions' largest factor. Bytes would be too coarse: where one
 * position has most of the probability and a small value, little would be left of the others. The template of flash.h,
 * which this includes: the file says before how many bytes packed keys and values take. */
#include "vec.h"

enum { SPAN = 32 }; /* values of a block of the formats */
#define BLOCKS(d) ((d) / SPAN)
#define P_BYTES(v) ((size_t)BLOCKS(v) * 64 * 2)
#define REACHES(t) 1 /* not used */
#define ROWS_TOGETHER 8
#define EXP2_COARSE
#include "flash.h"

enum { DIM_MOST = 4096 };
static const float FULL = 32767.0f;
#define UNROLL _Pragma("GCC unroll 16")

/* 32 codes as they are: signed (q8_0), or 0 to 15 (q4_0). */
static inline __attribute__((always_inline)) __m256i load_codes(int packed, const char *block) {
    if (packed == LB_PACKED_Q8_0) return _mm256_loadu_si256((const void *)(block + 2));
    __m128i v = _mm_loadu_si128((const void *)(block + 2)), low = _mm_set1_epi8(15);
    return _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(v, 4), low), _mm_and_si128(v, low));
}

/* Factors that are infinite become NaN, as products of both signs with them would. */
static inline __m512 number_or_nan(__m512 f) { return _mm512_fmadd_ps(f, _mm512_setzero_ps(), f); }

/* Factors of values [block][64] become parts of FULL of the largest of their block of 64, which goes to most[block]. */
static void relative_factors(float *f, int64_t blocks, float *most) {
    for (int64_t b = 0; b < blocks; b++, f += BLOCK) {
        __m512 m = _mm512_setzero_ps();
        __mmask16 bad = 0;
        for (int i = 0; i < BLOCK; i += 16) {
            __m512 v = _mm512_loadu_ps(f + i);
            m = _mm512_max_ps(m, _mm512_abs_ps(v));
            bad |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        }
        float top = _mm512_reduce_max_ps(m);
        __m512 part = _mm512_set1_ps(top > 0 ? FULL / top : 0);
        for (int i = 0; i < BLOCK; i += 16) _mm512_storeu_ps(f + i, _mm512_mul_ps(_mm512_loadu_ps(f + i), part));
        most[b] = bad ? NAN : top / FULL;
    }
}

/* A row's probabilities times the factors as int16, 64 of a block `step` bytes behind the ones before. Returns the
 * largest probability. */
static inline float weights_i16(const float *p, const float *f, int64_t blocks, char *to, int64_t step) {
    __m512 x[BLOCK / 16], most = _mm512_load_ps(p);
    for (int i = 0; i < BLOCK / 16; i++) most = _mm512_max_ps(most, x[i] = _mm512_load_ps(p + 16 * i));
    float top = _mm512_reduce_max_ps(most);
    __m512 part = _mm512_set1_ps(top > 0x1p-100f ? 1 / top : 0);
    const __m512i low_words = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32,
                                               30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    for (int i = 0; i < BLOCK / 16; i++) x[i] = _mm512_mul_ps(x[i], part);
    for (int64_t b = 0; b < blocks; b++, f += BLOCK, to += step)
        for (int i = 0; i < BLOCK / 16; i += 2) {
            __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(x[i], _mm512_loadu_ps(f + 16 * i)));
            __m512i b = _mm512_cvtps_epi32(_mm512_mul_ps(x[i + 1], _mm512_loadu_ps(f + 16 * i + 16)));
            _mm512_store_si512(to + 32 * i, _mm512_permutex2var_epi16(a, low_words, b));
        }
    return top;
}

/* In assembly: gcc 12 reorders these and copies sums between registers. */
static inline __m512i dot4(__m512i acc, __m512i codes_u8, __m512i x) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes_u8), "v"(x));
    return acc;
}
static inline __m512i dot2(__m512i acc, __m512i codes_s16, __m512i x) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(codes_s16), "v"(x));
    return acc;
}
static inline __m512i spread(const void *four) {
    __m512i v;
    __asm__("vpbroadcastd %1, %0" : "=v"(v) : "m"(*(const int32_t (*)[1])four));
    return v;
}

#define BY_ROWS(rows, CALL)                                                                                     \
    switch (rows) {                                                                                             \
    case 1: CALL(1); break;                                                                                     \
    case 2: CALL(2); break;                                                                                     \
    case 3: CALL(3); break;                                                                                     \
    case 4: CALL(4); break;                                                                                     \
    case 5: CALL(5); break;                                                                                     \
    case 6: CALL(6); break;                                                                                     \
    case 7: CALL(7); break;                                                                                     \
    default: CALL(8); break;                                                                                    \
    }
