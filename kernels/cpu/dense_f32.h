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

static size_t dense_x_bytes(int64_t k) { return (size_t)((k + 15) / 16) * 64; }

static void dense_prepare(const float *x, int64_t k, void *to) {
    memcpy(to, x, (size_t)k * sizeof *x);
    memset((float *)to + k, 0, dense_x_bytes(k) - (size_t)k * sizeof *x);
}
