/* format_uniform.cuh: uniform-2 to uniform-8 in mma16: w = (q - (2^b - 1) / 2) s, s f32 for each 32. A unit: 2
 * tiles, then s[row][4]. A code less the middle has 8 bits and is a bf16: 2^b + q, with the code in the upper bits of
 * the mantissa, less 3 * 2^(b - 1) - 1/2. Of 7 bits that number has 9, so that it takes two steps; codes of 8 are
 * stored as a sign and what is above a half. */
#pragma once
#include "tile16.cuh"

template <int B> struct lb_format_uniform : lb_codes<B, -1> {
    LB_FORMAT_FAMILY("uniform", q->bits == B)
    typedef lb_codes<B, -1> codes_of;
    static __device__ __forceinline__ void fragment(const typename codes_of::context &, const lb_raw &w, int step,
                                                    uint32_t a[4]) {
        constexpr uint32_t ONE = 0x3f803f80u;
        LB_UNROLL for (int reg = 0; reg < 4; reg++) {
            if constexpr (B == 8) {
                uint32_t x = w.eight[2 * step + reg / 2];
                uint32_t low = lb_and_or(x >> 8 * (reg % 2), 0x007f007fu, 0x43004300u);
                low = lb_fma_bf16x2(low, ONE, 0xc2ffc2ffu); /* - 127.5 */
                a[reg] = lb_and_or(lb_shift_right(x, 8 * (reg % 2) - 8), 0x80008000u, low);
            } else {
                constexpr float half[8] = { 0, 0, 5.5f, 11.5f, 23.5f, 47.5f, 95.5f, 63.5f };
                constexpr uint32_t base = 0x3f80u + B * 0x80u,
                    less = 0x8000u | __builtin_bit_cast(uint32_t, half[B]) >> 16;
                uint32_t v = codes_of::template placed<7 - B>(w, step, reg, base * 0x10001u);
                if (B == 7) v = lb_fma_bf16x2(v, ONE, 0xc300c300u);
                a[reg] = lb_fma_bf16x2(v, ONE, less * 0x10001u);
            }
        }
    }
    static constexpr int UNIT_K = 128, GROUP = 32, MINIMA = 0, CODES = 2 * codes_of::TILE_BYTES, UNIT_BYTES = CODES +
        LB_ROWS * 16,
           BLOCK = 4 + 4 * B;
    struct scales { uint32_t s[2][4]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        lb_read_16(unit + CODES + g * 16, s.s[0]);
        lb_read_16(unit + CODES + g * 16 + 128, s.s[1]);
    }
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float *) {
        LB_UNROLL for (int i = 0; i < 2; i++) f[i] = __uint_as_float(s.s[i][group]);
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
                    int bit = e * B, next = bit / 8 + 1 < 4 * B ? block[5 + bit / 8] << 8 : 0;
                    int code = (block[4 + bit / 8] | next) >> bit % 8 & ((1 << B) - 1);
                    codes[j + e] = (uint8_t)(B < 8 ? code : code >= 128 ? code - 128 : 128 | (127 - code));
                }
            }
            lb_tile_put<B>(unit + i / 64 * codes_of::TILE_BYTES, r, codes);
        }
    }
};
