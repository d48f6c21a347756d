/* q2_k.c: 2 bits, sub-blocks of 16 with 4-bit scale and minimum; 84 bytes for 256 weights (2.625 bits). */
#include <math.h>

#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_q2_k;

/* Block: 16 bytes (scale low nibble, minimum high nibble per sub-block), 64 bytes of codes, f16 d, f16 dmin. */
enum { CODES = 16, D = 80, DMIN = 82 };

LB_INLINE uint8_t level(float v) { return (uint8_t)lb_within(rintf(v), 0.0f, 15.0f); }

LB_INLINE void quantize_block(const float *src, uint8_t *o) {
    const lb_kquant_search *search = lb_kquant_search_get();
    float x[256], scale[16], min[16], step[16], add[16], top = 0, deep = 0;
    uint8_t q[256];
    lb_clean_copy(src, 256, x);
    search->min16(x, 3.0f, -0.5f, 15, scale, min);
    for (int j = 0; j < 16; j++) top = scale[j] > top ? scale[j] : top, deep = min[j] > deep ? min[j] : deep;
    uint16_t d = lb_f16_scale(top / 15.0f), dmin = lb_f16_scale(deep / 15.0f);
    float unit = lb_f16_to_f32(d), min_unit = lb_f16_to_f32(dmin);
    float codes_of = lb_finite_ratio(15.0f, top), codes_of_min = lb_finite_ratio(15.0f, deep);
    for (int j = 0; j < 16; j++) {
        uint8_t s = level(codes_of * scale[j]), m = level(codes_of_min * min[j]);
        o[j] = (uint8_t)(s | m << 4);
        step[j] = unit * (float)s;
        add[j] = min_unit * (float)m;
    }
    search->codes16(x, step, add, 0.0f, 3.0f, q);
    for (int h = 0; h < 2; h++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *c = q + 128 * h + l;
            o[CODES + 32 * h + l] = (uint8_t)(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
        }
    lb_put_f16(o + D, d);
    lb_put_f16(o + DMIN, dmin);
}

LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++) quantize_block(src + 256 * b, dst + 84 * b);
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 84, dst += 256) {
        float d = lb_get_f16(src + D), dmin = lb_get_f16(src + DMIN);
        for (int j = 0; j < 16; j++) {
            const uint8_t *c = src + CODES + 32 * (j / 8) + 16 * (j % 2);
            float step = d * (float)(src[j] & 15), min = dmin * (float)(src[j] >> 4);
            int shift = j % 8 / 2 * 2;
            for (int i = 0; i < 16; i++) dst[16 * j + i] = step * (float)(c[i] >> shift & 3) - min;
        }
    }
}

LB_BLOCK_QUANTIZER(q2_k, 256, 84, 2,
                   "w = d * sc * q - dmin * m; q 2 bits, sc and m 4 bits per 16, d and dmin f16 per 256. Scales by a "
                   "search for least squared error.",
                   "llama.cpp (GGUF type 10)")
