/* dense_f32.h: what the dense kernels that multiply in f32 share: a template's pieces (dense_avx512.h), x as it is. */
#pragma once
#include <immintrin.h>
#include <stdint.h>

#define DENSE_OP "vfmadd231ps"
enum { DENSE_PER_DWORD = 1, DENSE_FEW = 6 };
#include "dense_avx512.h"

DENSE_INLINE __m512 dense_fma(__m512 sum, __m512i w, __m512i x) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(w), _mm512_castsi512_ps(x), sum);
}

DENSE_INLINE __m512i dense_x(const float *x, int64_t at, int64_t left) {
    __mmask16 some = (__mmask16)(left >= 16 ? 0xffff : (1u << (left > 0 ? left : 0)) - 1);
    return _mm512_castps_si512(_mm512_maskz_loadu_ps(some, x + at));
}
