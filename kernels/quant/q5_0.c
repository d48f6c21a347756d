/* q5_0.c: 5 bits with one f16 scale per 32; 22 bytes for 32 weights (5.5 bits). */
#include <math.h>

#include "qmin.h"

extern const lb_quantizer_family lb_quantizer_q5_0;

/* Block: f16 d, u32 whose bit e is element e's fifth bit, 16 bytes: byte j holds the low bits of element j (low nibble)
 * and j + 16 (high). d maps the extreme to code 0. */
LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++, src += 32, dst += 22) {
        float x[32], amax = 0, extreme = 0;
        lb_clean_copy(src, 32, x);
        for (int i = 0; i < 32; i++)
            if (fabsf(x[i]) > amax) amax = fabsf(x[i]), extreme = x[i];
        float d = extreme / -16.0f, inverse = lb_finite_ratio(1.0f, d);
        uint8_t q[32];
        for (int i = 0; i < 32; i++) {
            int32_t v = (int32_t)(x[i] * inverse + 16.5f);
            q[i] = (uint8_t)(v > 31 ? 31 : v);
        }
        uint32_t high = lb_fifth_bits(q);
        lb_put_f16(dst, lb_f16_scale(d));
        memcpy(dst + 2, &high, 4);
        for (int i = 0; i < 16; i++) dst[6 + i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 22, dst += 32) {
        float d = lb_get_f16(src);
        uint32_t high;
        memcpy(&high, src + 2, 4);
        for (int i = 0; i < 16; i++) {
            dst[i] = d * (float)((int)((src[6 + i] & 15) | (high >> i & 1) << 4) - 16);
            dst[i + 16] = d * (float)((int)(src[6 + i] >> 4 | (high >> (i + 16) & 1) << 4) - 16);
        }
    }
}

LB_BLOCK_QUANTIZER(q5_0, 32, 22, 5, "w = d * (q - 16); q 5 bits, d = signed extreme / -16 as f16 per 32.",
                   "llama.cpp (GGUF type 6)")
