/* format_q4_k.cuh: q4_k in mma16, see lb_format_minima32. */
#pragma once
#include "format_kquant.cuh"

struct lb_format_q4_k : lb_format_minima32<4> {
    LB_FORMAT_FAMILY("q4_k", true)
    static constexpr int BLOCK = 144;
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
                codes[l] = block[16 + 32 * c + l] & 15;
                codes[32 + l] = block[16 + 32 * c + l] >> 4;
            }
            lb_tile_put<4>(unit + c * TILE_BYTES, r, codes);
        }
    }
};
