/* uintx.c: 1 to 8 bits, unsigned, with groups along K; b + 40/group bits, with -hqq b + 64/group. */
#include "hqq.h"

extern const lb_quantizer_family lb_quantizer_uintx;

/* Planes: codes of b bits, a row's as one stream, the first in the lowest bits; at the next multiple of 64 bytes f32
 * scales [N][K/g]; at the next the zeros [N][K/g], u8 or, with -hqq, f32. torchao keeps the codes' bits in shards of 4,
 * 2 and 1 and the zeros as int32: the same values in other places. The range is widened to hold zero: s = max((max -
 * min) / (2^b - 1), 2^-23), z = clamp(-nearest even(min / s)), q = clamp(nearest even(w * (1 / s)) + z), w = (q - z) *
 * s. With -hqq codes, scale and zero of hqq.h. */
typedef struct planes { size_t scales, zeros, end; } planes;

static planes planes_of(const lb_quantizer *q, int64_t n, int64_t k) {
    size_t groups = (size_t)n * (size_t)(k / q->group);
    planes p = { .scales = lb_up64((size_t)n * (size_t)(k * q->bits / 8)) };
    p.zeros = lb_up64(p.scales + groups * 4);
    p.end = p.zeros + groups * (q->param[1] ? 4 : 1);
    return p;
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) { return n && k ? planes_of(q, n, k).end : 0; }

LB_INLINE void affine(const float *x, int64_t g, int bits, uint8_t *codes, float *scale, float *zero) {
    float lo, hi, top = (float)((1 << bits) - 1);
    lb_range(x, g, 0.0f, &lo, &hi);
    float s = (hi - lo) / top > 0x1p-23f ? (hi - lo) / top : 0x1p-23f, inverse = 1.0f / s;
    float z = lb_clamp(-lb_nearest(lo / s), 0.0f, top);
    for (int64_t i = 0; i < g; i++) codes[i] = (uint8_t)(int32_t)lb_clamp(lb_nearest(x[i] * inverse) + z, 0.0f, top);
    *scale = s;
    *zero = z;
}

LB_INLINE void quantize_rows(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             uint8_t *dst, const bool hqq) {
    planes p = planes_of(q, n, k);
    int64_t g = q->group, per_row = k / g;
    for (int64_t i = row0 * per_row; i < row1 * per_row; i++) {
        float x[LB_HQQ_MOST] = { 0 }, scale, zero;
        uint8_t codes[LB_HQQ_MOST];
        lb_clean_copy(src + i * g, g, x);
        if (hqq) lb_hqq(x, g, q->bits, codes, &scale, &zero);
        else affine(x, g, q->bits, codes, &scale, &zero);
        lb_bits_pack(codes, g, q->bits, dst + (size_t)(i * g * q->bits / 8));
        ((float *)(void *)(dst + p.scales))[i] = scale;
        if (hqq) ((float *)(void *)(dst + p.zeros))[i] = zero;
        else dst[p.zeros + (size_t)i] = (uint8_t)(int32_t)zero;
    }
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    quantize_rows(q, src, n, k, row0, row1, dst, false);
}
LB_WIDE static void quantize_hqq(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0,
                                 int64_t row1, void *dst) {
    quantize_rows(q, src, n, k, row0, row1, dst, true);
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    const uint8_t *from = src;
    planes p = planes_of(q, n, k);
    int64_t g = q->group, per_row = k / g;
    for (int64_t i = row0 * per_row; i < row1 * per_row; i++, dst += g) {
        uint8_t codes[LB_HQQ_MOST];
        float scale = ((const float *)(const void *)(from + p.scales))[i];
        float zero =
            q->param[1] ? ((const float *)(const void *)(from + p.zeros))[i] : (float)from[p.zeros + (size_t)i];
        lb_bits_unpack(from + (size_t)(i * g * q->bits / 8), g, q->bits, codes);
        for (int64_t j = 0; j < g; j++) dst[j] = ((float)codes[j] - zero) * scale;
    }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)n;
    *length = (size_t)(k * q->bits / 8);
    *offset = (size_t)row * *length;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    long number[2];
    const char *rest;
    why[0] = 0;
    if (strncmp(name, "uintx-", 6)) return false;
    if (!lb_name_numbers(name, "uintx", 2, number, &rest) || number[0] < 1 || number[0] > 8 ||
        !lb_group_allowed(number[1]) || (*rest && strcmp(rest, "-hqq"))) {
        snprintf(why, 64, "uintx-{1..8}-{32,64,128,256}, then perhaps -hqq");
        return false;
    }
    *out = (lb_quantizer){ .k_multiple = number[1], .group = number[1], .bits = (int)number[0],
                           .param = { number[0], *rest != 0 }, .family = &lb_quantizer_uintx, .size_bytes = size_bytes,
                           .quantize = *rest ? quantize_hqq : quantize, .dequantize = dequantize,
                           .row_span = row_span };
    snprintf(out->name, sizeof out->name, "uintx-%ld-%ld%s", number[0], number[1], rest);
    return true;
}

#define EACH_GROUP(b, end) "uintx-" #b "-32" end, "uintx-" #b "-64" end, "uintx-" #b "-128" end, "uintx-" #b "-256" end
#define EACH(b) EACH_GROUP(b, ""), EACH_GROUP(b, "-hqq")
static const char *const members[] = { EACH(1), EACH(2), EACH(3), EACH(4), EACH(5), EACH(6), EACH(7), EACH(8), NULL };
const lb_quantizer_family lb_quantizer_uintx = {
    .name = "uintx",
    .about = "w = (q - z) * s; q 1 to 8 bits, s = (max - min) / (2^b - 1) as f32 and z an integer code per group, the "
             "range widened to hold zero. -hqq: z f32, by half-quadratic quantization, group by group.",
    .source = "torchao uintx weight-only",
    .members = members,
    .parse = parse,
};
