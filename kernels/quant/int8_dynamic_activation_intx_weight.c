/* int8_dynamic_activation_intx_weight.c: 2 to 8 bits, symmetric, with groups along K, for int8 activations;
 * b + 32/group bits. */
#include <math.h>

#include "bits.h"

extern const lb_quantizer_family lb_quantizer_int8_dynamic_activation_intx_weight;

/* Planes: codes q + 2^(b-1) of b bits, a row's as one stream, the first in the lowest bits; at the next multiple of 64
 * bytes f32 scales [N][K/g]. s = max(amax / ((2^b - 1) / 2), 2^-126), q = clamp(nearest even(w * (1 / s))), w = q *
 * s. */
enum { MOST = 256 };

static size_t scales_at(const lb_quantizer *q, int64_t n, int64_t k) {
    return lb_up64((size_t)n * (size_t)(k * q->bits / 8));
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    return scales_at(q, n, k) + (size_t)n * (size_t)(k / q->group) * 4;
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    float *scales = (float *)(void *)((char *)dst + scales_at(q, n, k)), middle = (float)(1 << (q->bits - 1));
    int64_t g = q->group, per_row = k / g;
    for (int64_t i = row0 * per_row; i < row1 * per_row; i++) {
        float x[MOST], lo, hi;
        uint8_t codes[MOST];
        lb_clean_copy(src + i * g, g, x);
        lb_range(x, g, 0.0f, &lo, &hi);
        float amax = -lo > hi ? -lo : hi, s = amax / (middle - 0.5f);
        s = s > 0x1p-126f ? s : 0x1p-126f;
        float inverse = 1.0f / s;
        for (int64_t j = 0; j < g; j++)
            codes[j] = (uint8_t)(int32_t)(lb_clamp(lb_nearest(x[j] * inverse), -middle, middle - 1.0f) + middle);
        lb_bits_pack(codes, g, q->bits, (uint8_t *)dst + (size_t)(i * g * q->bits / 8));
        scales[i] = s;
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    const float *scales = (const float *)(const void *)((const char *)src + scales_at(q, n, k));
    float middle = (float)(1 << (q->bits - 1));
    int64_t g = q->group, per_row = k / g;
    for (int64_t i = row0 * per_row; i < row1 * per_row; i++, dst += g) {
        uint8_t codes[MOST];
        lb_bits_unpack((const uint8_t *)src + (size_t)(i * g * q->bits / 8), g, q->bits, codes);
        for (int64_t j = 0; j < g; j++) dst[j] = ((float)codes[j] - middle) * scales[i];
    }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)n;
    *length = (size_t)(k * q->bits / 8);
    *offset = (size_t)row * *length;
}

#define NAME "int8_dynamic_activation_intx_weight"

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    long number[2];
    const char *rest;
    why[0] = 0;
    if (strncmp(name, NAME "-", sizeof NAME)) return false;
    if (!lb_name_numbers(name, NAME, 2, number, &rest) || number[0] < 2 || number[0] > 8 ||
        !lb_group_allowed(number[1]) || *rest) {
        /* one bit: codes -1 and 0 with s = 2 amax: nearest even gives zeros only */
        snprintf(why, 64, "...-{2..8}-{32,64,128,256}: bits, then the group");
        return false;
    }
    *out = (lb_quantizer){ .k_multiple = number[1], .group = number[1], .bits = (int)number[0], .param = { number[0] },
                           .family = &lb_quantizer_int8_dynamic_activation_intx_weight, .size_bytes = size_bytes,
                           .quantize = quantize, .dequantize = dequantize, .row_span = row_span };
    snprintf(out->name, sizeof out->name, NAME "-%ld-%ld", number[0], number[1]);
    return true;
}

#define EACH(b) NAME "-" #b "-32", NAME "-" #b "-64", NAME "-" #b "-128", NAME "-" #b "-256"
static const char *const members[] = { EACH(2), EACH(3), EACH(4), EACH(5), EACH(6), EACH(7), EACH(8), NULL };
const lb_quantizer_family lb_quantizer_int8_dynamic_activation_intx_weight = {
    .name = NAME,
    .about = "w = q * s; q 2 to 8 bits, signed, s = max|w| / ((2^b - 1) / 2) as f32 per group. Its kernels quantize "
             "activations to int8, asymmetric, a scale and a zero a token.",
    .source = "torchao int8 dynamic activation, intx weight",
    .members = members,
    .parse = parse,
};
