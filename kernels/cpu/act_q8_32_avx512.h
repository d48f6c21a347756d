/* act_q8_32_avx512.h: activations as int8 in blocks of 32, what the kernels of formats with 32 weights a scale read.
 *
 * The codes and scales are LB_ACT_Q8_32's, bit for bit. The sums take the offsets of the weights' codes back:
 *   start: -128 times the sum of the codes, where the dot product of codes stored with an offset of 128 starts;
 *   sum, half: the sum of the codes and half of it, for offsets that are no integers; both are exact. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct lb_quantizer;

typedef struct lb_act_q8_32 {
    int8_t q[32];
    float d;
    int32_t start;
    float sum, half;
} lb_act_q8_32;
_Static_assert(sizeof(lb_act_q8_32) == 48, "three quarters of a cache line for 32 activations");

#define LB_ACT_KIND_Q8_32 "q8_32/sums"

/* lb_panel.act_bytes and .act_prepare: K / 32 blocks (K is a multiple of 32). */
size_t lb_act_q8_32_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_q8_32_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);

/* LB_ACT_Q8_256 in the same blocks: eight have the same scale (the last may be fewer). */
#define LB_ACT_KIND_Q8_256_32 "q8_256/sums32"
void lb_act_q8_256_prepare_32(const struct lb_quantizer *q, const float *x, int64_t k, void *act);

/* LB_ACT_I8_TOKEN_ASYM: K / 32 blocks of lb_act_q8_32 (K is a multiple of 32) with the token's scale in each, then one
 * f32, the scale times the zero point. */
#define LB_ACT_KIND_I8_ASYM "i8_token_asym/sums32"
size_t lb_act_i8_asym_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_i8_asym_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
