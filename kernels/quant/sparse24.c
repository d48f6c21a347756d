/* sparse24.c: 2:4 semi-structured sparsity: two of every four weights along K; 9 bits as bf16, 5 + 32/K as int8 or
 * e4m3. */
#include <math.h>

#include "sparse.h"

extern const lb_quantizer_family lb_quantizer_sparse24, lb_quantizer_sparse24_int8dq, lb_quantizer_sparse24_float8dq;

/* Planes, each at a multiple of 64 bytes: the kept values [N][K/2] in order; indices [N][K/8] bytes, two bits a kept
 * value (its place in its four), the first in the lowest bits; and f32 scales [N] where values are int8 or e4m3. The
 * two of largest magnitude are kept, of equals the first. */
typedef struct planes { size_t indices, scales, end; } planes;

static planes planes_of(const lb_quantizer *q, int64_t n, int64_t k) {
    int kind = (int)q->param[0];
    planes p = { .indices = lb_up64((size_t)(n * (k / 2) * lb_sparse_bytes(kind))) };
    p.scales = p.indices + (size_t)(n * (k / 8));
    p.end = kind == LB_SPARSE_BF16 ? p.scales : lb_up64(p.scales) + (size_t)n * 4;
    p.scales = lb_up64(p.scales);
    return p;
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) { return n && k ? planes_of(q, n, k).end : 0; }

/* The two places, lower first, of the largest magnitudes of four. */
LB_INLINE void largest_two(const float *x, int place[2]) {
    int rank[4] = { 0 }, found = 0; /* how many come before it */
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) rank[i] += j < i ? fabsf(x[j]) >= fabsf(x[i]) : fabsf(x[j]) > fabsf(x[i]);
    for (int i = 0; i < 4; i++)
        if (rank[i] < 2) place[found++] = i;
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    planes p = planes_of(q, n, k);
    int kind = (int)q->param[0], bytes = lb_sparse_bytes(kind);
    for (int64_t r = row0; r < row1; r++) {
        uint8_t *values = (uint8_t *)dst + r * (k / 2) * bytes,
                *indices = (uint8_t *)dst + p.indices + (size_t)(r * (k / 8));
        float amax = 0;
        for (int64_t i = 0; i < k; i++)
            amax = fabsf(lb_clean(src[r * k + i])) > amax ? fabsf(lb_clean(src[r * k + i])) : amax;
        float scale = lb_sparse_scale(kind, amax); /* the largest of the row is always kept */
        for (int64_t i = 0; i < k; i += 8, values += 4 * bytes) {
            float x[8];
            uint8_t byte = 0;
            lb_clean_copy(src + r * k + i, 8, x);
            for (int h = 0; h < 2; h++) {
                int place[2];
                largest_two(x + 4 * h, place);
                for (int j = 0; j < 2; j++) {
                    lb_sparse_put(kind, x[4 * h + place[j]], scale, values + (2 * h + j) * bytes);
                    byte |= (uint8_t)(place[j] << (4 * h + 2 * j));
                }
            }
            indices[i / 8] = byte;
        }
        if (kind != LB_SPARSE_BF16) ((float *)(void *)((char *)dst + p.scales))[r] = scale;
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    planes p = planes_of(q, n, k);
    int kind = (int)q->param[0], bytes = lb_sparse_bytes(kind);
    memset(dst, 0, (size_t)((row1 - row0) * k) * sizeof *dst);
    for (int64_t r = row0; r < row1; r++, dst += k) {
        const uint8_t *values = (const uint8_t *)src + r * (k / 2) * bytes;
        const uint8_t *indices = (const uint8_t *)src + p.indices + (size_t)(r * (k / 8));
        float scale = kind == LB_SPARSE_BF16 ? 1.0f : ((const float *)(const void *)((const char *)src + p.scales))[r];
        for (int64_t i = 0; i < k / 2; i++)
            dst[i / 2 * 4 + (indices[i / 4] >> i % 4 * 2 & 3)] = lb_sparse_get(kind, values + i * bytes, scale);
    }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)n;
    *length = (size_t)(k / 2 * lb_sparse_bytes((int)q->param[0]));
    *offset = (size_t)row * *length;
}

static bool make(const lb_quantizer_family *family, int kind, const char *name, lb_quantizer *out, char why[64]) {
    if (!lb_sparse_named(name, "sparse24", kind, why)) return false;
    *out = (lb_quantizer){ .k_multiple = 8, .group = 0, .bits = kind == LB_SPARSE_BF16 ? 9 : 5, .param = { kind },
                           .family = family, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span };
    snprintf(out->name, sizeof out->name, "sparse24%s", lb_sparse_suffix[kind]);
    return true;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_sparse24, LB_SPARSE_BF16, name, out, why);
}
static bool parse_int8dq(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_sparse24_int8dq, LB_SPARSE_INT8, name, out, why);
}
static bool parse_float8dq(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_sparse24_float8dq, LB_SPARSE_FLOAT8, name, out, why);
}

static const char *const members[] = { "sparse24", NULL };
static const char *const int8dq_members[] = { "sparse24-int8dq", NULL };
static const char *const float8dq_members[] = { "sparse24-float8dq", NULL };

const lb_quantizer_family lb_quantizer_sparse24 = {
    .name = "sparse24",
    .about = "Of every four weights along K the two of largest magnitude, and two bits each that say where; "
             "as bf16. Activations stay as they are.",
    .source = "torchao semi-structured sparsity (NVIDIA 2:4)",
    .members = members,
    .parse = parse,
};
const lb_quantizer_family lb_quantizer_sparse24_int8dq = {
    .name = "sparse24-int8dq",
    .about = "Of every four weights along K the two of largest magnitude, and two bits each that say where; "
             "by the rule of int8dq, a scale a row. Activations int8 with a scale a row, made at run time.",
    .source = "torchao semi-structured sparsity (NVIDIA 2:4)",
    .members = int8dq_members,
    .parse = parse_int8dq,
};
const lb_quantizer_family lb_quantizer_sparse24_float8dq = {
    .name = "sparse24-float8dq",
    .about = "Of every four weights along K the two of largest magnitude, and two bits each that say where; "
             "by the rule of float8dq-row, a scale a row. Activations e4m3 with a scale a row, made at run time.",
    .source = "torchao semi-structured sparsity (NVIDIA 2:4)",
    .members = float8dq_members,
    .parse = parse_float8dq,
};
