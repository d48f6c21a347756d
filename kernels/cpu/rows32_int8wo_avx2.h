/* rows32_int8wo_avx2.h: what the AVX2 kernels of int8 weights with a scale a row and f32 activations share: panels of
 * rows32_i8_pack.h, w = (byte - 128) * s. */
#pragma once
#include "rows16_avx2.h"
#include "rows32_i8_pack.h"

#define FORMAT (i8_format){ .bits = 8 }

LB_INLINE int64_t f32_span(const i8_format f, const lb_quantizer *q) {
    (void)f, (void)q;
    return 256;
}

LB_INLINE void f32_scales(const i8_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at,
                          int part, __m256 *s, __m256 *z) {
    (void)q, (void)k, (void)at;
    *s = _mm256_load_ps((const float *)(const void *)panel + 8 * part);
    *z = _mm256_mul_ps(*s, _mm256_set1_ps((float)-i8_offset(f)));
}

LB_INLINE const uint8_t *f32_run_at(const i8_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k,
                                    int64_t at) {
    (void)q, (void)k;
    return panel + I8_HEAD + i8_codes_bytes(f, at);
}

LB_INLINE int f32_piece(const i8_format f) {
    (void)f;
    return 4;
}

LB_INLINE void f32_decode(const i8_format f, const uint8_t *codes, int piece, int part, __m256 *w) {
    (void)f;
    __m256i v = x2_load_ahead(codes + 128 * piece + 32 * part);
    LB_UNROLL for (int i = 0; i < 3; i++) {
        __m256i at = i ? _mm256_srli_epi32(v, 8 * i) : v;
        w[i] = _mm256_cvtepi32_ps(_mm256_and_si256(at, _mm256_set1_epi32(255)));
    }
    w[3] = _mm256_cvtepi32_ps(_mm256_srli_epi32(v, 24));
}

#define F32_TYPE i8_format
#define F32_ZEROS 1
#include "rows32_f32_avx2.h"

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    f32_run(FORMAT, q, panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return i8_panel_bytes(FORMAT, k);
}

/* The int8 plane [N][K], then at a multiple of 64 bytes the f32 scales [N]. */
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    (void)q;
    const uint8_t *codes = native;
    i8_repack(FORMAT, codes, (const float *)(const void *)(codes + ((size_t)(n * k) + 63) / 64 * 64), n, k, row0, row1,
              dst);
}

LB_ROWS32_PANEL_OF(F32_ACT)

#define F32_KERNEL LB_ROWS32_KERNEL, F32_ARITHMETIC
