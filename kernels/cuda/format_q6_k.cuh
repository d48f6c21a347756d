/* format_q6_k.cuh: q6_k in mma16: w = d sc (q - 32), sc int8 for each 16. A unit: 4 tiles, then sc[row][16], then
 * d[row]. */
#pragma once
#include "format_kquant.cuh"

struct lb_format_q6_k : lb_codes<6, 32> {
    LB_FORMAT_FAMILY("q6_k", true)
    static constexpr int UNIT_K = 256, GROUP = 16, MINIMA = 0, CODES = 4 * TILE_BYTES, UNIT_BYTES = CODES + LB_ROWS *
        18, BLOCK = 210;
    struct scales { uint32_t sc[2][4]; float d[2]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            lb_read_16(unit + CODES + (g + 8 * i) * 16, s.sc[i]);
            s.d[i] = lb_half_of(*(const uint16_t *)(unit + CODES + LB_ROWS * 16 + (g + 8 * i) * 2), 0);
        }
    }
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float *) {
        LB_UNROLL for (int i = 0; i < 2; i++) f[i] = s.d[i] * lb_signed_byte_of(s.sc[i][group / 4], group % 4);
    }
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        const uint8_t *block = native + (row * (k / 256) + k0 / 256) * BLOCK;
        memcpy(unit + CODES + r * 16, block + 192, 16);
        memcpy(unit + CODES + LB_ROWS * 16 + r * 2, block + 208, 2);
        for (int c = 0; c < 4; c++) {
            uint8_t codes[64];
            for (int j = 0; j < 64; j++) {
                int h = c / 2, group = c % 2 * 2 + j / 32, l = j % 32;
                int low = block[64 * h + 32 * (group & 1) + l] >> (group >= 2 ? 4 : 0) & 15;
                codes[j] = (uint8_t)(low | (block[128 + 32 * h + l] >> 2 * group & 3) << 4);
            }
            lb_tile_put<6>(unit + c * TILE_BYTES, r, codes);
        }
    }
};
