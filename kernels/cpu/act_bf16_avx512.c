/* act_bf16_avx512.c: one f32 row to bf16 and sums of 32 to 256. */
#include "act_bf16_avx512.h"

#include <immintrin.h>

size_t lb_act_bf16_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)lb_act_bf16_padded(k) * 2 + (size_t)lb_act_bf16_sums_at(k, 512) * 4;
}

/* Nearest even in integers: the conversion instruction would flush subnormals. NaN stays one. Returns f32 bits. */
static inline __m512i round_16(__m512 x) {
    __m512i u = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i even = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), even);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_and_si512(r, _mm512_set1_epi32((int)0xffff0000));
}

void lb_act_bf16_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    int64_t padded = lb_act_bf16_padded(k);
    uint16_t *v = act;
    float *sums = (float *)(void *)(v + padded);
    for (int64_t i = 0; i < padded; i += 32) {
        uint64_t some = k - i >= 32 ? 0xffffffffu : (1u << (k - i)) - 1;
        __m512i a = round_16(_mm512_maskz_loadu_ps((__mmask16)some, x + i));
        __m512i b = round_16(_mm512_maskz_loadu_ps((__mmask16)(some >> 16), x + i + 16));
        _mm256_storeu_si256((__m256i *)(v + i), _mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16)));
        _mm256_storeu_si256((__m256i *)(v + i + 16), _mm512_cvtepi32_epi16(_mm512_srli_epi32(b, 16)));
        sums[i / 32] = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
    }
    for (int64_t g = 64; g <= 256; g *= 2) {
        float *next = sums + padded / (g / 2);
        for (int64_t i = 0; i < padded / g; i++) next[i] = sums[2 * i] + sums[2 * i + 1];
        sums = next;
    }
}
