/* levels16_avx2.h: levels of nibbles from a table of 16 f32 with AVX2. */
#pragma once
#include "rows16_avx2.h"

/* Those of bits [at, at + 4) of every dword, from 16 aligned f32. Indexes of eight entries are three bits; the fourth,
 * brought to the top of its dword, chooses between two tables. */
LB_INLINE __m256 levels16_of(const void *levels, __m256i v, int at) {
    __m256i index = at ? _mm256_srli_epi32(v, at) : v;
    __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps((const float *)levels), index);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps((const float *)levels + 8), index);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(at < 28 ? _mm256_slli_epi32(v, 28 - at) : v));
}

/* Of eight k of 8 rows: nibbles of a row's two words by turns, as panels of 4 bits have them (rows32_float_pack.h). */
LB_INLINE void levels16_eight(const void *levels, __m256i v, __m256 *w) {
    LB_UNROLL for (int i = 0; i < 4; i++) {
        w[2 * i] = levels16_of(levels, v, 4 * i);
        w[2 * i + 1] = levels16_of(levels, v, 16 + 4 * i);
    }
}
