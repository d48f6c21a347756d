/* bf16_pairs.h: pair vectors, what products of bf16 read: of 16 rows two bf16 each, and the f32 they are. */
#pragma once
#include "rows16.h"

/* bf16 of two vectors of f32, cut off, the odd ones in the high halves. */
LB_INLINE __m512i pairs_cut(__m512 even, __m512 odd) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    return _mm512_ternarylogic_epi32(high, _mm512_castps_si512(odd),
                                     _mm512_srli_epi32(_mm512_castps_si512(even), 16), 0xca);
}
LB_INLINE __m512 pairs_even(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
LB_INLINE __m512 pairs_odd(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}
