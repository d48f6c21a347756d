/* rows32_nvfp4.h: what the kernels of nvfp4 share: panels of 32 rows, w = q * (t * b), q e2m1, b e4m3 per 16, t a
 * matrix. */
#pragma once
#include "rows32_float.h"
#include "rows32_nvfp4_pack.h"

static const float_table table = FLOAT_TABLE_4(FLOAT_E2M1);
#define TABLE(q) &table

/* 16 e4m3 without t. Their bits stand in f32 with another offset of the exponent, which the product with 2^120 makes up
 * for. */
LB_INLINE __m512 scales_of(const uint8_t *p) {
    __m512i bits = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)p));
    return _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(bits, 20)), _mm512_set1_ps(0x1p120f));
}
/* Of each 16, without t. */
LB_INLINE __m512 block_scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k;
    const uint8_t *p = panel + 64 + FLOAT_ROWS * i + 16 * half;
    _mm_prefetch((const char *)p + 1024, _MM_HINT_T0);
    return scales_of(p);
}
LB_INLINE __m512 tensor_scale(const uint8_t *panel) { return _mm512_set1_ps(*(const float *)(const void *)panel); }
LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    return _mm512_mul_ps(block_scale(q, panel, k, i, half), tensor_scale(panel));
}
