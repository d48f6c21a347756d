/* float8.c: 8-bit floats (e4m3) with f32 scales: one a row, one a matrix, or one per 128 x 128; weight-only, and as the
 * weights of the recipes that quantize activations too. */
#include <stdio.h>

#include "minifloat.h"

extern const lb_quantizer_family lb_quantizer_float8wo, lb_quantizer_float8dq_tensor, lb_quantizer_float8dq_row,
    lb_quantizer_float8dq_block;

/* Planes: codes [N][K], then from the next multiple of 64 bytes f32 scales [ceil(N / rows)][ceil(K / columns)], for
 * tiles of rows x columns: 1 x K, N x K or 128 x 128. s = amax of the tile / 448; q = e4m3(w / s), 0 where s is 0. */
enum { BY_ROW, BY_MATRIX, BY_BLOCK, TILE = 128 };

static int64_t tile_rows(const lb_quantizer *q, int64_t n) {
    return q->param[0] == BY_ROW ? 1 : q->param[0] == BY_BLOCK ? TILE : n > 0 ? n : 1;
}
static int64_t tile_columns(const lb_quantizer *q, int64_t k) { return q->param[0] == BY_BLOCK ? TILE : k > 0 ? k : 1; }
static int64_t tiles_across(const lb_quantizer *q, int64_t k) {
    return (k + tile_columns(q, k) - 1) / tile_columns(q, k);
}

static float *scales_of(const void *matrix, int64_t n, int64_t k) {
    return (float *)(uintptr_t)((const char *)matrix + lb_plane_at((size_t)n * (size_t)k));
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    size_t down = (size_t)((n + tile_rows(q, n) - 1) / tile_rows(q, n));
    return lb_plane_at((size_t)n * (size_t)k) + down * (size_t)tiles_across(q, k) * sizeof(float);
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n;
    *length = (size_t)k;
    *offset = (size_t)row * *length;
}

LB_INLINE float clean_amax(const float *x, int64_t n) {
    float amax = 0;
    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(lb_clean(x[i]));
        amax = a > amax ? a : amax;
    }
    return amax;
}

/* Codes of n weights with scale s. */
LB_INLINE void put_codes(const float *x, int64_t n, float s, uint8_t *codes) {
    float divisor = s > 0 ? s : 1.0f; /* s is 0 where all weights are, or so small that amax / 448 is */
    for (int64_t i = 0; i < n; i++) codes[i] = lb_mini_encode(LB_E4M3, lb_clean(x[i]) / divisor);
}

/* The amax of a row's part of a tile waits for settle() in the bytes of that part's first codes. */
LB_WIDE static void survey(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                           void *dst) {
    (void)n;
    int64_t columns = tile_columns(q, k);
    for (int64_t r = row0; r < row1; r++)
        for (int64_t i = 0; i < k; i += columns) {
            float amax = clean_amax(src + r * k + i, k - i < columns ? k - i : columns);
            memcpy((char *)dst + r * k + i, &amax, sizeof amax);
        }
}

