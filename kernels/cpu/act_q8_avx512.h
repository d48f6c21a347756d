/* act_q8_avx512.h: activations as int8 in blocks of 256 with their block sums, what every K-quant kernel reads.
 *
 * The codes and scales are LB_ACT_Q8_256's, bit for bit. The sums are what the kernels need to take the offsets and
 * minima of the weight formats out of the inner loop; each format reads one of them:
 *   sum16, sum32: sums of 16 / 32 codes, multiplied in pairs with the minima of q2_k / q4_k and q5_k;
 *   neg32: -32 times sum16, where q6_k (codes - 32) starts a sub-block;
 *   neg127: -127 times the sum of all, where q3_k starts when its scales are folded into the weights.
 * With many columns two sub-blocks meet their scales in one product of int16 where their sums have room in them
 * (`fits`): those of numbers seldom far from their mean nearly always do. */
#pragma once
#include <float.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lb_quantizer;

typedef struct lb_act_q8_256 {
    int8_t q[256];
    int32_t neg32[16];
    int16_t sum16[16];
    int16_t sum32[8];
    float d;
    int32_t neg127;
    int32_t fits; /* LB_ACT_Q8_FITS_*: which sums of products are int16, whatever the codes that they meet */
    int32_t unused;
} lb_act_q8_256;
#define LB_ACT_Q8_FITS_4 1 /* of 32, codes 0..15 */
#define LB_ACT_Q8_FITS_6 2 /* of 16, codes -32..31 */
_Static_assert(sizeof(lb_act_q8_256) == 384, "six cache lines for 256 activations");

#define LB_ACT_KIND_Q8_256 "q8_256/sums"

/* lb_panel.act_bytes and .act_prepare: K / 256 blocks (K is a multiple of 256); `act` is 16-byte aligned. */
size_t lb_act_q8_256_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_q8_256_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);

/* 256 floats' largest magnitude, and what codes are their products with. False where one is NaN or Inf or the latter
 * would be Inf: then codes need care; else products are at most 127 and a rounding. Asks for the floats that come
 * next. */
static inline bool lb_act_q8_plain(const float *x, float *amax, float *inverse) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i m[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 4; j++) {
            _mm_prefetch((const char *)(x + 16 * (i + j) + 512), _MM_HINT_T0);
            m[j] = _mm512_max_epi32(m[j], _mm512_and_si512(_mm512_loadu_si512(x + 16 * (i + j)), magnitude));
        }
    int32_t most =
        _mm512_reduce_max_epi32(_mm512_max_epi32(_mm512_max_epi32(m[0], m[1]), _mm512_max_epi32(m[2], m[3])));
    memcpy(amax, &most, sizeof most);
    *inverse = *amax > 0 ? 127.0f / *amax : 0;
    return most < 0x7f800000 && *inverse <= FLT_MAX;
}
