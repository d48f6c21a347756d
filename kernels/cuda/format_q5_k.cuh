/* format_q5_k.cuh: q5_k in mma16, see lb_format_minima32. */
#pragma once
#include "format_kquant.cuh"

struct lb_format_q5_k : lb_format_minima32<5> {
    LB_FORMAT_FAMILY("q5_k", true)
    static constexpr int BLOCK = 176;
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        const uint8_t *block = native + (row * (k / 256) + k0 / 256) * BLOCK;
        uint8_t v[16], *scales = unit + CODES + r * 16;
        lb_scales12_of(block + 4, v);
        memcpy(scales, block, 4);
        lb_pack_6(v, scales + 4);
        for (int c = 0; c < 4; c++) {
            uint8_t codes[64];
            for (int l = 0; l < 32; l++) {
                int high = block[16 + l];
                codes[l] = (uint8_t)((block[48 + 32 * c + l] & 15) | (high >> 2 * c & 1) << 4);
                codes[32 + l] = (uint8_t)(block[48 + 32 * c + l] >> 4 | (high >> (2 * c + 1) & 1) << 4);
            }
            lb_tile_put<5>(unit + c * TILE_BYTES, r, codes);
        }
    }
};
