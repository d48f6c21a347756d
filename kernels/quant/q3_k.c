/* q3_k.c: 3 bits, sub-blocks of 16 with 6-bit scale; 110 bytes for 256 weights (3.4375 bits). */
#include <math.h>

#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_q3_k;

/* Block: 32 bytes of high bits, 64 bytes of low bits, 12 bytes of 6-bit scales, f16 d. */
enum { HIGH = 0, LOW = 32, SCALES = 96, D = 108 };

/* x is clean. */
LB_INLINE void store_block(const lb_kquant_search *search, const float *x, const float *scale, uint8_t *o) {
    float step[16], add[16] = { 0 }, top = 0;
    uint8_t q[256];
    for (int j = 0; j < 16; j++) top = fabsf(scale[j]) > fabsf(top) ? scale[j] : top;
    float inverse = lb_finite_ratio(-32.0f, top);
    uint16_t d = lb_f16_scale(top / -32.0f);
    float unit = lb_f16_to_f32(d);
    memset(o + SCALES, 0, 12);
    for (int j = 0; j < 16; j++) {
        float l = lb_within(rintf(inverse * scale[j]), -32.0f, 31.0f);
        int code = (int)l + 32;
        o[SCALES + j % 8] = (uint8_t)(o[SCALES + j % 8] | (code & 15) << (j < 8 ? 0 : 4));
        o[SCALES + 8 + j % 4] = (uint8_t)(o[SCALES + 8 + j % 4] | (code >> 4) << 2 * (j / 4));
        step[j] = unit * l;
    }
    search->codes16(x, step, add, -4.0f, 3.0f, q);
    for (int l = 0; l < 32; l++) {
        unsigned high = 0;
        for (int j = 0; j < 8; j++) high |= (unsigned)(q[32 * j + l] >> 2) << j;
        o[HIGH + l] = (uint8_t)high;
    }
    for (int h = 0; h < 2; h++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *c = q + 128 * h + l;
            o[LOW + 32 * h + l] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
        }
    lb_put_f16(o + D, d);
}

LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    const lb_kquant_search *search = lb_kquant_search_get();
    float x[256 * LB_BLOCKS3] = { 0 }, scale[16 * LB_BLOCKS3];
    for (int64_t b = 0; b < count; b += LB_BLOCKS3) {
        int64_t n = count - b < LB_BLOCKS3 ? count - b : LB_BLOCKS3;
        lb_clean_copy(src + 256 * b, 256 * n, x);
        search->symmetric3(x, scale);
        for (int64_t i = 0; i < n; i++) store_block(search, x + 256 * i, scale + 16 * i, dst + 110 * (b + i));
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 110, dst += 256) {
        float d = lb_get_f16(src + D);
        for (int j = 0; j < 16; j++) {
            int scale = (src[SCALES + j % 8] >> (j < 8 ? 0 : 4) & 15) | (src[SCALES + 8 + j % 4] >> 2 * (j / 4) & 3)
                                                                            << 4;
            const uint8_t *low = src + LOW + 32 * (j / 8) + 16 * (j % 2), *high = src + HIGH + 16 * (j % 2);
            float step = d * (float)(scale - 32);
            int shift = j % 8 / 2 * 2, bit = j / 2;
            for (int i = 0; i < 16; i++)
                dst[16 * j + i] = step * (float)((low[i] >> shift & 3) + ((high[i] >> bit & 1) << 2) - 4);
        }
    }
}

LB_BLOCK_QUANTIZER(q3_k, 256, 110, 3,
                   "w = d * (sc - 32) * (q - 4); q 3 bits, sc 6 bits per 16, d f16 per 256. Scales by coordinate "
                   "descent over the codes.",
                   "llama.cpp (GGUF type 11)")
