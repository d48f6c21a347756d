/* int8adq_int4w_symm.c: int4 with one f32 scale a row, for int8 activations; 4 + 32/K bits. */
#include <math.h>

#include "bits.h"

extern const lb_quantizer_family lb_quantizer_int8adq_int4w_symm;

/* Planes: nibbles [N][(K + 1) / 2], two's complement, even k low; at the next multiple of 64 bytes f32 scales [N].
 * s = max(amax / 7.5, 2^-23), q = clamp(nearest even(w * (1 / s)), -8, 7), w = q * s. */
static size_t row_bytes(int64_t k) { return (size_t)((k + 1) / 2); }
static size_t scales_at(int64_t n, int64_t k) { return lb_up64((size_t)n * row_bytes(k)); }

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return scales_at(n, k) + (size_t)n * sizeof(float);
}

LB_INLINE int code_of(float w, float inverse) {
    return (int)(int32_t)lb_clamp(lb_nearest(lb_clamp(lb_clean(w) * inverse, -16.0f, 16.0f)), -8.0f, 7.0f) & 15;
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    (void)q;
    float *scales = (float *)(void *)((char *)dst + scales_at(n, k));
    for (int64_t r = row0; r < row1; r++) {
        const float *x = src + r * k;
        uint8_t *codes = (uint8_t *)dst + (size_t)r * row_bytes(k);
        float amax = 0;
        for (int64_t i = 0; i < k; i++) {
            float a = fabsf(lb_clean(x[i]));
            amax = a > amax ? a : amax;
        }
        float s = amax / 7.5f > 0x1p-23f ? amax / 7.5f : 0x1p-23f, inverse = 1.0f / s;
        for (int64_t i = 0; i < k / 2; i++)
            codes[i] = (uint8_t)(code_of(x[2 * i], inverse) | code_of(x[2 * i + 1], inverse) << 4);
        if (k & 1) codes[k / 2] = (uint8_t)code_of(x[k - 1], inverse);
        scales[r] = s;
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    (void)q;
    const float *scales = (const float *)(const void *)((const char *)src + scales_at(n, k));
    for (int64_t r = row0; r < row1; r++, dst += k) {
        const uint8_t *codes = (const uint8_t *)src + (size_t)r * row_bytes(k);
        for (int64_t i = 0; i < k / 2; i++) {
            dst[2 * i] = (float)(((codes[i] & 15) ^ 8) - 8) * scales[r];
            dst[2 * i + 1] = (float)(((codes[i] >> 4) ^ 8) - 8) * scales[r];
        }
        if (k & 1) dst[k - 1] = (float)(((codes[k / 2] & 15) ^ 8) - 8) * scales[r];
    }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n;
    *length = row_bytes(k);
    *offset = (size_t)row * *length;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    why[0] = 0;
    if (strcmp(name, "int8adq-int4w-symm")) return false;
    *out = (lb_quantizer){ .name = "int8adq-int4w-symm", .k_multiple = 1, .group = 0, .bits = 4,
                           .family = &lb_quantizer_int8adq_int4w_symm, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span };
    return true;
}

static const char *const members[] = { "int8adq-int4w-symm", NULL };
const lb_quantizer_family lb_quantizer_int8adq_int4w_symm = {
    .name = "int8adq-int4w-symm",
    .about = "w = q * s; q 4 bits, signed, s = max|w| / 7.5 of the row, f32 [N]. Its kernels quantize activations to "
             "int8 as int8dq's do, a scale a token.",
    .source = "torchao int8 dynamic activation, int4 weight, symmetric, a scale a row (CUTLASS)",
    .members = members,
    .parse = parse,
};
