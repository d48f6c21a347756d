/* gemm_float8dq_block_avx2.c: gemm over float8dq-block weights in panels of 32 rows with AVX2: e4m3 times
 * e4m3, scales per 128 x 128 of the weights and per 128 of the activations. */
#include "rows32_mini_avx2.h"
#include "act_f8_avx2.h"

#define unpack float_unpack_bytes
#define put_scales float_put_block_scales
/* The panel's 32 rows have the same for each 128. */
LB_INLINE __m256 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int part) {
    (void)q, (void)k, (void)part;
    return _mm256_broadcast_ss((const float *)(const void *)panel + i);
}
#define RUN(...) \
    f32_run((mini){ .bits = 8, .mantissa = 3, .span = 128, .head_bytes = float_block_head, .scale = scale }, \
            __VA_ARGS__)

MINI_FUNCTIONS(8, float_block_head)

LB_ROWS32_PANEL_OF(lb_act_f8_f32_128_prepare, lb_act_f8_f32_bytes, LB_ACT_KIND_F8_F32_128)

const lb_kernel lb_kernel_gemm_float8dq_block_avx2 = {
    .name = "gemm.float8dq-block.avx2",
    .about = "panels of 32 rows; e4m3 to f32 by its bits, multiply-adds with e4m3 activations times their scale in "
             "sums of 128, each times the weights' scale",
    .format = "float8dq-block",
    LB_ROWS32_KERNEL,
    .act = LB_ACT_F8_128,
    F32_PRODUCTS,
};
