/* act_i8_token_avx512.h: activations as int8 with one scale a row, what the kernels with dynamic int8 activations read.
 *
 * The codes and the scale are LB_ACT_I8_TOKEN's, bit for bit. A row of K is padded with zeros to a multiple of 64. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct lb_quantizer;

typedef struct lb_act_i8_token {
    float d;
    int32_t sum;             /* of the codes */
    int32_t unused[14];
    int8_t q[];
} lb_act_i8_token;
_Static_assert(sizeof(lb_act_i8_token) == 64, "one cache line before the codes");

#define LB_ACT_KIND_I8_TOKEN "i8_token/sum"

static inline int64_t lb_act_i8_token_padded(int64_t k) { return (k + 63) / 64 * 64; }

size_t lb_act_i8_token_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_i8_token_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
