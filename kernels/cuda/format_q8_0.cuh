/* format_q8_0.cuh: q8_0 in mma16: w = d q, q int8, d f16 for each 32. A unit: 2 tiles, then d[row][4]. */
#pragma once
#include "tile16.cuh"

struct lb_format_q8_0 : lb_codes<8, 0> {
    LB_FORMAT_FAMILY("q8_0", true)
    static constexpr int UNIT_K = 128, GROUP = 32, MINIMA = 0, CODES = 2 * TILE_BYTES, UNIT_BYTES = CODES + LB_ROWS *
        8, BLOCK = 34;
    struct scales { uint32_t d[2][2]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        lb_read_8(unit + CODES + g * 8, s.d[0]);
        lb_read_8(unit + CODES + g * 8 + 64, s.d[1]);
    }
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float *) {
        LB_UNROLL for (int i = 0; i < 2; i++) f[i] = lb_half_of(s.d[i][group / 2], group % 2);
    }
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        for (int64_t i = 0; i < UNIT_K && k0 + i < k; i += 64) {
            uint8_t codes[64] = { 0 };
            for (int64_t j = 0; j < 64 && k0 + i + j < k; j += 32) {
                const uint8_t *block = native + (row * (k / 32) + (k0 + i + j) / 32) * BLOCK;
                memcpy(unit + CODES + r * 8 + (i + j) / 32 * 2, block, 2);
                memcpy(codes + j, block + 2, 32);
            }
            lb_tile_put<8>(unit + i / 64 * TILE_BYTES, r, codes);
        }
    }
};
