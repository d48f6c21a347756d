/* rows32_float_pack.h: how formats with floating-point codes, and those of native planes, come into panels of 32 rows,
 * whatever the instructions that read them.
 *
 * A panel is its scales, then codes, a run of 32 k after the other, rows 0..15 before rows 16..31. A pair vector is
 * what vdpbf16ps multiplies: 16 rows, of each elements 2p and 2p + 1 of a run, p = 0..15. In 16 rows of a run 8 bits:
 * vector i (of 8) has pairs 2i and 2i + 1: of four rows' 16 bytes the first 8 are pair 2i; integers as their magnitude
 * and their sign, -128 as -0; 6 bits: three vectors for 8 pairs; in a row's 48-bit number of words element j of pair p
 * stands at bit 6p, a word for each j; 4 bits: vector i (of 4) has pairs 4i .. 4i + 3 in the nibbles of a row's two
 * words. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../engine/kernel.h"

enum { FLOAT_ROWS = 32 };

/* Where a plane stands behind the `bytes` of the first. */
static inline size_t float_plane_at(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Of the codes of 16 rows of a run. */
static inline size_t float_half_bytes(int bits) { return (size_t)bits * 64; }

/* Row r's 32 codes of a run to their lanes; `run` is the codes of 16 rows. */
static inline void float_pack_run(const int bits, const uint8_t codes[32], int r, uint8_t *run) {
    if (bits == 8) {
        for (int p = 0; p < 16; p++)
            for (int j = 0; j < 2; j++) run[p / 2 * 64 + r / 4 * 16 + p % 2 * 8 + r % 4 * 2 + j] = codes[2 * p + j];
    } else if (bits == 6) {
        for (int h = 0; h < 2; h++)
            for (int j = 0; j < 2; j++) {
                uint64_t word = 0;
                for (int p = 0; p < 8; p++) word |= (uint64_t)codes[16 * h + 2 * p + j] << (6 * p);
                for (int v = 0; v < 3; v++) {
                    uint16_t piece = (uint16_t)(word >> (16 * v));
                    memcpy(run + (3 * h + v) * 64 + 4 * r + 2 * j, &piece, 2);
                }
            }
    } else {
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 2; j++) {
                uint16_t word = 0;
                for (int p = 0; p < 4; p++) word = (uint16_t)(word | codes[8 * i + 2 * p + j] << (4 * p));
                memcpy(run + i * 64 + 4 * r + 2 * j, &word, 2);
            }
    }
}

/* Four 6-bit codes in three bytes, row after row. */
static inline void float_unpack_6bit(const void *native, int64_t k, int64_t row, int64_t at, uint8_t codes[32]) {
    const uint8_t *p = (const uint8_t *)native + (row * k + at) / 4 * 3;
    for (int i = 0; i < 32 && at + i < k; i++) {
        int bit = 6 * (i % 4);
        uint32_t v = (uint32_t)p[i / 4 * 3] | (uint32_t)p[i / 4 * 3 + 1] << 8 | (uint32_t)p[i / 4 * 3 + 2] << 16;
        codes[i] = (uint8_t)(v >> bit & 63);
    }
}
/* A byte each. */
static inline void float_unpack_8bit(const void *native, int64_t k, int64_t row, int64_t at, uint8_t codes[32]) {
    memcpy(codes, (const uint8_t *)native + row * k + at, (size_t)(k - at < 32 ? k - at : 32));
}
/* int8 as rows of integers have it. */
static inline void float_unpack_int8(const void *native, int64_t k, int64_t row, int64_t at, uint8_t codes[32]) {
    const int8_t *from = (const int8_t *)native + row * k + at;
    for (int i = 0; i < 32 && at + i < k; i++) codes[i] = (uint8_t)(from[i] < 0 ? 0x80 | (-from[i] & 0x7f) : from[i]);
}
/* Two in a byte, the first in the high nibble. */
static inline void float_unpack_nibbles(const void *native, int64_t k, int64_t row, int64_t at, uint8_t codes[32]) {
    const uint8_t *p = (const uint8_t *)native + (row * k + at) / 2;
    for (int i = 0; i < 32 && at + i < k; i++) codes[i] = (uint8_t)(i % 2 ? p[i / 2] & 15 : p[i / 2] >> 4);
}

/* Codes [at, at + 32) of a row of a native matrix, a byte each; those behind K are left alone. */
typedef void (*float_unpack)(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                             uint8_t codes[32]);
/* Its scales to the lanes of row r of the panel's head. */
typedef void (*float_put_scales)(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int r,
                                 uint8_t *panel);

