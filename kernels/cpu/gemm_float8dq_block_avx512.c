/* gemm_float8dq_block_avx512.c: gemm over float8dq-block weights in panels of 32 rows: e4m3 times e4m3, scales per 128 x 128
 * of the weights and per 128 of the activations. */
#define FLOAT_SPAN_SCALES
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE(q) &table

/* The panel's 32 rows have the same scale for each 128. */
static size_t head_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return ((size_t)(k / 128) * sizeof(float) + 63) / 64 * 64;
}
LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k, (void)half;
    return _mm512_set1_ps(((const float *)(const void *)panel)[i]);
}
#define FORMAT (float_format){ .bits = 8, .span = 128, .act = FLOAT_ACT_128, .head_bytes = head_bytes, .scale = scale }

/* e4m3 [N][K], then at a multiple of 64 bytes the f32 scales [ceil(N / 128)][K / 128]. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_8bit(native, k, row, at, codes);
}

static void put_scales(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int r,
                       uint8_t *panel) {
    (void)q;
    const char *scales = (const char *)native + float_plane_at((size_t)(n * k));
    if (r == 0) memcpy(panel, scales + row / 128 * (k / 128) * 4, (size_t)(k / 128) * 4);
}

LB_FLOAT_PANEL(lb_act_f8_128_prepare, lb_act_f8_128_bytes, LB_ACT_KIND_F8_128)

const lb_kernel lb_kernel_gemm_float8dq_block_avx512 = {
    .name = "gemm.float8dq-block.avx512",
    .about = "panels of 32 rows; e4m3 to bf16 by tables of bytes, vdpbf16ps with e4m3 activations held in bf16, sums of 128 "
             "times both scales",
    .format = "float8dq-block",
    .act = LB_ACT_F8_128,
    LB_FLOAT_KERNEL,
};
