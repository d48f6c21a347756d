/* int8_rows.h: int8 with one f32 scale a row, as torchao's version 2: what int8wo and int8dq store. 8 + 32/K bits. */
#pragma once
#include "kquant.h"

/* Planes: int8 codes [N][K], then from the next multiple of 64 bytes f32 scales [N].
 * s = max(amax / 127.5, 2^-23), q = clamp(nearest even(w * (1 / s)), -128, 127). */
static size_t scales_at(int64_t n, int64_t k) { return ((size_t)n * (size_t)k + 63) / 64 * 64; }

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return scales_at(n, k) + (size_t)n * sizeof(float);
}

LB_WIDE static float quantize_row(const float *x, int64_t k, int8_t *codes) {
    int32_t most = 0; /* as lb_most_magnitude */
    for (int64_t i = 0; i < k; i++) {
        int32_t bits = (int32_t)(lb_f32_bits(lb_clean(x[i])) & 0x7fffffffu);
        most = bits > most ? bits : most;
    }
    float amax = lb_f32_from_bits((uint32_t)most);
    float s = amax / 127.5f > 0x1p-23f ? amax / 127.5f : 0x1p-23f, inverse = 1.0f / s;
    for (int64_t i = 0; i < k; i++) {
        float v = lb_clean(x[i]) * inverse;
        v = v > 127.0f ? 127.0f : v < -128.0f ? -128.0f : v;
        codes[i] = (int8_t)(int32_t)((v + 12582912.0f) - 12582912.0f); /* nearest even */
    }
    return s;
}

static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst) {
    (void)q;
    const lb_plain_quantizers *plain = lb_plain_quantizers_get();
    float *scales = (float *)(void *)((char *)dst + scales_at(n, k));
    for (int64_t r = row0; r < row1; r++) {
        int8_t *codes = (int8_t *)dst + r * k;
        if (!plain || !plain->int8_row(src + r * k, k, codes, &scales[r]))
            scales[r] = quantize_row(src + r * k, k, codes);
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    (void)q;
    const float *scales = (const float *)(const void *)((const char *)src + scales_at(n, k));
    for (int64_t r = row0; r < row1; r++, dst += k)
        for (int64_t i = 0; i < k; i++) dst[i] = (float)((const int8_t *)src)[r * k + i] * scales[r];
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n;
    *offset = (size_t)(row * k);
    *length = (size_t)k;
}

/* Defines the family. */
#define LB_INT8_ROWS_QUANTIZER(id, ABOUT, SOURCE)                                                                     \
    static bool parse(const char *name, lb_quantizer *out, char why[64]) {                                            \
        why[0] = 0;                                                                                                   \
        if (strcmp(name, #id)) return false;                                                                          \
        *out = (lb_quantizer){ .name = #id, .k_multiple = 1, .group = 0, .bits = 8, .family = &lb_quantizer_##id,     \
                               .size_bytes = size_bytes, .quantize = quantize, .dequantize = dequantize,              \
                               .row_span = row_span };                                                                \
        return true;                                                                                                  \
    }                                                                                                                 \
    static const char *const members[] = { #id, NULL };                                                               \
    const lb_quantizer_family lb_quantizer_##id = { .name = #id, .about = ABOUT, .source = SOURCE,                    \
                                                    .members = members, .parse = parse };
