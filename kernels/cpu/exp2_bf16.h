/* exp2_bf16.h: powers of two for what is rounded to bf16 anyway. */
#pragma once
#include <immintrin.h>

/* 2^x within 8e-5; of -Inf 0, of NaN NaN. What vreduceps leaves is x less its floor, which is what vscalefps takes of
 * x: eight instructions' work in the place of ten. */
static inline __m512 exp2_bf16(__m512 x) {
    __m512 r = _mm512_reduce_ps(x, 1);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.07802315f), r, _mm512_set1_ps(0.22606941f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.69583267f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.99992528f));
    return _mm512_scalef_ps(p, x);
}
