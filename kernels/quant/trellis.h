/* trellis.h: the bitshift trellis: states, codebook, bit order, signs and Hadamard transform; for its quantizer and its
 * kernels. See trellis.c. */
#pragma once
#include "bits.h"

enum { LB_TRELLIS_TILE = 256, LB_TRELLIS_HADAMARD = 128 };

/* The value of a state: the multiplicative hash MUL1, the sum of its four bytes, centred and scaled to unit
 * variance. */
LB_INLINE float lb_trellis_value(uint32_t state) {
    uint32_t v = state * 0x83DCD12Du;
    uint32_t sum = (v & 255) + (v >> 8 & 255) + (v >> 16 & 255) + (v >> 24);
    return (float)((int32_t)sum - 510) * (1.0f / 147.7f);
}

/* The state of weight t of a tile: the L bits that end at bit (t + 1) K of its cyclic stream of 256 K bits, in u32
 * words, most significant bit first. */
LB_INLINE uint32_t lb_trellis_state(const uint32_t *words, int bits, int length, int t) {
    int total = LB_TRELLIS_TILE * bits, end = (t + 1) * bits, at = (end - length + total) % total, word = at / 32;
    uint64_t two = (uint64_t)words[word] << 32 | words[(word + 1) % (8 * bits)];
    return (uint32_t)(two >> (64 - at % 32 - length)) & ((1u << length) - 1);
}

/* -1 or 1 for column k, the same in every matrix. */
LB_INLINE float lb_trellis_sign(int64_t k) {
    uint32_t h = (uint32_t)k * 0x9E3779B1u;
    h = (h ^ h >> 15) * 0x85EBCA77u;
    return (h ^ h >> 13) & 1 ? -1.0f : 1.0f;
}

/* 128 values by the Hadamard matrix of Sylvester's order, over sqrt(128): its own inverse. */
LB_INLINE void lb_trellis_hadamard(float *x) {
    for (int half = 1; half < 8; half *= 2)
        for (int i = 0; i < LB_TRELLIS_HADAMARD; i += 2 * half)
            for (int j = i; j < i + half; j++) {
                float a = x[j], b = x[j + half];
                x[j] = a + b, x[j + half] = a - b;
            }
    for (int half = 8; half < LB_TRELLIS_HADAMARD; half *= 2)
        for (int i = 0; i < LB_TRELLIS_HADAMARD; i += 2 * half)
            for (int j = i; j < i + half; j++) {
                float a = x[j], b = x[j + half];
                x[j] = a + b, x[j + half] = a - b;
            }
    for (int i = 0; i < LB_TRELLIS_HADAMARD; i++) x[i] *= 0.08838834764831845f;
}
