/* gate.h: SwiGLU and gpt-oss's clamped form of it on vectors of one instruction set, and loads and stores of what is
 * left of a row. */
#pragma once
#include <immintrin.h>
#include <stdint.h>

/* e^x: 2^n times the Taylor polynomial of degree 7 on |r| <= ln 2 / 2 (error below half an ulp). The bounds, behind
 * which it is 0 or infinite, keep Inf - Inf out of r, and 2^n in range; NaN passes. */
#define GATE_TAYLOR { 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f }

#if defined(__AVX512F__)
enum { GATE_LANES = 16 };
typedef __m512 gate_v;
typedef __mmask16 gate_some;
#define GATE(name) _mm512_##name
#define GATE_ROUND(x) _mm512_roundscale_ps(x, 8)
static inline gate_some gate_lanes(int64_t n) { return n >= 16 ? (gate_some)0xffff : (gate_some)((1u << n) - 1); }
static inline gate_v gate_load(gate_some m, const float *p) { return _mm512_maskz_loadu_ps(m, p); }
static inline void gate_store(float *p, gate_some m, gate_v v) { _mm512_mask_storeu_ps(p, m, v); }
static inline gate_v gate_scale(gate_v x, gate_v n) { return _mm512_scalef_ps(x, n); }
#else
enum { GATE_LANES = 8 };
typedef __m256 gate_v;
typedef __m256i gate_some;
#define GATE(name) _mm256_##name
#define GATE_ROUND(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
static inline gate_some gate_lanes(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline gate_v gate_load(gate_some m, const float *p) { return _mm256_maskload_ps(p, m); }
static inline void gate_store(float *p, gate_some m, gate_v v) { _mm256_maskstore_ps(p, m, v); }
/* x * 2^n in two steps, so that neither power leaves the exponents. */
static inline gate_v gate_scale(gate_v x, gate_v n) {
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
    __m256i rest = _mm256_sub_epi32(i, half);
    x = _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
#endif

/* In min and max the second operand is the result where one is NaN. */
static inline gate_v gate_exp(gate_v x) {
    x = GATE(max_ps)(GATE(set1_ps)(-170.0f), GATE(min_ps)(GATE(set1_ps)(170.0f), x));
    gate_v n = GATE_ROUND(GATE(mul_ps)(x, GATE(set1_ps)(1.44269504f)));
    gate_v r = GATE(fnmadd_ps)(n, GATE(set1_ps)(0.693145751953125f), x);
    r = GATE(fnmadd_ps)(n, GATE(set1_ps)(1.42860677e-6f), r);
    static const float taylor[] = GATE_TAYLOR;
    gate_v sum = GATE(set1_ps)(1.0f / 5040);
    for (int i = 0; i < 7; i++) sum = GATE(fmadd_ps)(sum, r, GATE(set1_ps)(taylor[i]));
    return gate_scale(sum, n);
}

static inline gate_v gate_swiglu(gate_v gate, gate_v up) {
    gate_v below = GATE(add_ps)(GATE(set1_ps)(1.0f), gate_exp(GATE(sub_ps)(GATE(setzero_ps)(), gate)));
    return GATE(mul_ps)(GATE(div_ps)(gate, below), up);
}

static inline gate_v gate_clamped(gate_v gate, gate_v up, float alpha, float limit) {
    gate_v top = GATE(set1_ps)(limit), one = GATE(set1_ps)(1.0f);
    gate = GATE(min_ps)(top, gate);
    up = GATE(max_ps)(GATE(sub_ps)(GATE(setzero_ps)(), top), GATE(min_ps)(top, up));
    gate_v below = GATE(add_ps)(one, gate_exp(GATE(mul_ps)(gate, GATE(set1_ps)(-alpha))));
    return GATE(mul_ps)(GATE(div_ps)(gate, below), GATE(add_ps)(up, one));
}
