/* format_q3_k.cuh: q3_k in mma16: w = d (sc - 32) (q - 4), sc 6 bits for each 16. A unit: 4 tiles, then sc[row] in
 * 12 bytes, then d[row]. */
#pragma once
#include "format_kquant.cuh"

struct lb_format_q3_k : lb_codes<3, 4> {
    LB_FORMAT_FAMILY("q3_k", true)
    static constexpr int UNIT_K = 256, GROUP = 16, MINIMA = 0, CODES = 4 * TILE_BYTES, UNIT_BYTES = CODES + LB_ROWS *
        14, BLOCK = 110;
    struct scales { uint32_t sc[2][4]; float d[2]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            const uint32_t *at = (const uint32_t *)(unit + CODES + (g + 8 * i) * 12);
            uint32_t w[3] = { at[0], at[1], at[2] };
            lb_unpack_6(w, s.sc[i]);
            s.d[i] = lb_half_of(*(const uint16_t *)(unit + CODES + LB_ROWS * 12 + (g + 8 * i) * 2), 0);
        }
    }
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float *) {
        LB_UNROLL for (int i = 0; i < 2; i++) f[i] = s.d[i] * (lb_byte_of(s.sc[i][group / 4], group % 4) - 32.0f);
    }
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        const uint8_t *block = native + (row * (k / 256) + k0 / 256) * BLOCK, *s = block + 96;
        uint8_t v[16];
        for (int j = 0; j < 16; j++)
            v[j] = (uint8_t)((s[j % 8] >> (j < 8 ? 0 : 4) & 15) | (s[8 + j % 4] >> 2 * (j / 4) & 3) << 4);
        lb_pack_6(v, unit + CODES + r * 12);
        memcpy(unit + CODES + LB_ROWS * 12 + r * 2, block + 108, 2);
        for (int c = 0; c < 4; c++) {
            uint8_t codes[64];
            for (int j = 0; j < 64; j++) {
                int h = c / 2, group = c % 2 * 2 + j / 32, l = j % 32;
                codes[j] = (uint8_t)((block[32 + 32 * h + l] >> 2 * group & 3) | (block[l] >> (4 * h + group) &
                        1) << 2);
            }
            lb_tile_put<3>(unit + c * TILE_BYTES, r, codes);
        }
    }
};
