/* gemm_float8dq_tensor_avx2.c: gemm over float8dq-tensor weights in panels of 32 rows with AVX2: e4m3 times e4m3,
 * one scale for all weights and one for all activations. */
#include "rows32_mini_avx2.h"
#include "act_f8_avx2.h"

#define unpack float_unpack_bytes
#define put_scales float_put_tensor_scale
LB_INLINE __m256 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int part) {
    (void)q, (void)k, (void)i, (void)part;
    return _mm256_broadcast_ss((const float *)(const void *)panel);
}
#define RUN(...) \
    f32_run((mini){ .bits = 8, .mantissa = 3, .span = 256, .head_bytes = float_tensor_head, .scale = scale }, \
            __VA_ARGS__)

MINI_FUNCTIONS(8, float_tensor_head)

#define F8_AMAX lb_act_f8_f32_amax
#define F8_PREPARE lb_act_f8_f32_scaled_prepare
#define F8_BYTES lb_act_f8_f32_bytes
#define F8_KIND "f8_tensor/f32"
#include "gemm_float8dq_tensor.h"

const lb_kernel lb_kernel_gemm_float8dq_tensor_avx2 = {
    .name = "gemm.float8dq-tensor.avx2",
    .about = "panels of 32 rows; e4m3 to f32 by its bits, multiply-adds with e4m3 activations times their scale in "
             "sums of 256, each times the weights' scale; a phase of its own finds the activations'",
    F32_PRODUCTS,
    F8_TENSOR_KERNEL,
};
