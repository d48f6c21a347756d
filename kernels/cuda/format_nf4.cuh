/* format_nf4.cuh: nf4 in mma16: w = L[q] s, s f32 for each 64. A unit: 2 tiles, then s[row][2].
 *
 * Codes become levels by a table in shared memory, a pair at a time: 256 entries, each 32 times, so that every
 * lane has a bank of its own. A byte of a tile is a pair. Two integer instructions and a read for two weights; the
 * other way, by byte permutations, takes eleven integer instructions for four. */
#pragma once
#include "tile16.cuh"

/* To four decimals, then bf16: kernels/quant/nf4.h. */
__constant__ const uint16_t lb_nf4_bf16[16] = { 0xbf80, 0xbf32, 0xbf06, 0xbeca, 0xbe92, 0xbe3d, 0xbdbb, 0x0000,
                                                     0x3da3, 0x3e25, 0x3e7c, 0x3ead, 0x3ee2, 0x3f10, 0x3f39, 0x3f80 };

struct lb_format_nf4 {
    LB_FORMAT_FAMILY("nf4", true)
    static constexpr int UNIT_K = 128, GROUP = 64, MINIMA = 0, TILE_BYTES = 512, TABLE_BYTES = 256 * 128, CODES = 2 *
        TILE_BYTES,
           UNIT_BYTES = CODES + LB_ROWS * 8;
    struct context { const uint8_t *table; };
    struct scales { uint32_t s[2][2]; };
    /* All threads of a block; a barrier has to follow. */
    static __device__ __forceinline__ context prepare(uint8_t *table) {
        int lane = (int)threadIdx.x % 32;
        for (int e = (int)threadIdx.x / 32; e < 256; e += LB_WARPS)
            ((uint32_t *)(void *)table)[e * 32 + lane] = lb_nf4_bf16[e & 15] | (uint32_t)lb_nf4_bf16[e >> 4] << 16;
        return { table + lane * 4 };
    }
    static __device__ __forceinline__ void read(const uint8_t *tile, int lane, lb_raw &w) { lb_read_16(tile + lane *
            16, w.four); }
    static __device__ __forceinline__ void fragment(const context &c, const lb_raw &w, int step, uint32_t a[4]) {
        LB_UNROLL for (int reg = 0; reg < 4; reg++)
            a[reg] = *(const uint32_t *)(c.table + (lb_shift_right(w.four[step], 8 * reg - 7) & 0x7f80u));
    }
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        lb_read_8(unit + CODES + g * 8, s.s[0]);
        lb_read_8(unit + CODES + g * 8 + 64, s.s[1]);
    }
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2], float *) {
        LB_UNROLL for (int i = 0; i < 2; i++) f[i] = __uint_as_float(s.s[i][group]);
    }
    static void pack(const lb_quantizer *, const uint8_t *native, int64_t n, int64_t k, int64_t row, int64_t k0,
                     uint8_t *unit,
                     int r) {
        const uint8_t *scale = native + ((size_t)n * (size_t)(k / 2) + 63) / 64 * 64;
        for (int64_t i = 0; i < UNIT_K && k0 + i < k; i += 64) {
            memcpy(unit + CODES + r * 8 + i / 64 * 4, scale + (row * (k / 64) + (k0 + i) / 64) * 4, 4);
            const uint8_t *from = native + (row * k + k0 + i) / 2;
            uint8_t *tile = unit + i / 64 * TILE_BYTES;
            for (int j = 0; j < 64; j += 2) { /* the first of a pair in the low half */
                int lane = r % 8 * 4 + j % 16 / 4, reg = j % 4 / 2 * 2 + r / 8;
                tile[lane * 16 + j / 16 * 4 + reg] = (uint8_t)(from[j / 2] >> 4 | from[j / 2] << 4);
            }
        }
    }
};
