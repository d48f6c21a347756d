/* gemm_baseline_avx2.c: gemm over baseline (bf16) weights in panels of 32 rows (rows32_baseline.h) with AVX2. */
#include "rows16_avx2.h"
#include "rows32_baseline.h"

typedef struct no_format { int nothing; } no_format;

LB_INLINE int64_t f32_span(const no_format f, const lb_quantizer *q) {
    (void)f, (void)q;
    return 256;
}

LB_INLINE void f32_scales(const no_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at,
                          int part, __m256 *s, __m256 *z) {
    (void)f, (void)q, (void)panel, (void)k, (void)at, (void)part, (void)z;
    *s = _mm256_set1_ps(1.0f);
}

LB_INLINE const uint8_t *f32_run_at(const no_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k,
                                    int64_t at) {
    (void)f, (void)q, (void)k;
    return panel + at * LB_PANEL_ROWS * 2;
}

LB_INLINE int f32_piece(const no_format f) {
    (void)f;
    return 2;
}

LB_INLINE void f32_decode(const no_format f, const uint8_t *codes, int piece, int part, __m256 *w) {
    (void)f;
    __m256i v = x2_load_ahead(codes + 128 * piece + 32 * part);
    w[0] = _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
    w[1] = _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000)));
}

#define F32_TYPE no_format
#define F32_ZEROS 0
#include "rows32_f32_avx2.h"

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    f32_run((no_format){ 0 }, q, panel, act, stride, k, cols, out, out_stride);
}

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_baseline_avx2 = {
    .name = "gemm.baseline.avx2",
    .about = "panels of 32 rows; bf16 to f32 (exact), multiply-adds in tiles of 16 rows x 6 columns",
    .format = "baseline",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
