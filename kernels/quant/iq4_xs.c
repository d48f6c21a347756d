/* iq4_xs.c: iq4_nl's levels with 6-bit scales per 32 in super-blocks of 256; 136 bytes for 256 weights (4.25 bits). */
#include <math.h>

#include "iq4.h"

extern const lb_quantizer_family lb_quantizer_iq4_xs;

/* Block: f16 d, u16 with bits 5 and 4 of the eight scales (scale j at bit 2j), 4 bytes of their low nibbles (j even in
 * the low one), 8 times 16 bytes of codes as iq4_nl's. */
enum { HIGH = 2, LOW = 4, CODES = 8, SUBS = 8, BATCH = 16 };

/* d makes the largest scale -32; the codes follow from d (unrounded) times the rounded scales. */
LB_INLINE float put_scales(const float *scale, uint8_t *out, float *inverse) {
    float top = 0;
    for (int j = 0; j < SUBS; j++) top = fabsf(scale[j]) > fabsf(top) ? scale[j] : top;
    float d = top / -32.0f, id = lb_finite_ratio(1.0f, d);
    uint32_t high = 0;
    uint8_t low[4] = { 0 };
    for (int j = 0; j < SUBS; j++) {
        float l = (id * scale[j] + 12582912.0f) - 12582912.0f;
        l = l < -32.0f ? -32.0f : l > 31.0f ? 31.0f : l;
        uint32_t code = (uint32_t)((int)l + 32);
        low[j / 2] = (uint8_t)(low[j / 2] | (code & 15) << (j % 2 * 4));
        high |= code >> 4 << (2 * j);
        inverse[j] = lb_finite_ratio(1.0f, d * l);
    }
    lb_put_f16(out, lb_f16_scale(id != 0 ? d : 0.0f));
    lb_put_f16(out + HIGH, (uint16_t)high);
    memcpy(out + LOW, low, 4);
    return d;
}

LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    const lb_kquant_search *search = lb_kquant_search_get();
    for (int64_t b = 0; b < count; b += 2) {
        float x[512] = { 0 }, scale[BATCH], inverse[BATCH] = { 0 };
        uint8_t q[512];
        int64_t pair = count - b < 2 ? 1 : 2;
        lb_clean_copy(src + 256 * b, 256 * pair, x);
        search->codebook(x, lb_iq4_levels, scale);
        for (int i = 0; i < pair; i++) put_scales(scale + SUBS * i, dst + 136 * (b + i), inverse + SUBS * i);
        search->codebook_codes(x, lb_iq4_levels, inverse, q);
        for (int j = 0; j < SUBS * pair; j++) {
            uint8_t *to = dst + 136 * (b + j / SUBS) + CODES + 16 * (j % SUBS);
            for (int i = 0; i < 16; i++) to[i] = (uint8_t)(q[32 * j + i] | q[32 * j + 16 + i] << 4);
        }
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 136, dst += 256) {
        uint16_t high;
        memcpy(&high, src + HIGH, 2);
        for (int j = 0; j < SUBS; j++) {
            int scale = (src[LOW + j / 2] >> (j % 2 * 4) & 15) | (high >> (2 * j) & 3) << 4;
            lb_iq4_values(src + CODES + 16 * j, lb_get_f16(src) * (float)(scale - 32), dst + 32 * j);
        }
    }
}

LB_BLOCK_QUANTIZER(
    iq4_xs, 256, 136, 4,
    "w = d * (sc - 32) * T[q]; q 4 bits, T as iq4_nl's, sc 6 bits per 32, d f16 per 256. Scales by a search "
    "for least error weighted with w^2 (15 trials and a least-squares fit each).",
    "llama.cpp (GGUF type 23)")
