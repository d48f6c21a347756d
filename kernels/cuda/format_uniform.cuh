/* format_uniform.cuh: uniform-2 to uniform-8 in mma16: w = (q - (2^b - 1) / 2) s, s f32 for each 32. A unit: 2
 * tiles, then s[row][4]. The half of the middle goes with the sums of x; codes of 8 bits are stored less 128. */
#pragma once
#include "tile16.cuh"

template <int B> struct lb_format_uniform : lb_codes<B, B == 8 ? 0 : -1> {
    LB_FORMAT_FAMILY("uniform", q->bits == B)
    typedef lb_codes<B, B == 8 ? 0 : -1> codes_of;
    static constexpr int UNIT_K = 128, GROUP = 32, MINIMA = 1, CODES = 2 * codes_of::TILE_BYTES, UNIT_BYTES = CODES +
        LB_ROWS * 16,
           BLOCK = 4 + 4 * B;
    struct scales { uint32_t s[2][4]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        lb_read_16(unit + CODES + g * 16, s.s[0]);
        lb_read_16(unit + CODES + g * 16 + 128, s.s[1]);
    }
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float m[2]) {
        const float taken = B == 8 ? -0.5f : 128.0f + 0.5f * (float)((1 << B) - 1);
        LB_UNROLL for (int i = 0; i < 2; i++) f[i] = __uint_as_float(s.s[i][group]), m[i] = -taken * f[i];
    }
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        for (int64_t i = 0; i < UNIT_K && k0 + i < k; i += 64) {
            uint8_t codes[64] = { 0 };
            for (int64_t j = 0; j < 64 && k0 + i + j < k; j += 32) {
                const uint8_t *block = native + (row * (k / 32) + (k0 + i + j) / 32) * BLOCK;
                memcpy(unit + CODES + r * 16 + (i + j) / 32 * 4, block, 4);
                for (int e = 0; e < 32; e++) {
                    int bit = e * B, code = (block[4 + bit / 8] | (bit / 8 + 1 < 4 * B ? block[5 + bit / 8] << 8 :
                                                                   0)) >> bit % 8;
                    codes[j + e] = (uint8_t)((code & ((1 << B) - 1)) ^ (B == 8 ? 128 : 0));
                }
            }
            lb_tile_put<B>(unit + i / 64 * codes_of::TILE_BYTES, r, codes);
        }
    }
};
