/* act_q8_avx512.h: activations as int8 in blocks of 256 with their block sums, what every K-quant kernel reads.
 *
 * The codes and scales are LB_ACT_Q8_256's, bit for bit. The sums are what the kernels need to take the offsets and
 * minima of the weight formats out of the inner loop; each format reads one of them:
 *   sum16, sum32: sums of 16 / 32 codes, multiplied in pairs with the minima of q2_k / q4_k and q5_k;
 *   neg32: -32 times sum16, where q6_k (codes - 32) starts a sub-block;
 *   neg127: -127 times the sum of all, where q3_k starts when its scales are folded into the weights. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct lb_quantizer;

typedef struct lb_act_q8_256 {
    int8_t q[256];
    int32_t neg32[16];
    int16_t sum16[16];
    int16_t sum32[8];
    float d;
    int32_t neg127;
    int32_t unused[2];
} lb_act_q8_256;
_Static_assert(sizeof(lb_act_q8_256) == 384, "six cache lines for 256 activations");

#define LB_ACT_KIND_Q8_256 "q8_256/sums"

/* lb_panel.act_bytes and .act_prepare: K / 256 blocks (K is a multiple of 256); `act` is 16-byte aligned. */
size_t lb_act_q8_256_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_q8_256_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
