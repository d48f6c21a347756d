/* act_f32_avx2.h: activations as they are with their sums, what the AVX2 kernels of weight-only formats read.
 *
 * A row of K is padded with zeros to Kp, the next multiple of 32: Kp f32, then Kp / 32 sums of 32 of them, then of 64,
 * 128 and 256. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct lb_quantizer;

#define LB_ACT_KIND_F32 "f32/sums"

static inline int64_t lb_act_f32_padded(int64_t k) { return (k + 31) / 32 * 32; }

/* Where the sums of `group` (32 to 256) begin, in floats. */
static inline int64_t lb_act_f32_sums_at(int64_t k, int64_t group) {
    int64_t at = lb_act_f32_padded(k);
    for (int64_t g = 32; g < group; g *= 2) at += lb_act_f32_padded(k) / g;
    return at;
}

size_t lb_act_f32_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_f32_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
