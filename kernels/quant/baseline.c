/* baseline.c: no quantization: bf16, what the other recipes are compared with. 16 bits. */
#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_baseline;

/* bf16 [N][K], nearest even. */
LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    uint16_t *to = (uint16_t *)(void *)dst;
    for (int64_t i = 0; i < count; i++) to[i] = lb_f32_to_bf16(lb_clean(src[i]));
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    const uint16_t *from = (const uint16_t *)(const void *)src;
    for (int64_t i = 0; i < count; i++) dst[i] = lb_bf16_to_f32(from[i]);
}

LB_BLOCK_QUANTIZER(baseline, 1, 2, 16, "w as bf16: what quantization is compared with.", "torchao's benchmarks")
