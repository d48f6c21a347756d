/* int4wo.c: int4 weight-only with groups along K, as torchao's tinygemm rule, or HQQ in the same store; 4 + 32/group
 * bits. */
#include <math.h>

#include "hqq.h"

extern const lb_quantizer_family lb_quantizer_int4wo;

/* Planes: nibbles [N][K/2], even k in the HIGH nibble; then from the next multiple of 64 bytes bf16 (scale, zero)
 * [N][K/g][2]. torchao keeps the second plane as [K/g][N][2]; here a row's groups lie together.
 * s = max((max - min) / 15, 1e-6), z = min + 8 s, both rounded to bf16 (z from the unrounded s); then with these
 * q = clamp(nearest even((w - (z - 8 s)) / s), 0, 15), w = (q - 8) * s + z.
 * With -hqq: codes, s and z of hqq.h's (q - zero) * scale, as z = (8 - zero) * scale; the pair is rounded to bf16
 * last. */
static size_t groups_at(int64_t n, int64_t k) { return ((size_t)n * (size_t)(k / 2) + 63) / 64 * 64; }

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    return groups_at(n, k) + (size_t)n * (size_t)(k / q->group) * 4;
}

LB_INLINE float to_bf16(float v) { return lb_bf16_to_f32(lb_f32_to_bf16(v)); }

LB_INLINE void quantize_group(const float *src, int64_t g, uint8_t *codes, uint16_t *pair) {
    float x[256], lows[16], highs[16];
    uint8_t q[256];
    lb_clean_copy(src, g, x);
    memcpy(lows, x, sizeof lows);
    memcpy(highs, x, sizeof highs);
    for (int64_t i = 16; i < g; i += 16)
        for (int j = 0; j < 16; j++) {
            lows[j] = x[i + j] < lows[j] ? x[i + j] : lows[j];
            highs[j] = x[i + j] > highs[j] ? x[i + j] : highs[j];
        }
    float lo = lows[0], hi = highs[0];
    for (int j = 1; j < 16; j++) lo = lows[j] < lo ? lows[j] : lo, hi = highs[j] > hi ? highs[j] : hi;
    float exact = (hi - lo) / 15.0f > 1e-6f ? (hi - lo) / 15.0f : 1e-6f;
    float s = to_bf16(exact), z = to_bf16(lo + 8.0f * exact), bottom = z - 8.0f * s;
    for (int64_t i = 0; i < g; i++) {
        float v = (x[i] - bottom) / s;
        v = v > 15.0f ? 15.0f : v < 0.0f ? 0.0f : v;
        q[i] = (uint8_t)(int32_t)((v + 12582912.0f) - 12582912.0f); /* nearest even */
    }
    for (int64_t i = 0; i < g / 2; i++) codes[i] = (uint8_t)(q[2 * i] << 4 | q[2 * i + 1]);
    pair[0] = lb_f32_to_bf16(s);
    pair[1] = lb_f32_to_bf16(z);
}

LB_INLINE void quantize_group_hqq(const float *src, int64_t g, uint8_t *codes, uint16_t *pair) {
    float x[LB_HQQ_MOST] = { 0 }, scale, zero;
    uint8_t q[LB_HQQ_MOST];
    lb_clean_copy(src, g, x);
    lb_hqq(x, g, 4, q, &scale, &zero);
    for (int64_t i = 0; i < g / 2; i++) codes[i] = (uint8_t)(q[2 * i] << 4 | q[2 * i + 1]);
    pair[0] = lb_f32_to_bf16(scale);
    pair[1] = lb_f32_to_bf16((8.0f - zero) * scale);
}

LB_WIDE static void quantize_hqq(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0,
                                 int64_t row1, void *dst) {
    uint16_t *pairs = (uint16_t *)(void *)((char *)dst + groups_at(n, k));
    int64_t g = q->group, per_row = k / g;
    for (int64_t r = row0; r < row1; r++)
        for (int64_t i = 0; i < per_row; i++)
            quantize_group_hqq(src + r * k + i * g, g, (uint8_t *)dst + (r * k + i * g) / 2,
                               pairs + 2 * (r * per_row + i));
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    uint16_t *pairs = (uint16_t *)(void *)((char *)dst + groups_at(n, k));
    int64_t g = q->group, per_row = k / g;
    for (int64_t r = row0; r < row1; r++)
        for (int64_t i = 0; i < per_row; i++)
            quantize_group(src + r * k + i * g, g, (uint8_t *)dst + (r * k + i * g) / 2, pairs + 2 * (r * per_row + i));
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    const uint16_t *pairs = (const uint16_t *)(const void *)((const char *)src + groups_at(n, k));
    int64_t g = q->group, per_row = k / g;
    for (int64_t r = row0; r < row1; r++)
        for (int64_t i = 0; i < per_row; i++, dst += g) {
            const uint8_t *codes = (const uint8_t *)src + (r * k + i * g) / 2;
            float s = lb_bf16_to_f32(pairs[2 * (r * per_row + i)]),
                  z = lb_bf16_to_f32(pairs[2 * (r * per_row + i) + 1]);
            for (int64_t j = 0; j < g / 2; j++) {
                dst[2 * j] = (float)((codes[j] >> 4) - 8) * s + z;
                dst[2 * j + 1] = (float)((codes[j] & 15) - 8) * s + z;
            }
        }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n;
    *offset = (size_t)(row * (k / 2));
    *length = (size_t)(k / 2);
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    long g;
    const char *rest;
    why[0] = 0;
    if (strncmp(name, "int4wo-", 7)) return false;
    if (!lb_name_numbers(name, "int4wo", 1, &g, &rest) || !lb_group_allowed(g) || (*rest && strcmp(rest, "-hqq"))) {
        snprintf(why, 64, "the group must be 32, 64, 128 or 256, then perhaps -hqq");
        return false;
    }
    *out = (lb_quantizer){ .k_multiple = g, .group = g, .bits = 4, .param = { g, *rest != 0 },
                           .family = &lb_quantizer_int4wo, .size_bytes = size_bytes,
                           .quantize = *rest ? quantize_hqq : quantize, .dequantize = dequantize,
                           .row_span = row_span };
    snprintf(out->name, sizeof out->name, "int4wo-%ld%s", g, rest);
    return true;
}

static const char *const members[] = { "int4wo-32", "int4wo-64", "int4wo-128", "int4wo-256",
                                       "int4wo-32-hqq", "int4wo-64-hqq", "int4wo-128-hqq", "int4wo-256-hqq", NULL };
const lb_quantizer_family lb_quantizer_int4wo = {
    .name = "int4wo",
    .about = "w = (q - 8) * s + z; q 4 bits, s = (max - min) / 15 and z = min + 8 s in bf16 per group along K. Zero is "
             "not exactly representable. -hqq: s and z by half-quadratic quantization, group by group.",
    .source = "torchao int4 weight-only (tinygemm; HQQ)",
    .members = members,
    .parse = parse,
};
