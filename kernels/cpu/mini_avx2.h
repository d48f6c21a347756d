/* mini_avx2.h: small floating-point codes to f32 with AVX2 by their bits, whose exponent has another offset, and one
 * product that makes up for it; subnormals come out right. */
#pragma once
#include "rows16_avx2.h"

/* Codes at the top of their dwords, whatever stands below, to f32. */
LB_INLINE __m256 mini_value(const int width, const int mantissa, __m256i top) {
    const int left = 23 - mantissa, exponents = width - 1 - mantissa, bias = (1 << (exponents - 1)) - 1;
    const int code = ((1 << (width - 1)) - 1) << left;
    const __m256 lift = _mm256_castsi256_ps(_mm256_set1_epi32((254 - bias) << 23)); /* 2^(127 - bias) */
    __m256i bits = _mm256_srai_epi32(top, 9 - width + mantissa);
    bits = _mm256_and_si256(bits, _mm256_set1_epi32((int)(0x80000000u | (unsigned)code)));
    __m256 v = _mm256_mul_ps(_mm256_castsi256_ps(bits), lift);
    if (width != 8) return v;
    /* e4m3: NaN is the last code; e5m2: Inf is the last exponent, and NaN what is above it */
    const int least = mantissa == 3 ? code : 0x7c << left;
    __m256i special = _mm256_cmpgt_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(code)), _mm256_set1_epi32(least - 1));
    special = _mm256_and_si256(special, _mm256_set1_epi32(mantissa == 3 ? 0x7fc00000 : 0x7f800000));
    return _mm256_or_ps(v, _mm256_castsi256_ps(special));
}

/* The 8-bit codes of 8 rows of a run of rows32_float_pack.h, two pairs of k at `at`: four consecutive k. */
LB_INLINE void mini_four(const int mantissa, const uint8_t *at, __m256 w[4]) {
    __m256i v = x2_load_ahead(at); /* a half of a register has four rows: pair, row, element of the pair */
    LB_UNROLL for (int i = 0; i < 4; i++) {
        const int b = 8 * (i / 2) + i % 2;
        const __m128i to = _mm_setr_epi8(-1, -1, -1, (char)b, -1, -1, -1, (char)(b + 2), -1, -1, -1, (char)(b + 4), -1,
                                         -1, -1, (char)(b + 6));
        w[i] = mini_value(8, mantissa, _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(to)));
    }
}
