/* block_sparse.c: half of the 64 x 64 blocks of every 64 rows; 8 bits as bf16, 4 + 32/K as int8 or e4m3. */
#include <math.h>

#include "sparse.h"

extern const lb_quantizer_family lb_quantizer_block_sparse, lb_quantizer_block_sparse_int8dq;
extern const lb_quantizer_family lb_quantizer_block_sparse_float8dq;

/* Planes, each at a multiple of 64 bytes: the values of the kept blocks, row by row of W: [N][kept][64], kept = half of
 * K / 64, rounded up; i32 columns of the kept blocks, in order, [ceil(N/64)][kept]; and f32 scales [N] where values are
 * int8 or e4m3. Of every 64 rows (the last may be fewer) the blocks of largest sum of squares are kept, of equals the
 * first. As each 64 rows keep as many, a row pointer is not needed. */
enum { BLOCK = 64 };
typedef struct planes { size_t columns, scales, end; int64_t blocks, kept; int kind, bytes; } planes;

static planes planes_of(const lb_quantizer *q, int64_t n, int64_t k) {
    planes p = { .kind = (int)q->param[0], .blocks = k / BLOCK };
    p.kept = (p.blocks + 1) / 2;
    p.bytes = lb_sparse_bytes(p.kind);
    p.columns = lb_up64((size_t)(n * p.kept * BLOCK * p.bytes));
    p.end = p.columns + (size_t)((n + BLOCK - 1) / BLOCK * p.kept) * 4;
    p.scales = lb_up64(p.end);
    if (p.kind != LB_SPARSE_BF16) p.end = p.scales + (size_t)n * 4;
    return p;
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) { return n && k ? planes_of(q, n, k).end : 0; }

static uint8_t *values_of(const planes *p, const void *matrix, int64_t row) {
    return (uint8_t *)(uintptr_t)matrix + (size_t)(row * p->kept * BLOCK * p->bytes);
}
static int32_t *columns_of(const planes *p, const void *matrix, int64_t row) {
    return (int32_t *)(void *)((uint8_t *)(uintptr_t)matrix + p->columns) + row / BLOCK * p->kept;
}

/* A row's sums of squares, one a block, wait for settle() where its values will be. */
static void survey(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    planes p = planes_of(q, n, k);
    for (int64_t r = row0; r < row1; r++)
        for (int64_t b = 0; b < p.blocks; b++) {
            double squares = 0;
            for (int64_t i = 0; i < BLOCK; i++) {
                double w = (double)lb_clean(src[r * k + b * BLOCK + i]);
                squares += w * w;
            }
            float sum = (float)squares;
            memcpy(values_of(&p, dst, r) + 4 * b, &sum, 4);
        }
}

/* Sum of squares of block b of the rows from r0 on. */
static double weight_of(const planes *p, const void *dst, int64_t r0, int64_t n, int64_t b) {
    double sum = 0;
    for (int64_t r = r0; r < n && r < r0 + BLOCK; r++) {
        float f;
        memcpy(&f, values_of(p, dst, r) + 4 * b, 4);
        sum += (double)f;
    }
    return sum;
}

static void settle(const lb_quantizer *q, int64_t n, int64_t k, void *dst) {
    planes p = planes_of(q, n, k);
    for (int64_t r0 = 0; r0 < n; r0 += BLOCK) {
        int32_t *columns = columns_of(&p, dst, r0);
        int64_t taken = 0;
        for (int64_t b = 0; b < p.blocks; b++) {
            double own = weight_of(&p, dst, r0, n, b);
            int64_t before = 0; /* blocks that come first */
            for (int64_t o = 0; o < p.blocks && before < p.kept; o++) {
                double other = weight_of(&p, dst, r0, n, o);
                before += other > own || (other == own && o < b);
            }
            if (before < p.kept) columns[taken++] = (int32_t)b;
        }
    }
}

