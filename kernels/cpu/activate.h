/* activate.h: activation functions over arrays, for kernels of every instruction set. */
#pragma once
#include "vec.h"

/* erfc(|z|) within 1.2e-7 of itself, relative: t * exp(-z^2 + P(t)), t = 1 / (1 + z/2), P fitted by Chebyshev
 * (the coefficients of Numerical Recipes, section 6.2). z^2 is formed in two parts: its rounding would be e^x's
 * error. */
static inline float erfc_positive(float z) {
    float t = 1.0f / FMAF(0.5f, z, 1.0f);
    float p = 0.17087277f;
    p = FMAF(p, t, -0.82215223f);
    p = FMAF(p, t, 1.48851587f);
    p = FMAF(p, t, -1.13520398f);
    p = FMAF(p, t, 0.27886807f);
    p = FMAF(p, t, -0.18628806f);
    p = FMAF(p, t, 0.09678418f);
    p = FMAF(p, t, 0.37409196f);
    p = FMAF(p, t, 1.00002368f);
    p = FMAF(p, t, -1.26551223f);
    uint32_t bits;
    memcpy(&bits, &z, 4);
    bits &= 0xfffff000u;
    float head;
    memcpy(&head, &bits, 4);
    float tail = (head - z) * (head + z); /* head^2 is exact */
    return t * vexp(-head * head) * vexp(tail + p);
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + vexp(-x)); }

static inline float gelu(float x) {
    float e = 0.5f * erfc_positive(fabsf(x) * 0.70710678f);
    float v = x > 0 ? x * (1.0f - e) : x * e;
    return x < -14.0f ? x * 0.0f : v; /* below 1e-43; of -Inf NaN, as in f64 */
}

static inline void activate(int kind, float slope, const float *restrict x, int64_t n, float *restrict out) {
    switch (kind) {
    case LB_ACTIVATION_RELU: for (int64_t i = 0; i < n; i++) out[i] = x[i] < 0 ? 0.0f : x[i]; break;
    case LB_ACTIVATION_SIGMOID: for (int64_t i = 0; i < n; i++) out[i] = sigmoid(x[i]); break;
    case LB_ACTIVATION_LEAKY_RELU: for (int64_t i = 0; i < n; i++) out[i] = x[i] < 0 ? x[i] * slope : x[i]; break;
    case LB_ACTIVATION_RELU6:
        for (int64_t i = 0; i < n; i++) {
            float v = x[i] < 0 ? 0.0f : x[i];
            out[i] = v > 6 ? 6.0f : v;
        }
        break;
    case LB_ACTIVATION_GELU: for (int64_t i = 0; i < n; i++) out[i] = gelu(x[i]); break;
    case LB_ACTIVATION_GELU_TANH:
        for (int64_t i = 0; i < n; i++) {
            float u = 1.5957691216f * FMAF(0.044715f * x[i] * x[i], x[i], x[i]);
            out[i] = x[i] / (1.0f + vexp(-u));
        }
        break;
    case LB_ACTIVATION_SILU: for (int64_t i = 0; i < n; i++) out[i] = x[i] / (1.0f + vexp(-x[i])); break;
    case LB_ACTIVATION_HARDSWISH:
        for (int64_t i = 0; i < n; i++) {
            float g = (x[i] + 3.0f) / 6.0f;
            g = g < 0 ? 0.0f : g;
            out[i] = x[i] * (g > 1 ? 1.0f : g);
        }
        break;
    default: memmove(out, x, (size_t)n * sizeof *out); break;
    }
}
