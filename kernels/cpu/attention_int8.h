/* attention_int8.h: what attention over packed caches (q8_0, q4_0) shares, however many rows there are: q as int8 in
 * blocks of 32 (LB_ACT_Q8_32), products of integers. The template of flash.h, which this includes: the file says before how
 * many bytes packed keys and values take. */
#include "vec.h"

enum { SPAN = 32 }; /* values of a block of the formats */
#define BLOCKS(d) ((d) / SPAN)
#define P_BYTES(v) ((size_t)BLOCKS(v) * 64 * 2)
#define REACHES(t) 1 /* not used */
#define ROWS_TOGETHER 8
#define EXP2_COARSE
#include "flash.h"

enum { DIM_MOST = 4096 };
#define UNROLL _Pragma("GCC unroll 16")

/* 32 codes as they are: signed (q8_0), or 0 to 15 (q4_0). */
static inline __attribute__((always_inline)) __m256i load_codes(int packed, const char *block) {
    if (packed == LB_PACKED_Q8_0) return _mm256_loadu_si256((const void *)(block + 2));
    __m128i v = _mm_loadu_si128((const void *)(block + 2)), low = _mm_set1_epi8(15);
    return _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(v, 4), low), _mm_and_si128(v, low));
}

/* In assembly: gcc 12 reorders these and copies sums between registers. */
static inline __m512i dot4(__m512i acc, __m512i codes_u8, __m512i x) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes_u8), "v"(x));
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
