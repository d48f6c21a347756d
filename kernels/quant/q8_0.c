/* q8_0.c: int8 with one f16 scale per 32; 34 bytes for 32 weights (8.5 bits). */
#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_q8_0;

/* Block: f16 d, 32 int8. The codes divide by the unrounded d, and round halves away from zero. */
LB_WIDE static void quantize_any(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++, src += 32, dst += 34) {
        float x[32];
        lb_clean_copy(src, 32, x);
        float d = lb_most_magnitude(x, 32) / 127.0f, inverse = lb_finite_ratio(1.0f, d);
        lb_put_f16(dst, lb_f16_scale(d));
        for (int i = 0; i < 32; i++) {
            float v = x[i] * inverse, whole = (float)(int32_t)v, rest = v - whole;
            whole += rest >= 0.5f ? 1.0f : rest <= -0.5f ? -1.0f : 0.0f;
            dst[2 + i] = (uint8_t)(int8_t)(int32_t)whole;
        }
    }
}

static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    const lb_plain_quantizers *plain = lb_plain_quantizers_get();
    for (int64_t b = 0; b < count; b++) {
        if (plain) b += plain->q8_0(src + 32 * b, count - b, dst + 34 * b);
        if (b < count) quantize_any(src + 32 * b, plain ? 1 : count, dst + 34 * b);
        if (!plain) return;
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 34, dst += 32) {
        float d = lb_get_f16(src);
        for (int i = 0; i < 32; i++) dst[i] = d * (float)(int8_t)src[2 + i];
    }
}

LB_BLOCK_QUANTIZER(q8_0, 32, 34, 8, "w = d * q; q int8, d = max|w| / 127 as f16 per 32.", "llama.cpp (GGUF type 8)")
