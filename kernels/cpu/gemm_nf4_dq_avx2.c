/* gemm_nf4_dq_avx2.c: gemm over nf4-dq weights in panels of 32 rows (rows32_nf4_dq.h) with AVX2. */
#include "levels16_avx2.h"
#include "rows32_nf4_dq.h"

static const uint32_t nf4_levels[16] __attribute__((aligned(32))) = NF4_LEVELS_F32;

typedef struct nf4_dq_format { int bits; } nf4_dq_format;
#define FORMAT (nf4_dq_format){ 4 }

LB_INLINE int64_t f32_span(const nf4_dq_format f, const lb_quantizer *q) {
    (void)f, (void)q;
    return 64;
}

LB_INLINE void f32_scales(const nf4_dq_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at,
                          int part, __m256 *s, __m256 *z) {
    (void)f, (void)q, (void)z;
    const places p = places_of(k);
    const int64_t i = at / 64;
    const float *factors = (const float *)(const void *)(panel + 64 + i / p.reach * 128) + 8 * part;
    const __m128i *of = (const __m128i *)(const void *)(panel + p.scales + 32 * i + 8 * part);
    __m256i codes = _mm256_cvtepi8_epi32(_mm_loadl_epi64(of));
    *s = _mm256_add_ps(_mm256_div_ps(_mm256_cvtepi32_ps(codes), _mm256_load_ps(factors)),
                       _mm256_broadcast_ss((const float *)(const void *)panel));
}

LB_INLINE const uint8_t *f32_run_at(const nf4_dq_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k,
                                    int64_t at) {
    return panel + head_bytes(q, k) + (size_t)(at / 32) * 2 * float_half_bytes(f.bits);
}

LB_INLINE int f32_piece(const nf4_dq_format f) { return 32 / f.bits; }

LB_INLINE void f32_decode(const nf4_dq_format f, const uint8_t *codes, int piece, int part, __m256 *w) {
    const uint8_t *at = codes + (size_t)(part / 2) * float_half_bytes(f.bits) + 64 * piece + 32 * (part % 2);
    levels16_eight(nf4_levels, x2_load_ahead(at), w);
}

#define F32_TYPE nf4_dq_format
#define F32_ZEROS 0
#include "rows32_f32_avx2.h"

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    f32_run(FORMAT, q, panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    return head_bytes(q, k) + (size_t)((k + 31) / 32) * 2 * float_half_bytes(4);
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    float_repack(4, head_bytes(q, k), unpack, put_scales, q, native, n, k, row0, row1, dst);
}

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_nf4_dq_avx2 = {
    .name = "gemm.nf4-dq.avx2",
    .about = "panels of 32 rows; levels by two vpermps of 8 each, multiply-adds in sums of 64, each times its scale, "
             "made of int8, factor and mean as it comes",
    .format = "nf4-dq",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
