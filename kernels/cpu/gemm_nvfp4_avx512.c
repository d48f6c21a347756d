/* gemm_nvfp4_avx512.c: gemm over nvfp4 weights in panels of 32 rows: w = q * (t * b), q e2m1, b e4m3 per 16, t a matrix. */
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_4(FLOAT_E2M1);
#define TABLE(q) &table

/* The head: t; 32 bytes of e4m3 scales for each 16. */
static size_t head_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return 64 + (size_t)(k / 16) * FLOAT_ROWS;
}

/* e4m3's bits stand in f32 with another offset of the exponent, which the product with 2^120 makes up for. */
LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k;
    const uint8_t *p = panel + 64 + FLOAT_ROWS * i + 16 * half;
    _mm_prefetch((const char *)p + 1024, _MM_HINT_T0);
    __m512i bits = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)p));
    __m512 b = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(bits, 20)), _mm512_set1_ps(0x1p120f));
    return _mm512_mul_ps(b, _mm512_set1_ps(*(const float *)(const void *)panel));
}
#define FORMAT (float_format){ .bits = 4, .span = 16, .head_bytes = head_bytes, .scale = scale }

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

LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_nvfp4_avx512 = {
    .name = "gemm.nvfp4.avx512",
    .about = "panels of 32 rows; e2m1 by a table of 16, vdpbf16ps with bf16 activations in sums of 16, each times its scale in "
             "f32",
    .format = "nvfp4",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
