/* act_bf16_avx512.c: one f32 row to bf16 and sums of 32 to 256. */
#include "act_bf16_avx512.h"

#include <immintrin.h>

#include "transpose16.h"

size_t lb_act_bf16_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)lb_act_bf16_padded(k) * 2 + (size_t)lb_act_bf16_sums_at(k, 512) * 4;
}

/* 32 values from x on, of which `some` exist, as bf16 to v; in f32 the sums of each two that are 16 apart. */
static inline __m512 put_32(const float *x, uint32_t some, uint16_t *v) {
    const __m512i high = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33,
                                          31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    _mm_prefetch((const char *)x + 2048, _MM_HINT_T0);
    _mm_prefetch((const char *)x + 2112, _MM_HINT_T0);
    __m512i a = lb_act_bf16_round(_mm512_maskz_loadu_ps((__mmask16)some, x));
    __m512i b = lb_act_bf16_round(_mm512_maskz_loadu_ps((__mmask16)(some >> 16), x + 16));
    _mm512_storeu_si512(v, _mm512_permutex2var_epi16(a, high, b));
    return _mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b));
}

/* The sums of the lanes of 16 vectors, each as _mm512_reduce_add_ps adds them: halves, quarters, then pairs two apart
 * and neighbours. */
static inline __m512 sums_of_16(__m512 *r) {
    transpose16((__m512i *)r);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) r[i] = _mm512_add_ps(r[i], r[i + 8]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) r[i] = _mm512_add_ps(r[i], r[i + 4]);
    return _mm512_add_ps(_mm512_add_ps(r[0], r[2]), _mm512_add_ps(r[1], r[3]));
}

void lb_act_bf16_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    int64_t padded = lb_act_bf16_padded(k), i = 0;
    uint16_t *v = act;
    float *sums = (float *)(void *)(v + padded);
    for (; i + 512 <= k; i += 512) {
        __m512 r[16];
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++) r[j] = put_32(x + i + 32 * j, 0xffffffffu, v + i + 32 * j);
        _mm512_storeu_ps(sums + i / 32, sums_of_16(r));
    }
    for (; i < padded; i += 32)
        sums[i / 32] = _mm512_reduce_add_ps(put_32(x + i, k - i >= 32 ? 0xffffffffu : (1u << (k - i)) - 1, v + i));
    for (int64_t g = 64; g <= 256; g *= 2) {
        float *next = sums + padded / (g / 2);
        for (int64_t n = 0; n < padded / g; n++) next[n] = sums[2 * n] + sums[2 * n + 1];
        sums = next;
    }
}
