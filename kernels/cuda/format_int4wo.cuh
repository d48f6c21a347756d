/* format_int4wo.cuh: int4wo-G in mma16: w = (q - 8) s + z, s and z bf16 for each G. A unit: 2 tiles, then (s,
 * z)[row][128 / G]. G = 256 has its pair in both of its units, so that one kernel serves 128 and 256: 4.25 bits. */
#pragma once
#include "tile16.cuh"

template <int G> struct lb_format_int4wo : lb_codes<4, -1> {
    LB_FORMAT_FAMILY("int4wo", q->group == G || (G == 128 && q->group == 256))
    static constexpr int UNIT_K = 128, GROUP = G, MINIMA = 1, PAIRS = UNIT_K / G, CODES = 2 * TILE_BYTES,
           UNIT_BYTES = CODES + LB_ROWS * 4 * PAIRS;
    struct scales { uint32_t pair[2][4]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            const uint8_t *at = unit + CODES + (g + 8 * i) * 4 * PAIRS;
            if (PAIRS == 4) lb_read_16(at, s.pair[i]);
            else if (PAIRS == 2) lb_read_8(at, s.pair[i]);
            else s.pair[i][0] = *(const uint32_t *)at;
        }
    }
    /* Of 128 + q: w = s (128 + q) + z - 136 s. */
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float m[2]) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            f[i] = __uint_as_float(s.pair[i][group] << 16);
            m[i] = __uint_as_float(s.pair[i][group] & 0xffff0000u) - 136.0f * f[i];
        }
    }
    static void pack(const lb_quantizer *q, const uint8_t *native, int64_t n, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        const uint8_t *pairs = native + ((size_t)n * (size_t)(k / 2) + 63) / 64 * 64;
        for (int p = 0; p < PAIRS && k0 + p * G < k; p++)
            memcpy(unit + CODES + (r * PAIRS + p) * 4, pairs + (row * (k / q->group) + (k0 + p * G) / q->group) * 4, 4);
        for (int64_t i = 0; i < UNIT_K && k0 + i < k; i += 64) {
            uint8_t codes[64] = { 0 };
            const uint8_t *from = native + (row * k + k0 + i) / 2;
            for (int64_t j = 0; j < 64 && k0 + i + j < k; j += 2)
                codes[j] = from[j / 2] >> 4, codes[j + 1] = from[j / 2] & 15;
            lb_tile_put<4>(unit + i / 64 * TILE_BYTES, r, codes);
        }
    }
};
