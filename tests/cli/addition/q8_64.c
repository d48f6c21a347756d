/* q8_64.c: int8 with one f32 scale per 64: the example of a weight format that one file and one line add. */
#include <math.h>

#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_q8_64;

static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++, src += 64, dst += 68) {
        float x[64], amax = 0;
        lb_clean_copy(src, 64, x);
        for (int i = 0; i < 64; i++) amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        float d = amax / 127.0f, inverse = d > 0x1p-100f ? 1.0f / d : 0.0f;
        memcpy(dst, &d, 4);
        for (int i = 0; i < 64; i++) dst[4 + i] = (uint8_t)(int8_t)rintf(x[i] * inverse);
    }
}

static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 68, dst += 64) {
        float d;
        memcpy(&d, src, 4);
        for (int i = 0; i < 64; i++) dst[i] = d * (float)(int8_t)src[4 + i];
    }
}

LB_BLOCK_QUANTIZER(q8_64, 64, 68, 8, "w = d * q; q int8, d = max|w| / 127 as f32 per 64.", "an example")
