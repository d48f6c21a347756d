/* qmin.h: what q4_1 and q5_1 share: codes from a block's least weight up, in steps of the range. */
#pragma once
#include "kquant.h"

/* 32 weights to codes 0 .. `top`, and d and m, both f16, at `head`. The codes follow from the unrounded d and
 * minimum. */
LB_INLINE void lb_qmin_block(const float *src, const int top, uint8_t *head, uint8_t *q) {
    float x[32], lo, hi;
    lb_clean_copy(src, 32, x);
    lo = hi = x[0];
    for (int i = 1; i < 32; i++) lo = x[i] < lo ? x[i] : lo, hi = x[i] > hi ? x[i] : hi;
    float d = (hi - lo) / (float)top, inverse = lb_finite_ratio(1.0f, d);
    lb_put_f16(head, lb_f16_scale(d));
    lb_put_f16(head + 2, lb_f16_scale(lo));
    for (int i = 0; i < 32; i++) {
        int32_t v = (int32_t)((x[i] - lo) * inverse + 0.5f);
        q[i] = (uint8_t)(v > top ? top : v);
    }
}

/* The fifth bits of 32 codes, bit e for element e. */
LB_INLINE uint32_t lb_fifth_bits(const uint8_t *q) {
    uint32_t high = 0;
    for (int i = 0; i < 32; i++) high |= (uint32_t)(q[i] >> 4 & 1) << i;
    return high;
}
