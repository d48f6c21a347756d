/* rows32_nvfp4_pack.h: how nvfp4 weights come into panels of 32 rows: w = q * (t * b), q e2m1, b e4m3 per 16, t a
 * matrix. */
#pragma once
#include "rows32_float_pack.h"

/* The head: t; 32 bytes of e4m3 scales for each 16. */
static size_t head_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return 64 + (size_t)(k / 16) * FLOAT_ROWS;
}

enum { BLOCK = 64, BYTES = 36, SUB = 16 };

/* Blocks of 64: 4 scales, then for each 16 of them 8 bytes: element j in the low nibble, j + 8 in the high. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    const uint8_t *p = (const uint8_t *)native + (row * k + at) / BLOCK * BYTES + 4 + at % BLOCK / 2;
    for (int i = 0; i < 32; i++) codes[i] = (uint8_t)(p[i / SUB * 8 + i % 8] >> (i % SUB / 8 * 4) & 15);
}

static void put_scales(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int r,
                       uint8_t *panel) {
    (void)q;
    const uint8_t *blocks = (const uint8_t *)native + row * (k / BLOCK) * BYTES;
    memcpy(panel, (const char *)native + float_plane_at((size_t)(n * (k / BLOCK) * BYTES)), 4);
    for (int64_t i = 0; i < k / SUB; i++) panel[64 + FLOAT_ROWS * i + r] = blocks[i / 4 * BYTES + i % 4] & 0x7f;
}
