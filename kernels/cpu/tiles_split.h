/* tiles_split.h: pairs of f32 as pairs of bf16, for gemm_tiles.h: cut off, or in two terms. */
#pragma once
#include <immintrin.h>

#include "../../engine/wide.h"

/* bf16 of two vectors of f32, cut off, the odd ones in the high halves. */
LB_INLINE __m512i tiles_cut(__m512 even, __m512 odd) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    return _mm512_ternarylogic_epi32(high, _mm512_castps_si512(odd),
                                     _mm512_srli_epi32(_mm512_castps_si512(even), 16), 0xca);
}
LB_INLINE __m512 tiles_even(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
LB_INLINE __m512 tiles_odd(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}

/* Pairs of f32 as two terms. Of NaN or Inf they amount to NaN. */
LB_INLINE void tiles_split(__m512 even, __m512 odd, __m512i *high, __m512i *low) {
    const __m512i half = _mm512_set1_epi32(0x8000);
    *high = tiles_cut(even, odd);
    even = _mm512_sub_ps(even, tiles_even(*high));
    odd = _mm512_sub_ps(odd, tiles_odd(*high));
    *low = tiles_cut(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(even), half)),
                     _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(odd), half)));
}
