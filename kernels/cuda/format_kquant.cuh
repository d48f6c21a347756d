/* format_kquant.cuh: what the K-quants have in common in mma16: 6-bit scales in 12 bytes. */
#pragma once
#include "tile16.cuh"

/* 16 values of 6 bits: value i < 12 is the low bits of byte i; the top bits of bytes j, 4 + j, 8 + j make value 12
 * + j. Four values are one mask away from a word of bytes, the last four three shifts. */
static inline void lb_pack_6(const uint8_t v[16], uint8_t out[12]) {
    for (int i = 0; i < 12; i++) out[i] = (uint8_t)(v[i] | (v[12 + i % 4] >> (i / 4 * 2) & 3) << 6);
}
LB_DEVICE void lb_unpack_6(const uint32_t w[3], uint32_t v[4]) {
    LB_UNROLL for (int i = 0; i < 3; i++) v[i] = w[i] & 0x3f3f3f3fu;
    v[3] = lb_and_or(w[0] >> 6, 0x03030303u, lb_and_or(w[1] >> 4, 0x0c0c0c0cu, w[2] >> 2 & 0x30303030u));
}

/* The scales and minima of q4_k and q5_k, from their 12 bytes: v[0..7] scales, v[8..15] minima. */
static inline void lb_scales12_of(const uint8_t *s, uint8_t v[16]) {
    for (int j = 0; j < 4; j++) {
        v[j] = s[j] & 63, v[8 + j] = s[j + 4] & 63;
        v[j + 4] = (uint8_t)((s[j + 8] & 15) | (s[j] >> 6) << 4);
        v[12 + j] = (uint8_t)((s[j + 8] >> 4) | (s[j + 4] >> 6) << 4);
    }
}

/* q4_k and q5_k but for the codes' extra bit: w = d sc q - dmin m, sc and m for each 32. A unit: 4 tiles, then a
 * row's d, dmin and 12 bytes. */
template <int BITS> struct lb_format_minima32 : lb_codes<BITS, -1> {
    static constexpr int UNIT_K = 256, GROUP = 32, MINIMA = 1, CODES = 4 * lb_codes<BITS, -1>::TILE_BYTES,
        UNIT_BYTES = CODES + LB_ROWS * 16;
    struct scales { uint32_t v[2][4]; float d[2], dmin[2]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            uint32_t w[4];
            lb_read_16(unit + CODES + (g + 8 * i) * 16, w);
            s.d[i] = lb_half_of(w[0], 0), s.dmin[i] = lb_half_of(w[0], 1);
            lb_unpack_6(w + 1, s.v[i]);
        }
    }
    /* Of 128 + q: w = d sc (128 + q) - (dmin m + 128 d sc). */
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float m[2]) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            f[i] = s.d[i] * lb_byte_of(s.v[i][group / 4], group % 4);
            m[i] = -128.0f * f[i] - s.dmin[i] * lb_byte_of(s.v[i][2 + group / 4], group % 4);
        }
    }
};
