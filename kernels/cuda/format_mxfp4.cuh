/* format_mxfp4.cuh: mxfp4 in mma16: w = 2^(e - 127) q, q e2m1, e for each 32. A unit: 2 tiles, then e[row][4].
 *
 * e2m1's exponent and mantissa, put where bf16 has its lowest exponent bits and highest mantissa bit, are the
 * value times 2^-126, subnormal ones too: one product by 2^126 makes it exact. In each half of a word the signs of
 * registers 0..3 are bits 15..12, their magnitudes three bits each from bit 0: two lop3, two shifts, one product
 * for two weights. */
#pragma once
#include "tile16.cuh"

struct lb_format_mxfp4 : lb_no_table {
    LB_FORMAT_FAMILY("mxfp4", true)
    static constexpr int UNIT_K = 128, GROUP = 32, MINIMA = 0, TILE_BYTES = 512, CODES = 2 * TILE_BYTES,
           UNIT_BYTES = CODES + LB_ROWS * 4, BLOCK = 17;
    struct scales { uint32_t e[2]; };
    static __device__ __forceinline__ void read(const uint8_t *tile, int lane, lb_raw &w) { lb_read_16(tile + lane *
            16, w.four); }
    static __device__ __forceinline__ void fragment(const context &, const lb_raw &w, int step, uint32_t a[4]) {
        LB_UNROLL for (int reg = 0; reg < 4; reg++) {
            uint32_t magnitude = lb_shift_right(w.four[step], 3 * reg - 6) & 0x01c001c0u;
            a[reg] = lb_fma_bf16x2(lb_and_or(w.four[step] << reg, 0x80008000u, magnitude), 0x7e807e80u, 0x80008000u);
        }
    }
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        s.e[0] = *(const uint32_t *)(unit + CODES + g * 4);
        s.e[1] = *(const uint32_t *)(unit + CODES + g * 4 + 32);
    }
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float *) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            uint32_t e = s.e[i] >> 8 * group & 255u;
            f[i] = __uint_as_float(e ? e << 23 : 0x00400000u);
        }
    }
    static void put(uint8_t *tile, int r, const uint8_t *codes) {
        uint32_t *words = (uint32_t *)(void *)tile;
        for (int k = 0; k < 64; k++) {
            int lane = r % 8 * 4 + k % 16 / 4, reg = k % 4 / 2 * 2 + r / 8;
            uint32_t c = codes[k], half = (c >> 3) << (15 - reg) | (c & 7) << 3 * reg;
            words[lane * 4 + k / 16] |= half << 16 * (k % 2);
        }
    }
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        for (int64_t i = 0; i < UNIT_K && k0 + i < k; i += 64) {
            uint8_t codes[64] = { 0 };
            for (int64_t j = 0; j < 64 && k0 + i + j < k; j += 32) {
                const uint8_t *block = native + (row * (k / 32) + (k0 + i + j) / 32) * BLOCK;
                unit[CODES + r * 4 + (i + j) / 32] = block[0];
                for (int e = 0; e < 16; e++) codes[j + e] = block[1 + e] & 15, codes[j + e + 16] = block[1 + e] >> 4;
            }
            put(unit + i / 64 * TILE_BYTES, r, codes);
        }
    }
};
