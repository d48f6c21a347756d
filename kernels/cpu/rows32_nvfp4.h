/* rows32_nvfp4.h: what the kernels of nvfp4 share: panels of 32 rows, w = q * (t * b), q e2m1, b e4m3 per 16, t a matrix. */
#pragma once
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_4(FLOAT_E2M1);
#define TABLE(q) &table

/* The head: t; 32 bytes of e4m3 scales for each 16. */
static size_t head_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return 64 + (size_t)(k / 16) * FLOAT_ROWS;
}

/* Of each 16, without t. e4m3's bits stand in f32 with another offset of the exponent, which the product with 2^120 makes up
 * for. */
LB_INLINE __m512 block_scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k;
    const uint8_t *p = panel + 64 + FLOAT_ROWS * i + 16 * half;
    _mm_prefetch((const char *)p + 1024, _MM_HINT_T0);
    __m512i bits = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)p));
    return _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(bits, 20)), _mm512_set1_ps(0x1p120f));
}
LB_INLINE __m512 tensor_scale(const uint8_t *panel) { return _mm512_set1_ps(*(const float *)(const void *)panel); }
LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    return _mm512_mul_ps(block_scale(q, panel, k, i, half), tensor_scale(panel));
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
