/* gemm_nf4_avx2.c: gemm over nf4 weights in panels of 32 rows (rows32_nf4.h) with AVX2. */
#include "levels16_avx2.h"
#include "rows32_nf4.h"

static const uint32_t nf4_levels[16] __attribute__((aligned(32))) = NF4_LEVELS_F32;

typedef struct nf4_format { int bits; } nf4_format;
#define FORMAT (nf4_format){ 4 }

LB_INLINE int64_t f32_span(const nf4_format f, const lb_quantizer *q) {
    (void)f, (void)q;
    return 64;
}

LB_INLINE void f32_scales(const nf4_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at,
                          int part, __m256 *s, __m256 *z) {
    (void)f, (void)q, (void)k, (void)z;
    *s = _mm256_load_ps((const float *)(const void *)(panel + 128 * (at / 64) + 32 * part));
}

LB_INLINE const uint8_t *f32_run_at(const nf4_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k,
                                    int64_t at) {
    return panel + head_bytes(q, k) + (size_t)(at / 32) * 2 * float_half_bytes(f.bits);
}

LB_INLINE int f32_piece(const nf4_format f) { return 32 / f.bits; }

LB_INLINE void f32_decode(const nf4_format f, const uint8_t *codes, int piece, int part, __m256 *w) {
    __m256i v = x2_load_ahead(codes + (size_t)(part / 2) * float_half_bytes(f.bits) + 64 * piece + 32 * (part % 2));
    levels16_eight(nf4_levels, v, w);
}

#define F32_TYPE nf4_format
#define F32_ZEROS 0
#include "rows32_f32_avx2.h"

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    f32_run(FORMAT, q, panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    return head_bytes(q, k) + (size_t)(k / 32) * 2 * float_half_bytes(4);
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    float_repack(4, head_bytes(q, k), unpack, put_scales, q, native, n, k, row0, row1, dst);
}

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_nf4_avx2 = {
    .name = "gemm.nf4.avx2",
    .about = "panels of 32 rows; levels by two vpermps of 8 each, multiply-adds in sums of 64, each times its scale",
    .format = "nf4",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
