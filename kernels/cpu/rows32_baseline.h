/* rows32_baseline.h: baseline (bf16) weights in panels of 32 rows. */
#pragma once
#include "rows32.h"

/* A panel: pairs of vectors (rows 0..15, rows 16..31) of elements 2p and 2p + 1 of each row, K padded with zeros to a
 * multiple of 32. */
static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)((k + 31) / 32 * 32) * LB_PANEL_ROWS * 2;
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    const uint16_t *from = native;
    for (int64_t row = row0; row < row1; row += LB_PANEL_ROWS) {
        uint16_t *panel = (uint16_t *)(void *)((char *)dst + (size_t)(row / LB_PANEL_ROWS) * panel_bytes(q, k));
        memset(panel, 0, panel_bytes(q, k));
        for (int r = 0; r < LB_PANEL_ROWS && row + r < n; r++)
            for (int64_t i = 0; i < k; i++) panel[i / 2 * 64 + 2 * r + i % 2] = from[(row + r) * k + i];
    }
}