static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst) {
    planes p = planes_of(q, n, k);
    for (int64_t r = row0; r < row1; r++) {
        const int32_t *columns = columns_of(&p, dst, r);
        uint8_t *values = values_of(&p, dst, r);
        float amax = 0;
        for (int64_t b = 0; b < p.kept; b++)
            for (int64_t i = 0; i < BLOCK; i++) {
                float a = fabsf(lb_clean(src[r * k + columns[b] * BLOCK + i]));
                amax = a > amax ? a : amax;
            }
        float scale = lb_sparse_scale(p.kind, amax);
        for (int64_t b = 0; b < p.kept; b++)
            for (int64_t i = 0; i < BLOCK; i++, values += p.bytes)
                lb_sparse_put(p.kind, lb_clean(src[r * k + columns[b] * BLOCK + i]), scale, values);
        if (p.kind != LB_SPARSE_BF16) ((float *)(void *)((char *)dst + p.scales))[r] = scale;
    }
}

static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                       float *dst) {
    planes p = planes_of(q, n, k);
    memset(dst, 0, (size_t)((row1 - row0) * k) * sizeof *dst);
    for (int64_t r = row0; r < row1; r++, dst += k) {
        const int32_t *columns = columns_of(&p, src, r);
        const uint8_t *values = values_of(&p, src, r);
        const float *scales = (const float *)(const void *)((const char *)src + p.scales);
        float scale = p.kind == LB_SPARSE_BF16 ? 1.0f : scales[r];
        for (int64_t b = 0; b < p.kept; b++)
            for (int64_t i = 0; i < BLOCK; i++, values += p.bytes)
                dst[columns[b] * BLOCK + i] = lb_sparse_get(p.kind, values, scale);
    }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    planes p = planes_of(q, n, k);
    *length = (size_t)(p.kept * BLOCK * p.bytes);
    *offset = (size_t)row * *length;
}

static bool make(const lb_quantizer_family *family, int kind, const char *name, lb_quantizer *out, char why[64]) {
    if (!lb_sparse_named(name, "block-sparse", kind, why)) return false;
    *out = (lb_quantizer){ .k_multiple = BLOCK, .group = BLOCK, .bits = kind == LB_SPARSE_BF16 ? 8 : 4,
                           .param = { kind }, .family = family, .size_bytes = size_bytes, .quantize = quantize,
                           .survey = survey, .settle = settle, .dequantize = dequantize, .row_span = row_span };
    snprintf(out->name, sizeof out->name, "block-sparse%s", lb_sparse_suffix[kind]);
    return true;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_block_sparse, LB_SPARSE_BF16, name, out, why);
}
static bool parse_int8dq(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_block_sparse_int8dq, LB_SPARSE_INT8, name, out, why);
}
static bool parse_float8dq(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_block_sparse_float8dq, LB_SPARSE_FLOAT8, name, out, why);
}

static const char *const members[] = { "block-sparse", NULL };
static const char *const int8dq_members[] = { "block-sparse-int8dq", NULL };
static const char *const float8dq_members[] = { "block-sparse-float8dq", NULL };

const lb_quantizer_family lb_quantizer_block_sparse = {
    .name = "block-sparse",
    .about = "Of the 64 x 64 blocks of every 64 rows the half of largest sum of squares; "
             "as bf16. Activations stay as they are.",
    .source = "torchao block sparsity (BSR, blocks of 64); the half kept is ours",
    .members = members,
    .parse = parse,
};
const lb_quantizer_family lb_quantizer_block_sparse_int8dq = {
    .name = "block-sparse-int8dq",
    .about = "Of the 64 x 64 blocks of every 64 rows the half of largest sum of squares; "
             "by the rule of int8dq, a scale a row. Activations int8 with a scale a row, made at run time.",
    .source = "torchao block sparsity (BSR, blocks of 64); the half kept is ours",
    .members = int8dq_members,
    .parse = parse_int8dq,
};
const lb_quantizer_family lb_quantizer_block_sparse_float8dq = {
    .name = "block-sparse-float8dq",
    .about = "Of the 64 x 64 blocks of every 64 rows the half of largest sum of squares; "
             "by the rule of float8dq-row, a scale a row. Activations e4m3 with a scale a row, made at run time.",
    .source = "torchao block sparsity (BSR, blocks of 64); the half kept is ours",
    .members = float8dq_members,
    .parse = parse_float8dq,
};
