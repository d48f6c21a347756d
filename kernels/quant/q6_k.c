/* q6_k.c: 6 bits, sub-blocks of 16 with 8-bit scale; 210 bytes for 256 weights (6.5625 bits). */
#include <math.h>

#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_q6_k;

/* Block: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales, f16 d. */
enum { LOW = 0, HIGH = 128, SCALES = 192, D = 208 };

LB_INLINE void quantize_block(const float *src, uint8_t *o) {
    const lb_kquant_search *search = lb_kquant_search_get();
    float x[256], scale[16], step[16], add[16] = { 0 }, top = 0;
    uint8_t q[256];
    lb_clean_copy(src, 256, x);
    search->symmetric6(x, scale);
    for (int j = 0; j < 16; j++) top = fabsf(scale[j]) > fabsf(top) ? scale[j] : top;
    float inverse = lb_finite_ratio(-128.0f, top);
    uint16_t d = lb_f16_scale(top / -128.0f);
    float unit = lb_f16_to_f32(d);
    for (int j = 0; j < 16; j++) {
        float l = lb_within(rintf(inverse * scale[j]), -128.0f, 127.0f);
        o[SCALES + j] = (uint8_t)(int8_t)l;
        step[j] = unit * l;
    }
    search->codes16(x, step, add, -32.0f, 31.0f, q);
    for (int h = 0; h < 2; h++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *c = q + 128 * h + l;
            o[LOW + 64 * h + l] = (uint8_t)((c[0] & 15) | (c[64] & 15) << 4);
            o[LOW + 64 * h + 32 + l] = (uint8_t)((c[32] & 15) | (c[96] & 15) << 4);
            o[HIGH + 32 * h + l] = (uint8_t)(c[0] >> 4 | (c[32] >> 4) << 2 | (c[64] >> 4) << 4 | (c[96] >> 4) << 6);
        }
    lb_put_f16(o + D, d);
}

LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++) quantize_block(src + 256 * b, dst + 210 * b);
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 210, dst += 256) {
        float d = lb_get_f16(src + D);
        for (int j = 0; j < 16; j++) {
            int h = j / 8, g = j % 8 / 2, at = 16 * (j % 2);
            const uint8_t *low = src + LOW + 64 * h + 32 * (g & 1) + at, *high = src + HIGH + 32 * h + at;
            float step = d * (float)(int8_t)src[SCALES + j];
            int shift = g >= 2 ? 4 : 0;
            for (int i = 0; i < 16; i++)
                dst[16 * j + i] = step * (float)(((low[i] >> shift & 15) | (high[i] >> 2 * g & 3) << 4) - 32);
        }
    }
}

LB_BLOCK_QUANTIZER(q6_k, 256, 210, 6,
                   "w = d * sc * (q - 32); q 6 bits, sc int8 per 16, d f16 per 256. Scales by a search for "
                   "least squared error.",
                   "llama.cpp (GGUF type 14)")
