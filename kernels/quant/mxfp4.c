/* mxfp4.c: OCP microscaling: 4-bit floats (e2m1) with one power-of-two scale per 32; 17 bytes for 32 weights (4.25
 * bits). */
#include <stdio.h>

#include "minifloat.h"

extern const lb_quantizer_family lb_quantizer_mxfp4;

/* Block: e8m0 scale, 16 bytes: byte j holds element j (low nibble) and j + 16 (high), as GGUF files have it; torchao
 * keeps neighbours in a byte and the scales apart. */
enum { BLOCK = 32, BYTES = 17 };

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return (size_t)n * (size_t)(k / BLOCK) * BYTES;
}

LB_WIDE static void quantize_blocks(const float *src, int64_t count, int mode, uint8_t *dst) {
    for (int64_t b = 0; b < count; b++, src += BLOCK, dst += BYTES) {
        float x[BLOCK];
        uint8_t q[BLOCK];
        lb_clean_copy(src, BLOCK, x);
        dst[0] = lb_mx_scale(LB_E2M1, mode, lb_amax(x, BLOCK));
        float inverse = lb_mx_inverse(dst[0]);
        for (int i = 0; i < BLOCK; i++) q[i] = lb_mini_encode(LB_E2M1, x[i] * inverse);
        for (int i = 0; i < 16; i++) dst[1 + i] = (uint8_t)(q[i] | q[i + 16] << 4);
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += BYTES, dst += BLOCK) {
        float d = lb_e8m0_value(src[0]);
        for (int i = 0; i < 16; i++) {
            dst[i] = d * lb_mini_decode(LB_E2M1, src[1 + i] & 15);
            dst[i + 16] = d * lb_mini_decode(LB_E2M1, src[1 + i] >> 4);
        }
    }
}

static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst) {
    (void)n;
    int64_t per_row = k / BLOCK;
    quantize_blocks(src + row0 * k, (row1 - row0) * per_row, (int)q->param[0], (uint8_t *)dst + row0 * per_row * BYTES);
}

static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                       float *dst) {
    (void)q, (void)n;
    int64_t per_row = k / BLOCK;
    dequantize_blocks((const uint8_t *)src + row0 * per_row * BYTES, (row1 - row0) * per_row, dst);
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n;
    *length = (size_t)(k / BLOCK) * BYTES;
    *offset = (size_t)row * *length;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    int mode;
    why[0] = 0;
    if (!lb_mx_parse(name, "mxfp4", &mode, why)) return false;
    *out = (lb_quantizer){ .k_multiple = BLOCK, .group = BLOCK, .bits = 4, .param = { mode },
                           .family = &lb_quantizer_mxfp4, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span };
    snprintf(out->name, sizeof out->name, "mxfp4%s", lb_mx_suffixes[mode]);
    return true;
}

static const char *const members[] = { "mxfp4", "mxfp4-rceil", "mxfp4-even", NULL };
const lb_quantizer_family lb_quantizer_mxfp4 = {
    .name = "mxfp4",
    .about = "w = 2^(e - 127) * q; q e2m1 (0 .5 1 1.5 2 3 4 6), e 8 bits per 32: floor(log2 max|w|) - 2 + 127, or with "
             "-rceil the least with which nothing clips, with -even after rounding max|w| to one bit of mantissa.",
    .source = "OCP microscaling 1.0; layout of GGUF type 39, rounding of torchao (nearest even)",
    .members = members,
    .parse = parse,
};
