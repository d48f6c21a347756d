/* rows16_avx2.h: what the AVX2 kernels over panels of integers share: register-level pieces over panels as
 * rows16_pack.h has them. A vector of 16 rows is two registers; each of 8 rows, lane r of row r.
 *
 * Two forms of products, both exact:
 *   narrow: bytes below 64 times int8 by vpmaddubsw, whose int16 sums of a scale's reach (16 or 32 k) stay in int16
 * because they start at minus what the codes' offset amounts to (additions wrap, only the end must fit), and go to
 * int32 in one vpmaddwd, with the scale where that is an integer; wide:   any bytes, split into even and odd ones,
 * times int16 by vpmaddwd. Half as fast, for codes of 8 bits. */
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "act_q8_avx2.h"
#include "rows16_pack.h"

/* Rows and columns of a tile: eight sums, two vectors of weights and what is broadcast fit 16 registers. */
enum { X2_COLS = 4, X2_FEW = 2 /* up to here codes stay in registers */, X2_AHEAD = 4096 };

LB_INLINE __m256i x2_load(const uint8_t *p) { return _mm256_load_si256((const __m256i *)(const void *)p); }
LB_INLINE __m256i x2_load_ahead(const uint8_t *p) {
    _mm_prefetch((const char *)p + X2_AHEAD, _MM_HINT_T0);
    return x2_load(p);
}
LB_INLINE __m256i x2_bytes(uint32_t b) { return _mm256_set1_epi32((int)(b * 0x01010101u)); }

/* (v >> bits) & mask, bit fields of every byte; the mask keeps neighbours out. */
LB_INLINE __m256i x2_field(__m256i v, int bits, uint32_t mask) {
    return _mm256_and_si256(bits ? _mm256_srli_epi32(v, bits) : v, x2_bytes(mask));
}
/* ((v << left) & mask) | w, left < 0: to the right. */
LB_INLINE __m256i x2_merge(__m256i w, __m256i v, int left, uint32_t mask) {
    __m256i at = left > 0 ? _mm256_slli_epi32(v, left) : left < 0 ? _mm256_srli_epi32(v, -left) : v;
    return _mm256_or_si256(w, _mm256_and_si256(at, x2_bytes(mask)));
}

/* The dword at `p` in every lane. */
LB_INLINE __m256i x2_spread(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Both in assembly: gcc 12 would make trees of the additions and keep all products of a tile at once, in memory. */
LB_INLINE __m256i x2_narrow(__m256i sum, __m256i w, __m256i a) {
    __m256i t;
    __asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(sum), "=&x"(t) : "x"(w), "x"(a));
    return sum;
}
LB_INLINE __m256i x2_wide(__m256i sum, __m256i w, __m256i a) {
    __m256i t;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(t) : "x"(w), "x"(a));
    return sum;
}
/* A vector of bytes as what two products of the wide form read. */
LB_INLINE __m256i x2_even(__m256i bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi32(0x00ff00ff)); }
LB_INLINE __m256i x2_odd(__m256i bytes) { return _mm256_srli_epi16(bytes, 8); }

LB_INLINE __m256 x2_f16(const uint8_t *p) { return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(const void *)p)); }

/* 16 bytes in each half. */
LB_INLINE __m256i x2_table(const uint8_t *levels) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)levels));
}

/* Four vectors of 6-bit fields from three of bytes, a vector's two registers 32 bytes apart: see lb_pack6. */
LB_INLINE void x2_unpack6(const uint8_t *p, __m256i t[4]) {
    __m256i p0 = x2_load(p), p1 = x2_load(p + 64), p2 = x2_load(p + 128);
    t[0] = x2_field(p0, 0, 0x3f);
    t[1] = x2_field(p1, 0, 0x3f);
    t[2] = x2_field(p2, 0, 0x3f);
    t[3] = _mm256_or_si256(_mm256_or_si256(x2_field(p0, 6, 0x03), x2_field(p1, 4, 0x0c)), x2_field(p2, 2, 0x30));
}

/* Byte `b` of every dword as both of its int16. */
LB_INLINE __m256i x2_twice_u8(__m256i v, int b) {
    const __m256i at = _mm256_set_epi32(12, 8, 4, 0, 12, 8, 4, 0);
    __m256i index = _mm256_mullo_epi32(_mm256_add_epi32(at, _mm256_set1_epi32(b)), _mm256_set1_epi32(0x00010001));
    return _mm256_shuffle_epi8(v, _mm256_or_si256(index, _mm256_set1_epi32((int)0x80008000)));
}
LB_INLINE __m256i x2_twice_s8(__m256i v, int b) {
    const __m256i at = _mm256_set_epi32(12, 8, 4, 0, 12, 8, 4, 0);
    __m256i index = _mm256_mullo_epi32(_mm256_add_epi32(at, _mm256_set1_epi32(b)), _mm256_set1_epi32(0x01000100));
    return _mm256_srai_epi16(_mm256_shuffle_epi8(v, _mm256_or_si256(index, _mm256_set1_epi32(0x00800080))), 8);
}
