/* tiles_dense.h: dense weights of two bytes as they are, for gemm_tiles.h: pairs of a row become lanes of 16 rows. */
#pragma once
#include "gemm_tiles.h"
#include "transpose16.h"

static inline size_t dense_panel_bytes(const lb_quantizer *q, int64_t k) { return (void)q, (size_t)k * 2 * 32; }

/* 32 elements of a row of which `left` exist. */
static inline __m512i dense_piece(const uint16_t *row, int64_t left) {
    return left >= 32 ? _mm512_loadu_si512(row)
                      : _mm512_maskz_loadu_epi16((__mmask32)((1ull << (left > 0 ? left : 0)) - 1), row);
}

/* The 16 pairs from k = at on of a panel's rows 16 half .. 16 half + 15, of which those below `rows` exist. */
static inline void dense_pairs(const uint8_t *panel, int64_t rows, int64_t k, int64_t at, int half, __m512i to[16]) {
    const uint16_t *row = (const uint16_t *)(const void *)panel + 16 * half * k + at;
    for (int r = 0; r < 16; r++, row += k)
        to[r] = 16 * half + r < rows ? dense_piece(row, k - at) : _mm512_setzero_si512();
    transpose16(to);
}
