/* exp_f32.h: exp in f32 without branches or tables, so that compilers can vectorise loops over it. */
#pragma once
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
/* gcc takes a comparison of floats, which may raise a flag that nobody reads, for control flow that it cannot
 * vectorise */
#pragma GCC optimize("no-trapping-math")
#endif

/* e^x = 2^n * e^r with n = rint(x / ln 2), |r| <= ln 2 / 2, and e^r by its Taylor polynomial of degree 7 (error under
 * 6e-9, below half an ulp). Relative error below 2e-7. x is clamped to [-87.3, 88.7]: results stay normal and finite;
 * NaN gives NaN. */
static inline float exp_f32(float x) {
    float c = x < -87.3f ? -87.3f : x;
    c = c > 88.7f ? 88.7f : c;
    /* adding 1.5 * 2^23 rounds to an integer, to nearest even, in the low bits of the mantissa */
    const float magic = 12582912.0f;
    float shifted = c * 1.44269504f + magic, n = shifted - magic;
    float r = (c - n * 0.693145751953125f) - n * 1.42860677e-6f; /* ln 2 in two parts: the first product is exact */
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    /* two factors, because 2^128 (n of x > 88.4) is no float */
    int32_t e = (int32_t)(bits - 0x4b400000u), half = e >> 1;
    uint32_t first = (uint32_t)(half + 127) << 23, second = (uint32_t)(e - half + 127) << 23;
    float f, s;
    memcpy(&f, &first, 4);
    memcpy(&s, &second, 4);
    return p * f * s;
}

static inline float sigmoid_f32(float x) {
    return 1.0f / (1.0f + exp_f32(-x));
}
