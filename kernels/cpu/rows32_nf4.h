/* rows32_nf4.h: nf4 weights in panels of 32 rows: w = L[q] * s, a scale per 64. */
#pragma once
#include "nf4_levels.h"
#include "rows32.h"
#include "rows32_float_pack.h"

/* Scales of spans of 64: 32 f32 a span. */
static size_t head_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)(k / 64) * LB_PANEL_ROWS * sizeof(float);
}
/* Nibbles [N][K / 2], even k high, then at a multiple of 64 bytes f32 scales [N][K / 64]. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_nibbles(native, k, row, at, codes);
}

static void put_scales(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int r,
                       uint8_t *panel) {
    (void)q;
    const char *scales = (const char *)native + float_plane_at((size_t)(n * k / 2)) + row * (k / 64) * 4;
    for (int64_t i = 0; i < k / 64; i++) memcpy(panel + 128 * i + 4 * r, scales + 4 * i, 4);
}