static void settle(const lb_quantizer *q, int64_t n, int64_t k, void *dst) {
    int64_t rows = tile_rows(q, n), columns = tile_columns(q, k), across = tiles_across(q, k);
    float *scales = scales_of(dst, n, k);
    for (int64_t r0 = 0; r0 < n; r0 += rows)
        for (int64_t t = 0; t < across; t++) {
            float amax = 0;
            for (int64_t r = r0; r < n && r < r0 + rows; r++) {
                float a;
                memcpy(&a, (const char *)dst + r * k + t * columns, sizeof a);
                amax = a > amax ? a : amax;
            }
            scales[r0 / rows * across + t] = amax / 448.0f;
        }
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    int64_t rows = tile_rows(q, n), columns = tile_columns(q, k), across = tiles_across(q, k);
    float *scales = scales_of(dst, n, k);
    for (int64_t r = row0; r < row1; r++) {
        if (q->param[0] == BY_ROW && k > 0) scales[r] = clean_amax(src + r * k, k) / 448.0f;
        for (int64_t t = 0; t < across; t++) {
            int64_t i = t * columns;
            put_codes(src + r * k + i, k - i < columns ? k - i : columns, scales[r / rows * across + t],
                      (uint8_t *)dst + r * k + i);
        }
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    int64_t rows = tile_rows(q, n), columns = tile_columns(q, k), across = tiles_across(q, k);
    const float *scales = scales_of(src, n, k);
    for (int64_t r = row0; r < row1; r++, dst += k)
        for (int64_t t = 0; t < across; t++) {
            int64_t end = (t + 1) * columns < k ? (t + 1) * columns : k;
            float s = scales[r / rows * across + t];
            for (int64_t i = t * columns; i < end; i++)
                dst[i] = lb_mini_decode(LB_E4M3, ((const uint8_t *)src)[r * k + i]) * s;
        }
}

static bool make(const lb_quantizer_family *family, int by, const char *name, lb_quantizer *out, char why[64]) {
    why[0] = 0;
    bool known = false;
    for (const char *const *m = family->members; *m; m++) known |= !strcmp(name, *m);
    if (!known) return false;
    *out = (lb_quantizer){ .k_multiple = by == BY_BLOCK    ? TILE
                                         : by == BY_MATRIX ? 16
                                                           : 1,
                           .group = by == BY_BLOCK ? TILE : 0,
                           .bits = 8,
                           .param = { by },
                           .family = family,
                           .size_bytes = size_bytes,
                           .quantize = quantize,
                           .dequantize = dequantize,
                           .row_span = row_span };
    if (by != BY_ROW) out->survey = survey, out->settle = settle;
    snprintf(out->name, sizeof out->name, "%s", name);
    return true;
}

static bool parse_wo(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_float8wo, BY_ROW, name, out, why);
}
static bool parse_tensor(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_float8dq_tensor, BY_MATRIX, name, out, why);
}
static bool parse_row(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_float8dq_row, BY_ROW, name, out, why);
}
static bool parse_block(const char *name, lb_quantizer *out, char why[64]) {
    return make(&lb_quantizer_float8dq_block, BY_BLOCK, name, out, why);
}

static const char *const wo_members[] = { "float8wo", NULL };
static const char *const tensor_members[] = { "float8dq", "float8dq-tensor", NULL };
static const char *const row_members[] = { "float8dq-row", NULL };
static const char *const block_members[] = { "float8dq-block", NULL };

const lb_quantizer_family lb_quantizer_float8wo = {
    .name = "float8wo",
    .about = "w = q * s; q e4m3 [N][K], s = max|w| / 448 of the row, f32 [N]. Activations stay as they are.",
    .source = "torchao Float8WeightOnlyConfig",
    .members = wo_members,
    .parse = parse_wo,
};
const lb_quantizer_family lb_quantizer_float8dq_tensor = {
    .name = "float8dq-tensor",
    .about = "w = q * s; q e4m3 [N][K], s = max|w| / 448 of the matrix, f32. Activations e4m3 with one scale for all "
             "rows, made at run time. float8dq is the same.",
    .source = "torchao Float8DynamicActivationFloat8WeightConfig, PerTensor",
    .members = tensor_members,
    .parse = parse_tensor,
};
const lb_quantizer_family lb_quantizer_float8dq_row = {
    .name = "float8dq-row",
    .about = "w = q * s; q e4m3 [N][K], s = max|w| / 448 of the row, f32 [N]. Activations e4m3 with a scale a row, "
             "made at run time.",
    .source = "torchao Float8DynamicActivationFloat8WeightConfig, PerRow",
    .members = row_members,
    .parse = parse_row,
};
const lb_quantizer_family lb_quantizer_float8dq_block = {
    .name = "float8dq-block",
    .about = "w = q * s; q e4m3 [N][K], s = max|w| / 448 per 128 x 128, f32 [ceil(N/128)][K/128]. Activations e4m3 "
             "with a scale per 128 of a row, made at run time.",
    .source = "torchao Float8DynamicActivationFloat8WeightConfig, PerBlock; DeepSeek-V3's layout",
    .members = block_members,
    .parse = parse_block,
};
