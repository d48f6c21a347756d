/* q4_1.c: 4 bits with one f16 scale and minimum per 32; 20 bytes for 32 weights (5 bits). */
#include "qmin.h"

extern const lb_quantizer_family lb_quantizer_q4_1;

/* Block: f16 d, f16 m, 16 bytes: byte j holds element j (low nibble) and j + 16 (high). */
LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++, src += 32, dst += 20) {
        uint8_t q[32];
        lb_qmin_block(src, 15, dst, q);
        for (int i = 0; i < 16; i++) dst[4 + i] = (uint8_t)(q[i] | q[i + 16] << 4);
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 20, dst += 32) {
        float d = lb_get_f16(src), m = lb_get_f16(src + 2);
        for (int i = 0; i < 16; i++) {
            dst[i] = d * (float)(src[4 + i] & 15) + m;
            dst[i + 16] = d * (float)(src[4 + i] >> 4) + m;
        }
    }
}

LB_BLOCK_QUANTIZER(q4_1, 32, 20, 4, "w = d * q + m; q 4 bits, d = (max - min) / 15 and m = min as f16 per 32.",
                   "llama.cpp (GGUF type 3)")
