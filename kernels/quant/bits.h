/* bits.h: what the integer formats with groups share: bit streams of codes, planes, names with numbers in them. */
#pragma once
#include <stdio.h>
#include <stdlib.h>

#include "kquant.h"

/* Nearest even, of |v| below 2^22. */
LB_INLINE float lb_nearest(float v) { return (v + 12582912.0f) - 12582912.0f; }
LB_INLINE float lb_clamp(float v, float lo, float hi) { return v > hi ? hi : v < lo ? lo : v; }

LB_INLINE size_t lb_up64(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* n codes (a multiple of 8) of b bits as one stream, the first in the lowest bits: eight codes make b whole bytes. */
LB_INLINE void lb_bits_pack(const uint8_t *codes, int64_t n, const int bits, uint8_t *out) {
    for (int64_t i = 0; i < n; i += 8, out += bits) {
        uint64_t word = 0;
        for (int j = 0; j < 8; j++) word |= (uint64_t)codes[i + j] << (bits * j);
        for (int j = 0; j < bits; j++) out[j] = (uint8_t)(word >> (8 * j));
    }
}
LB_INLINE void lb_bits_unpack(const uint8_t *in, int64_t n, const int bits, uint8_t *codes) {
    for (int64_t i = 0; i < n; i += 8, in += bits) {
        uint64_t word = 0;
        for (int j = 0; j < bits; j++) word |= (uint64_t)in[j] << (8 * j);
        for (int j = 0; j < 8; j++) codes[i + j] = (uint8_t)(word >> (bits * j) & ((1u << bits) - 1));
    }
}

/* The least and the greatest of g clean weights (g a multiple of 8), not above and not below `at` (0: a range that
 * holds zero; the first weight: the range itself). */
LB_INLINE void lb_range(const float *x, int64_t g, float at, float *lo, float *hi) {
    float lows[8], highs[8];
    for (int j = 0; j < 8; j++) lows[j] = highs[j] = at;
    for (int64_t i = 0; i < g; i += 8)
        for (int j = 0; j < 8; j++) {
            lows[j] = x[i + j] < lows[j] ? x[i + j] : lows[j];
            highs[j] = x[i + j] > highs[j] ? x[i + j] : highs[j];
        }
    *lo = lows[0], *hi = highs[0];
    for (int j = 1; j < 8; j++) {
        *lo = lows[j] < *lo ? lows[j] : *lo;
        *hi = highs[j] > *hi ? highs[j] : *hi;
    }
}

/* "uintx-4-64" after "uintx": reads `count` numbers, each behind a dash; *rest is what follows. */
static inline bool lb_name_numbers(const char *name, const char *family, int count, long *number, const char **rest) {
    size_t length = strlen(family);
    if (strncmp(name, family, length)) return false;
    name += length;
    for (int i = 0; i < count; i++) {
        char *end;
        if (name[0] != '-' || name[1] < '0' || name[1] > '9') return false;
        number[i] = strtol(name + 1, &end, 10);
        name = end;
    }
    *rest = name;
    return true;
}
static inline bool lb_group_allowed(long g) { return g == 32 || g == 64 || g == 128 || g == 256; }
