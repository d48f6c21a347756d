/* format_int8wo.cuh: int8wo in mma16: w = q s, q int8, s f32 a row. A unit: 2 tiles; the 16 scales stand behind a
 * panel's last. */
#pragma once
#include "tile16.cuh"

struct lb_format_int8wo : lb_codes<8, 0> {
    LB_FORMAT_FAMILY("int8wo", true)
    static constexpr int UNIT_K = 128, GROUP = 0, MINIMA = 0, CODES = 2 * TILE_BYTES, UNIT_BYTES = CODES;
    struct scales {};
    static __device__ __forceinline__ void read_scales(const uint8_t *, int, scales &) {}
    static __device__ __forceinline__ void scale(const scales &, int, float *, float *) {}
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        for (int64_t i = 0; i < UNIT_K && k0 + i < k; i += 64) {
            uint8_t codes[64] = { 0 };
            int64_t some = k - k0 - i < 64 ? k - k0 - i : 64;
            memcpy(codes, native + row * k + k0 + i, (size_t)some);
            lb_tile_put<8>(unit + i / 64 * TILE_BYTES, r, codes);
        }
    }
    static void pack_row(const lb_quantizer *, const uint8_t *native, int64_t n, int64_t k, int64_t row,
                         uint8_t *behind, int r) {
        memcpy(behind + 4 * r, native + ((size_t)n * (size_t)k + 63) / 64 * 64 + (size_t)row * 4, 4);
    }
};
