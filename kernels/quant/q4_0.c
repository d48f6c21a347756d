/* q4_0.c: 4 bits with one f16 scale per 32; 18 bytes for 32 weights (4.5 bits). */
#include <math.h>

#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_q4_0;

/* Block: f16 d, 16 bytes: byte j holds element j (low nibble) and j + 16 (high). d maps the extreme to code 0. */
LB_WIDE static void quantize_any(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++, src += 32, dst += 18) {
        float x[32];
        lb_clean_copy(src, 32, x);
        float amax = lb_most_magnitude(x, 32);
        int first = 31; /* of those so large */
        for (int i = 0; i < 32; i++) {
            int at = fabsf(x[i]) == amax ? i : 31;
            first = at < first ? at : first;
        }
        float d = (amax == 0 ? 0.0f : x[first]) / -8.0f, inverse = lb_finite_ratio(1.0f, d);
        lb_put_f16(dst, lb_f16_scale(d));
        int32_t q[32];
        for (int i = 0; i < 32; i++) {
            int32_t v = (int32_t)(x[i] * inverse + 8.5f);
            q[i] = v > 15 ? 15 : v;
        }
        for (int i = 0; i < 16; i++) dst[2 + i] = (uint8_t)(q[i] | q[i + 16] << 4);
    }
}

static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    const lb_plain_quantizers *plain = lb_plain_quantizers_get();
    for (int64_t b = 0; b < count; b++) {
        if (plain) b += plain->q4_0(src + 32 * b, count - b, dst + 18 * b);
        if (b < count) quantize_any(src + 32 * b, plain ? 1 : count, dst + 18 * b);
        if (!plain) return;
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 18, dst += 32) {
        float d = lb_get_f16(src);
        for (int i = 0; i < 16; i++) {
            dst[i] = d * (float)((src[2 + i] & 15) - 8);
            dst[i + 16] = d * (float)((src[2 + i] >> 4) - 8);
        }
    }
}

LB_BLOCK_QUANTIZER(q4_0, 32, 18, 4, "w = d * (q - 8); q 4 bits, d = signed extreme / -8 as f16 per 32.",
                   "llama.cpp (GGUF type 2)")
