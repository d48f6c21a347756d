/* minifloat.h: small floating-point numbers and what the formats built of them share: codes, power-of-two scales,
 * planes.
 *
 * Codes are sign, exponent, mantissa in the low bits. Conversion rounds to nearest even and saturates; e4m3 has NaN at
 * 0x7f and no infinity, e5m2 is IEEE's with the infinities never made, the others have no specials (OCP 8-bit
 * floating point 1.0 and microscaling 1.0). */
#pragma once
#include <math.h>

#include "kquant.h"

typedef struct lb_mini {
    int exponent, mantissa; /* bits of each */
    float max;              /* the largest finite value */
} lb_mini;

#define LB_E4M3 ((lb_mini){ 4, 3, 448.0f })
#define LB_E5M2 ((lb_mini){ 5, 2, 57344.0f })
#define LB_E2M3 ((lb_mini){ 2, 3, 7.5f })
#define LB_E3M2 ((lb_mini){ 3, 2, 28.0f })
#define LB_E2M1 ((lb_mini){ 2, 1, 6.0f })

LB_INLINE int lb_mini_bias(lb_mini t) { return (1 << (t.exponent - 1)) - 1; }

/* x must be a number; beyond the largest value it becomes that. Integers only but for one addition, which rounds what
 * is below the smallest normal number. */
LB_INLINE uint8_t lb_mini_encode(lb_mini t, float x) {
    uint32_t u = lb_f32_bits(x), sign = u >> 31 << (t.exponent + t.mantissa);
    float a = lb_f32_from_bits(u & 0x7fffffffu);
    a = a > t.max ? t.max : a;
    u = lb_f32_bits(a);
    uint32_t shift = (uint32_t)(23 - t.mantissa), odd = u >> shift & 1;
    uint32_t normal =
        ((u + (1u << (shift - 1)) - 1 + odd) >> shift) - ((uint32_t)(127 - lb_mini_bias(t)) << t.mantissa);
    uint32_t magic = (uint32_t)(127 - lb_mini_bias(t) + 23 - t.mantissa + 1) << 23;
    uint32_t small = lb_f32_bits(a + lb_f32_from_bits(magic)) - magic;
    uint32_t least = (uint32_t)(128 - lb_mini_bias(t)) << 23; /* the smallest normal number */
    return (uint8_t)((u < least ? small : normal) | sign);
}

/* Exact. The exponent's offset is made up for by a product, which takes subnormals along. */
LB_INLINE float lb_mini_decode(lb_mini t, uint8_t code) {
    uint32_t magnitude = code & ((1u << (t.exponent + t.mantissa)) - 1),
             sign = (uint32_t)code >> (t.exponent + t.mantissa);
    float scale = lb_f32_from_bits((uint32_t)(254 - lb_mini_bias(t)) << 23); /* 2^(127 - bias) */
    uint32_t u = lb_f32_bits(lb_f32_from_bits(magnitude << (23 - t.mantissa)) * scale);
    if (t.exponent == 4) u = magnitude == 0x7f ? 0x7fc00000u : u;
    if (t.exponent == 5) u = magnitude > 0x7c ? 0x7fc00000u : magnitude == 0x7c ? 0x7f800000u : u;
    return lb_f32_from_bits(u | sign << 31);
}

/* 2^(e - 127), the value of an e8m0 scale; 2^-127 is subnormal. 255 (NaN) is never made. */
LB_INLINE float lb_e8m0_value(uint8_t e) { return lb_f32_from_bits(e ? (uint32_t)e << 23 : 0x00400000u); }

/* How an e8m0 scale follows from the largest magnitude of its block of 32. */
enum {
    LB_MX_FLOOR,    /* 2^(floor(log2 amax) - emax): the least that the OCP asks for; what is above the largest clips */
    LB_MX_RCEIL,    /* the smallest power of two with which nothing clips */
    LB_MX_EVEN,     /* floor, after rounding amax to the element's mantissa */
    LB_MX_MODES
};

static const char *const lb_mx_suffixes[LB_MX_MODES] = { "", "-rceil", "-even" };

/* The mode that the suffix behind `stem` names. */
static inline bool lb_mx_parse(const char *name, const char *stem, int *mode, char why[64]) {
    size_t length = strlen(stem);
    if (strncmp(name, stem, length)) return false;
    for (*mode = 0; *mode < LB_MX_MODES; ++*mode)
        if (!strcmp(name + length, lb_mx_suffixes[*mode])) return true;
    if (name[length] == '-') memcpy(why, "behind the format comes nothing, -rceil or -even", 49);
    return false;
}

LB_INLINE uint8_t lb_mx_scale(lb_mini t, int mode, float amax) {
    int emax = (1 << t.exponent) - 1 - lb_mini_bias(t) - (t.exponent == 5); /* of the largest finite value */
    uint32_t u = lb_f32_bits(mode == LB_MX_RCEIL ? amax / t.max : amax);
    if (mode == LB_MX_EVEN) u += 1u << (22 - t.mantissa);
    int e = (int)(u >> 23);
    e += mode == LB_MX_RCEIL ? (u & 0x7fffffu) != 0 : -emax;
    return (uint8_t)(e < 0 ? 0 : e > 254 ? 254 : e);
}

/* What a block's elements are multiplied with before they are rounded: the inverse of its scale, of at least 2^-126 as
 * in torchao. e is 254 at most, whose inverse is subnormal; lb_clean keeps weights far below it. */
LB_INLINE float lb_mx_inverse(uint8_t e) {
    return lb_f32_from_bits(e == 254 ? 0x00400000u : (uint32_t)(254 - (e ? e : 1)) << 23);
}

/* max|x| of n elements, a multiple of 16. */
LB_INLINE float lb_amax(const float *x, int64_t n) {
    float top[16] = { 0 };
    for (int64_t i = 0; i < n; i += 16)
        for (int j = 0; j < 16; j++) top[j] = fabsf(x[i + j]) > top[j] ? fabsf(x[i + j]) : top[j];
    for (int half = 8; half; half /= 2)
        for (int j = 0; j < half; j++) top[j] = top[j + half] > top[j] ? top[j + half] : top[j];
    return top[0];
}

/* Four codes of 6 bits in three bytes, the first in the lowest bits. */
LB_INLINE void lb_pack_6bit(const uint8_t *codes, int64_t n, uint8_t *out) {
    for (int64_t i = 0; i < n / 4; i++) {
        uint32_t v = (uint32_t)codes[4 * i] | (uint32_t)codes[4 * i + 1] << 6 | (uint32_t)codes[4 * i + 2] << 12 |
                     (uint32_t)codes[4 * i + 3] << 18;
        out[3 * i] = (uint8_t)v, out[3 * i + 1] = (uint8_t)(v >> 8), out[3 * i + 2] = (uint8_t)(v >> 16);
    }
}
LB_INLINE void lb_unpack_6bit(const uint8_t *in, int64_t n, uint8_t *codes) {
    for (int64_t i = 0; i < n / 4; i++) {
        uint32_t v = (uint32_t)in[3 * i] | (uint32_t)in[3 * i + 1] << 8 | (uint32_t)in[3 * i + 2] << 16;
        for (int j = 0; j < 4; j++) codes[4 * i + j] = (uint8_t)(v >> (6 * j) & 63);
    }
}

/* Where a second plane stands behind `bytes` of the first. */
LB_INLINE size_t lb_plane_at(size_t bytes) { return (bytes + 63) / 64 * 64; }
