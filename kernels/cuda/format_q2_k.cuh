/* format_q2_k.cuh: q2_k in mma16: w = d sc q - dmin m, sc and m 4 bits for each 16. A unit: 4 tiles, then (sc,
 * m)[row][16], then (d, dmin)[row]. */
#pragma once
#include "format_kquant.cuh"

struct lb_format_q2_k : lb_codes<2, -1> {
    LB_FORMAT_FAMILY("q2_k", true)
    static constexpr int UNIT_K = 256, GROUP = 16, MINIMA = 1, CODES = 4 * TILE_BYTES, UNIT_BYTES = CODES + LB_ROWS *
        20, BLOCK = 84;
    struct scales { uint32_t v[2][4]; float d[2], dmin[2]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            lb_read_16(unit + CODES + (g + 8 * i) * 16, s.v[i]);
            uint32_t d = *(const uint32_t *)(unit + CODES + LB_ROWS * 16 + (g + 8 * i) * 4);
            s.d[i] = lb_half_of(d, 0), s.dmin[i] = lb_half_of(d, 1);
        }
    }
    /* Of 128 + q: w = d sc (128 + q) - (dmin m + 128 d sc). */
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float m[2]) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            uint32_t v = s.v[i][group / 4] >> 8 * (group % 4);
            f[i] = s.d[i] * (float)(v & 15u);
            m[i] = -128.0f * f[i] - s.dmin[i] * (float)(v >> 4 & 15u);
        }
    }
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        const uint8_t *block = native + (row * (k / 256) + k0 / 256) * BLOCK;
        memcpy(unit + CODES + r * 16, block, 16);
        memcpy(unit + CODES + LB_ROWS * 16 + r * 4, block + 80, 4);
        for (int c = 0; c < 4; c++) {
            uint8_t codes[64];
            for (int j = 0; j < 64; j++)
                codes[j] = block[16 + 32 * (c / 2) + j % 32] >> 2 * (c % 2 * 2 + j / 32) & 3;
            lb_tile_put<2>(unit + c * TILE_BYTES, r, codes);
        }
    }
};
