/* hqq.h: half-quadratic quantization: the zero of a group for which the error's l_p norm (p = 0.7) is least.
 *
 * The scale is fixed by the range; the zero alone is improved, by alternating between the error that a shrinking
 * operator leaves and the mean it implies. The reference solves a whole tensor together and ends when the tensor's mean
 * error no longer falls; here each group ends by itself, as if it were the tensor: rows stay independent, and groups
 * that are done keep their best. */
#pragma once
#include "bits.h"

enum { LB_HQQ_ROUNDS = 20, LB_HQQ_MOST = 256 };

/* a^-0.3 to about 1e-7 for normal a; large for zero and subnormals. */
LB_INLINE float lb_hqq_power(float a) {
    uint32_t bits = lb_f32_bits(a), shifted = bits - 0x3f400000u; /* mantissas from 0.75 to 1.5 */
    int32_t exponent = (int32_t)shifted >> 23;
    float m = lb_f32_from_bits(bits - ((uint32_t)exponent << 23)), t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
    float log2 =
        (float)exponent +
        2.885390082f * t * (1.0f + t2 * (0.333333333f + t2 * (0.2f + t2 * (0.142857143f + t2 * 0.111111111f))));
    float y = -0.3f * log2, whole = lb_nearest(y), f = (y - whole) * 0.693147181f;
    float e = 1.0f + f * (1.0f + f * (0.5f + f * (0.166666667f + f * (0.0416666667f + f * (0.00833333333f
                   + f * (0.00138888889f + f * 0.000198412698f))))));
    return e * lb_f32_from_bits((uint32_t)((int32_t)whole + 127) << 23);
}

/* One round: the sums of |d| and of what the zero becomes the mean of. */
LB_INLINE void lb_hqq_round(const float *x, int64_t g, float s, float z, float top, float inverse_beta, float *error,
                            float *mean) {
    float errors[8] = { 0 }, means[8] = { 0 };
    for (int64_t i = 0; i < g; i += 8)
        for (int j = 0; j < 8; j++) {
            float w = x[i + j], q = lb_clamp(lb_nearest(lb_clamp(w * s + z, -1.0f, top + 1.0f)), 0.0f, top);
            float d = w - (q - z) / s, a = d < 0 ? -d : d;
            float e = a - inverse_beta * lb_hqq_power(a);
            e = e > 0 ? e : 0.0f;
            e = d < 0 ? -e : e;
            errors[j] += a;
            means[j] += q - (w - e) * s;
        }
    *error = *mean = 0;
    for (int j = 0; j < 8; j++) *error += errors[j], *mean += means[j];
    *error /= (float)g, *mean /= (float)g;
}

/* Codes 0..top, scale and zero of g clean weights: w = (q - zero) * scale. */
LB_INLINE void lb_hqq(const float *x, int64_t g, int bits, uint8_t *codes, float *scale, float *zero) {
    float lo, hi, top = (float)((1 << bits) - 1), best = 1e4f, beta = 10.0f;
    lb_range(x, g, x[0], &lo, &hi);
    float s = hi > lo ? top / (hi - lo) : 2e4f;
    s = s < 2e4f ? s : 2e4f;
    float z = -lo * s;
    if (bits == 4) z = lb_nearest(z);
    for (int i = 0; i < LB_HQQ_ROUNDS; i++) {
        float error;
        lb_hqq_round(x, g, s, z, top, 1.0f / beta, &error, &z);
        beta *= 1.01f;
        if (!(error < best)) break;
        best = error;
    }
    for (int64_t i = 0; i < g; i++)
        codes[i] = (uint8_t)(int32_t)lb_clamp(lb_nearest(lb_clamp(x[i] * s + z, -1.0f, top + 1.0f)), 0.0f, top);
    *scale = 1.0f / s;
    *zero = z;
}
