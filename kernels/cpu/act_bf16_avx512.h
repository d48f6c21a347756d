/* act_bf16_avx512.h: activations as bf16 with their sums, what the kernels of weight-only formats read.
 *
 * A row of K is padded with zeros to Kp, the next multiple of 32: Kp bf16, then Kp / 32 f32 sums of 32 of them, then of
 * 64, 128 and 256, those of the group that a format's zeros have. The values are LB_ACT_BF16's, bit for bit. */
#pragma once
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

struct lb_quantizer;

#define LB_ACT_KIND_BF16 "bf16/sums"

static inline int64_t lb_act_bf16_padded(int64_t k) { return (k + 31) / 32 * 32; }

/* Where the sums of `group` (32 to 256) begin, in floats behind the values. */
static inline int64_t lb_act_bf16_sums_at(int64_t k, int64_t group) {
    int64_t at = 0;
    for (int64_t g = 32; g < group; g *= 2) at += lb_act_bf16_padded(k) / g;
    return at;
}

size_t lb_act_bf16_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_bf16_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);

/* Sixteen to bf16, nearest even, in integers: the conversion instruction would flush subnormals. NaN stays one. Returns
 * f32 bits. */
static inline __m512i lb_act_bf16_round(__m512 x) {
    __m512i u = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i even = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), even);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_and_si512(r, _mm512_set1_epi32((int)0xffff0000));
}