/* Unpackers of planes of bytes, and of 6 bits. */
static inline void float_unpack_bytes(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row,
                                      int64_t at, uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_8bit(native, k, row, at, codes);
}
static inline void float_unpack_sixes(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row,
                                      int64_t at, uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_6bit(native, k, row, at, codes);
}

/* ---- heads ---- */

/* A scale a row: 32 f32. */
static inline size_t float_row_head(const lb_quantizer *q, int64_t k) {
    (void)q, (void)k;
    return FLOAT_ROWS * sizeof(float);
}
/* From the f32 [N] behind a plane of N x K codes, of bytes or of 6 bits. */
static inline void float_put_row_scale(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row,
                                       int r, uint8_t *panel) {
    (void)q;
    memcpy(panel + 4 * r, (const char *)native + float_plane_at((size_t)(n * k)) + 4 * row, 4);
}
static inline void float_put_row_scale_6bit(const lb_quantizer *q, const void *native, int64_t n, int64_t k,
                                            int64_t row, int r, uint8_t *panel) {
    (void)q;
    memcpy(panel + 4 * r, (const char *)native + float_plane_at((size_t)(n * k / 4 * 3)) + 4 * row, 4);
}

/* Power-of-two scales of spans of 32: 32 bytes a span. */
static inline size_t float_e8m0_head(const lb_quantizer *q, int64_t k) {
    (void)q;
    return ((size_t)(k / 32) * FLOAT_ROWS + 63) / 64 * 64;
}
/* From the bytes [N][K / 32] behind a plane of N x K codes, of bytes or of 6 bits. */
static inline void float_put_e8m0_at(const void *native, size_t plane, int64_t k, int64_t row, int r, uint8_t *panel) {
    const uint8_t *scales = (const uint8_t *)native + float_plane_at(plane) + row * (k / 32);
    for (int64_t i = 0; i < k / 32; i++) panel[FLOAT_ROWS * i + r] = scales[i];
}
static inline void float_put_e8m0(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int r,
                                  uint8_t *panel) {
    (void)q;
    float_put_e8m0_at(native, (size_t)(n * k), k, row, r, panel);
}
static inline void float_put_e8m0_6bit(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row,
                                       int r, uint8_t *panel) {
    (void)q;
    float_put_e8m0_at(native, (size_t)(n * k / 4 * 3), k, row, r, panel);
}

/* A scale for each 128 x 128: of a panel's 32 rows the same for each 128 of K. */
static inline size_t float_block_head(const lb_quantizer *q, int64_t k) {
    (void)q;
    return ((size_t)(k / 128) * sizeof(float) + 63) / 64 * 64;
}
/* From the f32 [ceil(N / 128)][K / 128] behind a plane of N x K bytes. */
static inline void float_put_block_scales(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row,
                                          int r, uint8_t *panel) {
    (void)q;
    const char *scales = (const char *)native + float_plane_at((size_t)(n * k));
    if (r == 0) memcpy(panel, scales + row / 128 * (k / 128) * 4, (size_t)(k / 128) * 4);
}

/* One scale for all: behind a plane of N x K bytes. */
static inline size_t float_tensor_head(const lb_quantizer *q, int64_t k) {
    (void)q, (void)k;
    return 64;
}
static inline void float_put_tensor_scale(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row,
                                          int r, uint8_t *panel) {
    (void)q;
    if (r == 0 && row % 32 == 0) memcpy(panel, (const char *)native + float_plane_at((size_t)(n * k)), 4);
}

/* Missing rows are zero. */
static inline void float_repack(int bits, size_t head, float_unpack unpack, float_put_scales put_scales,
                                const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0,
                                int64_t row1, void *dst) {
    size_t bytes = head + (size_t)((k + 31) / 32) * 2 * float_half_bytes(bits);
    for (int64_t row = row0; row < row1; row += 32) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 32) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < 32 && row + r < n; r++) {
            put_scales(q, native, n, k, row + r, r, panel);
            for (int64_t at = 0; at < k; at += 32) {
                uint8_t codes[32] = { 0 };
                unpack(q, native, n, k, row + r, at, codes);
                float_pack_run(bits, codes, r % 16,
                               panel + head + (size_t)(at / 32 * 2 + r / 16) * float_half_bytes(bits));
            }
        }
    }
}

/* The layout of a file: panel_bytes() and repack() from FORMAT, unpack() and put_scales(). */
#define LB_FLOAT_LAYOUT                                                                                              \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return float_panel_bytes(FORMAT, q, k); }          \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        float_repack(FORMAT.bits, FORMAT.head_bytes(q, k), unpack, put_scales, q, native, n, k, row0, row1, dst);    \
    }
