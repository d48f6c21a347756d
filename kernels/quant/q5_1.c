/* q5_1.c: 5 bits with one f16 scale and minimum per 32; 24 bytes for 32 weights (6 bits). */
#include "qmin.h"

extern const lb_quantizer_family lb_quantizer_q5_1;

/* Block: f16 d, f16 m, u32 whose bit e is element e's fifth bit, 16 bytes: byte j holds the low bits of element j (low
 * nibble) and j + 16 (high). */
LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++, src += 32, dst += 24) {
        uint8_t q[32];
        lb_qmin_block(src, 31, dst, q);
        uint32_t high = lb_fifth_bits(q);
        memcpy(dst + 4, &high, 4);
        for (int i = 0; i < 16; i++) dst[8 + i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 24, dst += 32) {
        float d = lb_get_f16(src), m = lb_get_f16(src + 2);
        uint32_t high;
        memcpy(&high, src + 4, 4);
        for (int i = 0; i < 16; i++) {
            dst[i] = d * (float)((src[8 + i] & 15) | (high >> i & 1) << 4) + m;
            dst[i + 16] = d * (float)(src[8 + i] >> 4 | (high >> (i + 16) & 1) << 4) + m;
        }
    }
}

LB_BLOCK_QUANTIZER(q5_1, 32, 24, 5, "w = d * q + m; q 5 bits, d = (max - min) / 31 and m = min as f16 per 32.",
                   "llama.cpp (GGUF type 7)")
