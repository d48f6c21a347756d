/* q4_k.c: 4 bits, sub-blocks of 32 with 6-bit scale and minimum; 144 bytes for 256 weights (4.5 bits). */
#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_q4_k;

/* Block: f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, 128 bytes of codes. */
enum { SCALES = 4, CODES = 16 };

LB_INLINE void put_block(float d, float dmin, const uint8_t *sc, const uint8_t *m, const uint8_t *q, uint8_t *o) {
    lb_put_f16(o, lb_f32_to_f16(d));
    lb_put_f16(o + 2, lb_f32_to_f16(dmin));
    lb_scales12_pack(sc, m, o + SCALES);
    for (int c = 0; c < 4; c++)
        for (int l = 0; l < 32; l++) o[CODES + 32 * c + l] = (uint8_t)(q[64 * c + l] | q[64 * c + 32 + l] << 4);
}

LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    for (int64_t b = 0; b < count; b += 2) {
        float x[512] = { 0 }, d[2], dmin[2];
        uint8_t sc[16], m[16], q[512];
        int64_t pair = count - b < 2 ? 1 : 2;
        lb_clean_copy(src + 256 * b, 256 * pair, x);
        lb_kquant_pair(x, 15.0f, -1.0f, 20, d, dmin, sc, m, q);
        for (int i = 0; i < pair; i++)
            put_block(d[i], dmin[i], sc + 8 * i, m + 8 * i, q + 256 * i, dst + 144 * (b + i));
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 144, dst += 256) {
        float d = lb_get_f16(src), dmin = lb_get_f16(src + 2);
        uint8_t sc[8], m[8];
        lb_scales12_unpack(src + SCALES, sc, m);
        for (int j = 0; j < 8; j++) {
            const uint8_t *c = src + CODES + 32 * (j / 2);
            float step = d * (float)sc[j], min = dmin * (float)m[j];
            int shift = j % 2 * 4;
            for (int i = 0; i < 32; i++) dst[32 * j + i] = step * (float)(c[i] >> shift & 15) - min;
        }
    }
}

LB_BLOCK_QUANTIZER(q4_k, 256, 144, 4,
                   "w = d * sc * q - dmin * m; q 4 bits, sc and m 6 bits per 32, d and dmin f16 per 256. Scales by a "
                   "search for least squared error.",
                   "llama.cpp (GGUF type 12)")
