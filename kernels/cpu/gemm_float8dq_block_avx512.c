/* gemm_float8dq_block_avx512.c: gemm over float8dq-block weights in panels of 32 rows: e4m3 times e4m3, scales per 128
 * x 128 of the weights and per 128 of the activations. */
#define FLOAT_SPAN_SCALES
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE(q) &table

LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k, (void)half;
    return _mm512_set1_ps(((const float *)(const void *)panel)[i]);
}
#define FORMAT (float_format){ .bits = 8, .span = 128, .act = FLOAT_ACT_128, .head_bytes = float_block_head, .scale = scale }

/* e4m3 [N][K], then at a multiple of 64 bytes the f32 scales [ceil(N / 128)][K / 128]. */
#define unpack float_unpack_bytes
#define put_scales float_put_block_scales
LB_FLOAT_PANEL(lb_act_f8_128_prepare, lb_act_f8_128_bytes, LB_ACT_KIND_F8_128)

const lb_kernel lb_kernel_gemm_float8dq_block_avx512 = {
    .name = "gemm.float8dq-block.avx512",
    .about = "panels of 32 rows; e4m3 to bf16 by tables of bytes, vdpbf16ps with e4m3 activations held in bf16, sums of 128 "
             "times both scales",
    .format = "float8dq-block",
    .act = LB_ACT_F8_128,
    LB_FLOAT_KERNEL,
};
