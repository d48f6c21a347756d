/* gemm_nf4_avx512.c: gemm over nf4 weights in panels of 32 rows: w = L[q] * s, a scale per 64. */
#include "rows32_float.h"

#include "nf4_levels.h"

static const float_table table = FLOAT_TABLE_4(NF4_LEVEL);
#define TABLE(q) &table

/* Scales of spans of 64: 32 f32 a span. */
static size_t head_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)(k / 64) * FLOAT_ROWS * sizeof(float);
}
LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k;
    const uint8_t *p = panel + 128 * i + 64 * half;
    _mm_prefetch((const char *)p + 2048, _MM_HINT_T0);
    return _mm512_load_ps((const float *)(const void *)p);
}
#define FORMAT (float_format){ .bits = 4, .span = 64, .head_bytes = head_bytes, .scale = scale }

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

LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_nf4_avx512 = {
    .name = "gemm.nf4.avx512",
    .about = "panels of 32 rows; levels by a table of 16, vdpbf16ps with bf16 activations in sums of 64, each times its scale "
             "in f32",
    .format = "nf4",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
