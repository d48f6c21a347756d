/* op_cases.h: shapes and contents with which test_ops.c tries each operation. To test a new operation: a function here
 * and a line in op_cases[]. */
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernel.h"
#include "engine/ops/kv.h"
#include "engine/ops/recipes.h"
#include "tests/c/cpu_device.h"

/* What floats hold: ordinary values; among them NaN, Inf; subnormals only; zeros; large ones. */
typedef enum fill_kind { FILL_PLAIN, FILL_NAN, FILL_INF, FILL_SMALL, FILL_ZERO, FILL_LARGE, FILL_KINDS } fill_kind;

static uint64_t state_ = 0x2545f4914f6cdd1du;
static uint32_t next_u32(void) {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return (uint32_t)(state_ >> 32);
}
static float next_value(void) { return ((float)(next_u32() >> 8) * 0x1p-24f - 0.5f) * 4.0f; }

static float value_of(fill_kind kind, int64_t i) {
    float v = next_value();
    switch (kind) {
    case FILL_NAN: return i % 37 == 5 ? NAN : v;
    case FILL_INF: return i % 41 == 7 ? INFINITY : i % 43 == 9 ? -INFINITY : v;
    case FILL_SMALL: return v * 1e-40f;
    case FILL_ZERO: return 0;
    case FILL_LARGE: return v * 1e4f;
    default: return v;
    }
}

/* A tensor with 64 canary bytes before and behind it. */
enum { GUARD = 64, CANARY = 0xa7 };
static lb_tensor *guarded(lb_dtype t, int rank, const int64_t *dims) {
    lb_tensor *probe = NULL, *out = NULL;
    lb_buffer *b = NULL;
    if (lb_tensor_new(device, t, NULL, rank, dims, &probe)) fail_msg("%s", lb_error());
    size_t bytes = lb_tensor_size_bytes(probe);
    lb_tensor_release(probe);
    if (lb_buffer_new(device, bytes + 2 * GUARD, &b)) fail_msg("%s", lb_error());
    memset(b->data, CANARY, bytes + 2 * GUARD);
    if (lb_tensor_wrap(b, GUARD, t, NULL, rank, dims, &out)) fail_msg("%s", lb_error());
    lb_buffer_release(b);
    memset(lb_tensor_data(out), 0, bytes);
    return out;
}

#define DIMS(...) (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (int64_t[]){ __VA_ARGS__ }

static lb_tensor *floats(fill_kind kind, int rank, const int64_t *dims) {
    lb_tensor *t = guarded(LB_F32, rank, dims);
    for (int64_t i = 0, n = lb_tensor_numel(t); i < n; i++) ((float *)lb_tensor_data(t))[i] = value_of(kind, i);
    return t;
}
static lb_tensor *ints(const int32_t *values, int64_t n) {
    lb_tensor *t = guarded(LB_I32, 1, &n);
    for (int64_t i = 0; i < n && values; i++) ((int32_t *)lb_tensor_data(t))[i] = values[i];
    return t;
}
#define INTS(...) ints((int32_t[]){ __VA_ARGS__ }, (int64_t)(sizeof((int32_t[]){ __VA_ARGS__ }) / 4))

static void set(lb_args *a, const char *name, lb_tensor *t) {
    int slot = lb_op_operand(a->op, name);
    if (slot < 0) fail_msg("%s has no operand %s", a->op->name, name);
    lb_tensor **items = malloc(sizeof *items);
    assert_non_null(items);
    items[0] = t;
    a->t[slot] = (lb_operand){ .items = items, .count = 1 };
}
static void add_item(lb_args *a, const char *name, lb_tensor *t) {
    lb_operand *o = &a->t[lb_op_operand(a->op, name)];
    o->items = realloc(o->items, (size_t)(o->count + 1) * sizeof *o->items);
    assert_non_null(o->items);
    o->items[o->count++] = t;
}
static void param(lb_args *a, const char *name, double v) {
    int i = lb_op_param(a->op, name);
    if (i < 0) fail_msg("%s has no parameter %s", a->op->name, name);
    a->p[i] = v;
}

/* Rows with a gap behind each, where `strided`. */
static lb_tensor *rows_of(fill_kind kind, bool strided, int64_t rows, int64_t k) {
    if (!strided) return floats(kind, DIMS(rows, k));
    lb_tensor *wide = floats(FILL_PLAIN, DIMS(rows, k + 5)), *view = NULL;
    if (lb_tensor_slice(wide, 1, 2, 2 + k, &view)) fail_msg("%s", lb_error());
    for (int64_t i = 0; i < rows * k; i++) lb_row_f32(view, i / k)[i % k] = value_of(kind, i);
    lb_tensor_release(wide);
    return view;
}

static lb_tensor *quantized(lb_tensor *t, const char *recipe) {
    const lb_quantizer *q;
    lb_tensor *out = NULL;
    if (lb_quantizer_find(recipe, &q) || lb_tensor_quantize(t, q, NULL, NULL, &out)) fail_msg("%s", lb_error());
    lb_tensor_release(t);
    return out;
}
static lb_tensor *converted(lb_tensor *t, lb_dtype dtype) {
    lb_tensor *out = NULL;
    if (lb_tensor_to_dtype(t, dtype, &out)) fail_msg("%s", lb_error());
    lb_tensor_release(t);
    return out;
}

/* ---- rows: every tail, empty and one element, one long row, views; each with every kind of contents ---- */

static const int64_t row_shapes[][2] = { { 3, 67 },  { 1, 1 },    { 0, 5 },   { 2, 16 },  { 1, 4097 }, { 5, 31 },
                                         { 17, 64 }, { 2, 2048 }, { 3, 33 }, { 1, 15 } };
enum { ROW_SHAPES = sizeof row_shapes / sizeof *row_shapes };
#define ROWS row_shapes[(i / FILL_KINDS) % ROW_SHAPES][0]
#define COLS row_shapes[(i / FILL_KINDS) % ROW_SHAPES][1]
#define KIND ((fill_kind)(i % FILL_KINDS))
#define STRIDED (i / FILL_KINDS % 2 == 0)
enum { ROW_CASES = ROW_SHAPES * FILL_KINDS };

static bool case_rms_norm(int i, lb_args *a) {
    if (i >= ROW_CASES) return false;
    set(a, "x", rows_of(KIND, STRIDED, ROWS, COLS));
    if (i % 4) set(a, "weight", floats(FILL_PLAIN, DIMS(COLS)));
    param(a, "eps", i % 3 ? 1e-5 : 1e-6);
    return true;
}
static bool case_add_rms_norm(int i, lb_args *a) {
    if (i >= ROW_CASES) return false;
    set(a, "x", rows_of(KIND, STRIDED, ROWS, COLS));
    set(a, "h", rows_of(FILL_PLAIN, i % 5 == 0, ROWS, COLS));
    if (i % 4) set(a, "weight", floats(FILL_PLAIN, DIMS(COLS)));
    return true;
}
static bool case_rms_norm_quantize(int i, lb_args *a) {
    if (i >= ROW_CASES) return false;
    set(a, "x", rows_of(KIND, STRIDED, ROWS, COLS));
    if (i % 4) set(a, "weight", floats(FILL_PLAIN, DIMS(COLS)));
    return true;
}
static bool case_layer_norm(int i, lb_args *a) {
    if (i >= ROW_CASES) return false;
    set(a, "x", rows_of(KIND, STRIDED, ROWS, COLS));
    if (i % 4) set(a, "weight", floats(FILL_PLAIN, DIMS(COLS)));
    if (i % 3) set(a, "bias", floats(FILL_PLAIN, DIMS(COLS)));
    return true;
}
static bool case_softmax(int i, lb_args *a) {
    if (i >= ROW_CASES + 1) return false;
    if (i == ROW_CASES) { /* masked scores weigh nothing at all; one is left */
        lb_tensor *x = floats(FILL_PLAIN, DIMS(1, 40));
        for (int j = 0; j < 40; j++) ((float *)lb_tensor_data(x))[j] = j == 9 ? 3.0f : -INFINITY;
        set(a, "x", x);
        return true;
    }
    set(a, "x", rows_of(KIND, STRIDED, ROWS, COLS));
    param(a, "scale", KIND == FILL_LARGE ? 1e-3 : i % 2 ? 1 : 0.25);
    return true;
}
static bool case_activation(int i, lb_args *a) {
    if (i >= ROW_CASES * LB_ACTIVATION_COUNT) return false;
    param(a, "kind", i / ROW_CASES);
    i %= ROW_CASES;
    set(a, "x", floats(KIND, DIMS(ROWS, COLS)));
    if (KIND == FILL_PLAIN) /* the tails of the functions */
        for (int64_t j = 0; j < ROWS * COLS; j++) ((float *)lb_tensor_data(lb_arg(a, 0)))[j] *= (float)(j % 11);
    return true;
}
/* silu(-inf) is 0 in the limit and NaN by the formula: both are found. */
static bool case_swiglu(int i, lb_args *a) {
    if (i >= ROW_CASES) return false;
    set(a, "gate", rows_of(KIND == FILL_INF ? FILL_PLAIN : KIND, STRIDED, ROWS, COLS));
    set(a, "up", rows_of(FILL_PLAIN, i % 5 == 0, ROWS, COLS));
    return true;
}
static bool case_swiglu_clamped(int i, lb_args *a) {
    if (i >= ROW_CASES) return false;
    set(a, "gate", rows_of(KIND, STRIDED, ROWS, COLS));
    set(a, "up", rows_of(i % 2 ? FILL_LARGE : FILL_PLAIN, i % 5 == 0, ROWS, COLS));
    return true;
}
static bool case_add(int i, lb_args *a) {
    if (i >= ROW_CASES) return false;
    set(a, "a", rows_of(KIND, STRIDED, ROWS, COLS));
    if (i % 3 == 0) set(a, "b", floats(FILL_PLAIN, DIMS(COLS)));
    else set(a, "b", rows_of(FILL_PLAIN, i % 5 == 0, ROWS, COLS));
    return true;
}
static bool case_residual(int i, lb_args *a) {
    if (i >= ROW_CASES) return false;
    set(a, "x", rows_of(KIND, STRIDED, ROWS, COLS));
    set(a, "y", rows_of(FILL_PLAIN, i % 5 == 0, ROWS, COLS));
    param(a, "scale", i % 2 ? 1 : -0.37);
    return true;
}
static bool case_copy(int i, lb_args *a) {
    if (i >= ROW_CASES + 1) return false;
    if (i == ROW_CASES) set(a, "x", floats(FILL_PLAIN, DIMS(2100003))); /* long enough for stores past the caches */
    else set(a, "x", floats(KIND, DIMS(ROWS, COLS)));
    return true;
}
static bool case_convert(int i, lb_args *a) {
    static const lb_dtype types[] = { LB_F32, LB_F16, LB_BF16, LB_F8E4M3 };
    if (i >= ROW_CASES * 16) return false;
    param(a, "to", i / ROW_CASES % 4);
    lb_dtype from = types[i / ROW_CASES / 4];
    i %= ROW_CASES;
    set(a, "x", converted(floats(KIND, DIMS(ROWS, COLS)), from));
    return true;
}
/* Rows that searches could stumble over: constant, one weight alone, huge, subnormal, equal sizes of both signs, minus
 * zeros, NaN. */
static void odd_rows(float *x, int64_t rows, int64_t k) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < k; j++) {
            float *v = x + r * k + j;
            switch (r % 9) {
            case 1: *v = -0.37f; break;
            case 2: *v = j % 32 == 9 ? 3.0f : 0.0f; break;
            case 3: *v *= 1e30f; break;
            case 4: *v *= 3e-39f; break;
            case 5: *v = j % 3 ? 1.5f : -1.5f; break;
            case 6: *v = j % 5 ? -0.0f : *v; break;
            case 7: *v = j % 256 < 32 ? NAN : *v; break;
            case 8: *v *= j % 64 < 32 ? 1e-12f : 1e8f; break;
            default: break;
            }
        }
}
static bool case_quantize(int i, lb_args *a) {
    static const int64_t shapes[][2] = { { 3, 256 }, { 1, 512 }, { 0, 256 }, { 37, 768 }, { 5, 8192 } };
    if (i >= LB_QUANTIZE_COUNT * FILL_KINDS * 5) return false;
    const int64_t *d = shapes[i / LB_QUANTIZE_COUNT / FILL_KINDS];
    int to = i % LB_QUANTIZE_COUNT, kind = i / LB_QUANTIZE_COUNT % FILL_KINDS;
    int64_t rows = d[0], k = d[1];
    if (to > LB_QUANTIZE_FLOAT8WO && rows > 3) { /* hundreds of operations a weight */
        rows = k == 768 ? 9 : 1, k = k == 768 ? 512 : 256;
        if (to >= LB_QUANTIZE_INT4WO_HQQ) k = 256;
    }
    lb_tensor *x = floats((fill_kind)kind, DIMS(rows, k));
    for (int64_t j = 0; j < rows * k; j += 7) ((float *)lb_tensor_data(x))[j] *= j % 3 ? 0.01f : -1.0f;
    if (d[0] == 3) /* ties: halves, and equal sizes of both signs */
        for (int64_t j = 0; j < 3 * k; j++)
            ((float *)lb_tensor_data(x))[j] = rintf(((float *)lb_tensor_data(x))[j] * 8) / 8;
    if (d[0] == 37 && kind == FILL_PLAIN) odd_rows(lb_tensor_data(x), rows, k);
    set(a, "x", x);
    param(a, "to", to);
    return true;
}
static bool case_read_strided(int i, lb_args *a) {
    static const int strides[] = { 1, 16, 3, 1000, 1024, 5000 };
    if (i >= ROW_SHAPES * 6) return false;
    set(a, "x", floats(FILL_PLAIN, DIMS(row_shapes[i / 6][0], row_shapes[i / 6][1])));
    param(a, "stride", strides[i % 6]);
    return true;
}
static bool case_read_reuse(int i, lb_args *a) {
    if (i >= ROW_SHAPES * 2) return false;
    set(a, "x", floats(FILL_PLAIN, DIMS(row_shapes[i / 2][0], row_shapes[i / 2][1])));
    param(a, "block", i % 2 ? 100 : 4096);
    param(a, "times", i % 2 ? 3 : 1);
    return true;
}

/* ---- tables ---- */

static bool case_embedding(int i, lb_args *a) {
    static const char *const formats[] = { "f32", "f16", "bf16", "f64", "q4_0", "q8_0", "q4_k", "q6_k", "int8wo",
                                           "uniform-3" };
    if (i >= 30) return false;
    const char *f = formats[i % 10];
    int64_t k = i % 10 < 4 ? (i < 10 ? 67 : 1) : 256;
    lb_tensor *table = floats(FILL_PLAIN, DIMS(9, k));
    lb_dtype t = lb_dtype_parse(f);
    set(a, "table", t == LB_DTYPE_COUNT ? quantized(table, f) : converted(table, t));
    set(a, "ids", i < 20 ? INTS(8, 0, 3, 3, -1, 9, 5) : ints(NULL, 0));
    param(a, "scale", i % 2 ? 1 : 3.5);
    return true;
}
static bool case_gather(int i, lb_args *a) {
    static const int64_t k[] = { 1, 67, 128 };
    if (i >= 6 * FILL_KINDS) return false;
    set(a, "x", floats((fill_kind)(i / 6), DIMS(5, k[i % 3])));
    set(a, "ids", i % 6 < 3 ? INTS(4, 0, -7, 2, 2, 5) : ints(NULL, 0));
    return true;
}
static bool case_scatter(int i, lb_args *a) {
    static const int64_t k[] = { 1, 67, 128 };
    if (i >= 6 * FILL_KINDS) return false;
    set(a, "x", floats((fill_kind)(i / 6), DIMS(i % 6 < 3 ? 6 : 0, k[i % 3])));
    set(a, "ids", i % 6 < 3 ? INTS(4, 0, -7, 2, 2, 5) : ints(NULL, 0));
    set(a, "out", floats(FILL_PLAIN, DIMS(5, k[i % 3])));
    return true;
}

/* ---- heads ---- */

/* [T, H, D] within a wider row, as a part of a QKV product lies. */
static lb_tensor *heads_of(fill_kind kind, bool strided, int64_t t, int64_t h, int64_t d) {
    if (!strided) return floats(kind, DIMS(t, h, d));
    lb_tensor *wide = floats(FILL_PLAIN, DIMS(t, h + 3, d)), *view = NULL;
    if (lb_tensor_slice(wide, 1, 1, 1 + h, &view)) fail_msg("%s", lb_error());
    for (int64_t i = 0; i < t * h * d; i++) lb_row_f32(view, i / d)[i % d] = value_of(kind, i);
    lb_tensor_release(wide);
    return view;
}

/* Rows of whole 16 bytes, as libraries want them: each type with and without a bias, with each function; then what is
 * not plain; then one row, which of several matrices is written in pieces; then a bias at an address of 4 bytes. */
enum { WHOLE_PLAIN = 4 * 2 * LB_ACTIVATION_COUNT, WHOLE_KINDS = WHOLE_PLAIN + 4 * 2 * FILL_KINDS,
       WHOLE_ROW = WHOLE_KINDS + 2 * 4, WHOLE_CASES = WHOLE_ROW + 4 };
static void whole_linear(int i, lb_args *a) {
    static const lb_dtype types[] = { LB_F32, LB_F16, LB_BF16, LB_BF16 };
    static const int64_t n[] = { 36, 8, 20 };
    bool kinds = i >= WHOLE_PLAIN && i < WHOLE_KINDS;
    int64_t k = i % 4 == 3 ? 128 : 40, total = 0, rows = i >= WHOLE_KINDS && i < WHOLE_ROW ? 1 : i % 2 ? 3 : 17;
    fill_kind kind = kinds ? (fill_kind)((i - WHOLE_PLAIN) / 8) : FILL_PLAIN;
    int with = i < WHOLE_PLAIN ? i / 8 : kinds && i / 4 % 2 ? LB_ACTIVATION_RELU : LB_ACTIVATION_NONE;
    set(a, "x", floats(kind, DIMS(rows, k)));
    for (int j = 0; j < (i % 4 == 3 ? 1 : 3); j++) {
        add_item(a, "w", converted(floats(FILL_PLAIN, DIMS(n[j], k)), types[i % 4]));
        total += n[j];
    }
    if (i >= WHOLE_ROW) {
        lb_tensor *wide = floats(FILL_PLAIN, DIMS(total + 1)), *bias = NULL;
        if (lb_tensor_slice(wide, 0, 1, 1 + total, &bias)) fail_msg("%s", lb_error());
        lb_tensor_release(wide);
        set(a, "bias", bias);
    } else if (kind >= FILL_SMALL || i / 4 % 2) { /* small ones alone would be nothing in f16 */
        set(a, "bias", floats(FILL_PLAIN, DIMS(total)));
    }
    param(a, "activation", with);
}

static bool case_linear(int i, lb_args *a) {
    static const char *const formats[][3] = { { "f32", NULL, NULL }, { "q4_0", "q8_0", "q4_0" },
                                              { "bf16", "q8_0", NULL },
                                              { "f16", "f64", "f32" }, { "int8wo", NULL, NULL } };
    static const char *const blocks[][3] = { { "q4_0", "q4_k", NULL }, { "q5_k", "q8_0", "q6_k" } };
    static const char *const dense[][3] = { { "f32", "f32", "f32" }, { "f16", "f16", NULL }, { "bf16", "bf16", "bf16" },
                                            { "f16", NULL, NULL }, { "bf16", NULL, NULL } };
    static const int64_t tokens[] = { 1, 5, 0, 67, 300 };
    enum { MIXED = 5 * 5 * 3, BLOCKS = MIXED + 4, DENSE = BLOCKS + 5 * 5, KINDS = DENSE + 2 * FILL_KINDS,
           WHOLE = KINDS + WHOLE_CASES };
    if (i == WHOLE) { /* one of everything */
        set(a, "x", floats(FILL_PLAIN, DIMS(1, 1)));
        add_item(a, "w", floats(FILL_PLAIN, DIMS(1, 1)));
        param(a, "activation", LB_ACTIVATION_NONE);
        return true;
    }
    if (i > WHOLE) return false;
    if (i >= KINDS) return whole_linear(i - KINDS, a), true;
    const char *const *f = i < MIXED ? formats[i % 5] : i < BLOCKS ? blocks[i % 2] : dense[i < DENSE ? i % 5 : i % 2];
    int64_t rows = i < MIXED ? tokens[i / 5 % 5] : i < BLOCKS ? (int64_t[]){ 1, 5, 67, 300 }[i - MIXED]
                 : i < DENSE ? tokens[(i - BLOCKS) / 5] : 5;
    int64_t k = i >= BLOCKS ? 67 : i >= MIXED ? 2304 + 256 * (i % 3) : i % 5 == 0 && i < 25 ? 67 : 96, total = 0;
    set(a, "x", floats(i < DENSE ? FILL_PLAIN : (fill_kind)((i - DENSE) / 2), DIMS(rows, k)));
    for (int j = 0; j < 3 && f[j]; j++) {
        int64_t n = j == 0 ? 70 : j == 1 ? 33 : 16;
        lb_dtype t = lb_dtype_parse(f[j]);
        lb_tensor *w = floats(FILL_PLAIN, DIMS(n, k));
        add_item(a, "w", t == LB_DTYPE_COUNT ? quantized(w, f[j]) : converted(w, t));
        total += n;
    }
    if (i % 2) set(a, "bias", floats(FILL_PLAIN, DIMS(total)));
    param(a, "activation", i < DENSE ? i / 5 * 2 % LB_ACTIVATION_COUNT : LB_ACTIVATION_NONE);
    return true;
}

static bool case_rope(int i, lb_args *a) {
    static const int64_t d[] = { 64, 128, 2, 70, 16, 300 };
    if (i >= 6 * 8 + FILL_KINDS) return false;
    int64_t dim = d[i % 6], n = i % 4 == 1 ? dim / 4 : dim / 2, tokens = i / 6 == 7 ? 0 : i / 6 == 6 ? 1 : 5;
    set(a, "x", heads_of(i < 6 * 8 ? FILL_PLAIN : (fill_kind)(i - 6 * 8), i % 2, tokens, i / 6 == 6 ? 7 : 3, dim));
    set(a, "positions", tokens == 5 ? INTS(0, 1, 4095, 131071, 77) : tokens ? INTS(12345) : ints(NULL, 0));
    lb_tensor *f = floats(FILL_PLAIN, DIMS(n));
    for (int64_t j = 0; j < n; j++) ((float *)lb_tensor_data(f))[j] = (float)pow(10000, -(double)j / (double)n);
    set(a, "frequencies", f);
    param(a, "interleaved", i / 6 % 2);
    param(a, "scale", i % 3 ? 1 : 1.25);
    return true;
}
static bool case_head_gemm(int i, lb_args *a) {
    static const char *const formats[] = { "f32", "f16", "bf16", "q4_0", "q8_0", "q4_k" };
    if (i == 24 + FILL_KINDS) {
        set(a, "x", floats(FILL_PLAIN, DIMS(1, 1, 1)));
        set(a, "w", floats(FILL_PLAIN, DIMS(1, 1, 1)));
        return true;
    }
    if (i > 24 + FILL_KINDS) return false;
    const char *f = formats[i < 24 ? i % 6 : i % 2];
    lb_dtype t = lb_dtype_parse(f);
    int64_t k = t == LB_DTYPE_COUNT ? 256 : i < 12 ? 67 : 128, n = i < 12 ? 37 : 64, tokens = i / 6 == 3 ? 0
            : i / 6 == 2 ? 1 : 5;
    set(a, "x", heads_of(i < 24 ? FILL_PLAIN : (fill_kind)(i - 24), i % 2, tokens, 3, k));
    lb_tensor *w = floats(FILL_PLAIN, DIMS(3, n, k));
    set(a, "w", t == LB_DTYPE_COUNT ? quantized(w, f) : converted(w, t));
    if (i % 3 == 0) set(a, "out", heads_of(FILL_PLAIN, true, tokens, 3, n));
    return true;
}

#include "op_cases_cache.h"

/* ---- others ---- */

static bool case_sample(int i, lb_args *a) {
    static const double settings[][4] = { /* temperature, top_k, top_p, min_p */
        { 0, 0, 1, 0 }, { 1, 0, 1, 0 }, { 0.7, 40, 1, 0 }, { 1, 0, 0.9, 0 }, { 1.3, 50, 0.8, 0.02 }, { 1, 1, 1, 0 },
        { 2, 0, 1, 0.1 }, { 0.01, 0, 0.99, 0 }, { 1, 100000, 1e-9, 0 } };
    static const int64_t v[] = { 1, 2, 67, 1000, 32003 };
    if (i > 9 * 5 * 2) return false;
    const double *s = settings[i % 9];
    int64_t rows = i == 9 * 5 * 2 ? 0 : i % 5 ? 4 : 1;
    lb_tensor *x = rows_of(i >= 45 ? FILL_NAN : FILL_PLAIN, i % 2, rows, v[i / 9 % 5]);
    for (int64_t r = 0; r < lb_row_count(x); r++)
        for (int64_t k = 0; k < lb_row_length(x); k++) lb_row_f32(x, r)[k] *= i % 3 ? 1 : 5;
    set(a, "logits", x);
    lb_tensor *counts = ints(NULL, lb_row_count(x));
    for (int64_t k = 0; k < lb_row_count(x); k++) ((int32_t *)lb_tensor_data(counts))[k] = (int32_t)(k * 1000 + i);
    set(a, "state", counts);
    param(a, "temperature", s[0]), param(a, "top_k", s[1]), param(a, "top_p", s[2]), param(a, "min_p", s[3]);
    param(a, "seed", 1234567);
    return true;
}

static bool case_gemm_stored(int i, lb_args *a) {
    static const char *const formats[] = { "float8dq-tensor", "float8dq-row", "int8dq", "q8_0" };
    if (i >= 20) return false;
    int64_t k = i < 8 ? 64 : 160, n = i < 4 ? 37 : i < 16 ? 48 : 1;
    int64_t m = i < 4 ? 5 : i < 8 ? 1 : i < 12 ? 18 : i < 16 ? 0 : 3;
    set(a, "x", quantized(floats(FILL_PLAIN, DIMS(m, k)), formats[i % 4]));
    set(a, "w", quantized(floats(FILL_PLAIN, DIMS(n, k)), formats[i % 4 == 3 && i > 4 ? 2 : i % 4]));
    return true;
}

static bool case_axpy(int i, lb_args *a) {
    if (i >= 4 * FILL_KINDS) return false;
    int64_t n = (int64_t[]){ 1003, 1, 0, 64 }[i % 4];
    set(a, "x", floats((fill_kind)(i / 4), DIMS(n)));
    set(a, "scale", floats(FILL_PLAIN, DIMS(5)));
    set(a, "y", floats(FILL_PLAIN, DIMS(n)));
    param(a, "at", i % 5);
    return true;
}
static bool case_combine(int i, lb_args *a) {
    static const int64_t shapes[][3] = { { 5, 3, 71 }, { 1, 1, 1 }, { 0, 2, 8 }, { 9, 4, 64 } }; /* tokens, k, H */
    if (i >= 4 * FILL_KINDS) return false;
    const int64_t *s = shapes[i % 4];
    set(a, "y", floats((fill_kind)(i / 4), DIMS(s[0] * s[1], s[2])));
    set(a, "weights", floats(FILL_PLAIN, DIMS(s[0], s[1])));
    if (i % 3) set(a, "shared", floats(FILL_PLAIN, DIMS(s[0], s[2])));
    return true;
}
static bool case_choose(int i, lb_args *a) {
    static const int64_t candidates[] = { 1, 5, 2 };
    if (i >= 3) return false;
    set(a, "offsets", i == 2 ? INTS(0, 0) : INTS(0, 2, 2, 9, 10));
    set(a, "costs", floats(FILL_PLAIN, DIMS(candidates[i], 3)));
    return true;
}
static bool case_fill(int i, lb_args *a) {
    static const double values[] = { 2.5, 0, 1e-40, -3e38 };
    if (i >= 16) return false;
    set(a, "out", floats(FILL_PLAIN, DIMS((int64_t[]){ 1, 0, 67, 5000 }[i % 4])));
    param(a, "value", values[i / 4]);
    return true;
}
/* All in f64: tails of tiles, of chunks of K and of dot products; K of 0; each kind of contents. */
static bool gemm_f64(int i, lb_args *a) {
    static const int64_t shapes[][3] = { { 5, 37, 67 }, { 1, 1, 1 }, { 0, 16, 32 }, { 29, 70, 259 }, { 1, 33, 96 },
                                         { 4, 6, 131 }, { 2, 25, 1 }, { 3, 9, 0 }, { 1030, 25, 3 } };
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    if (i >= SHAPES * FILL_KINDS) return false;
    const int64_t *s = shapes[i % SHAPES];
    set(a, "x", converted(floats((fill_kind)(i / SHAPES), DIMS(s[0], s[2])), LB_F64));
    set(a, "w", converted(floats(FILL_PLAIN, DIMS(s[1], s[2])), LB_F64));
    for (int64_t j = 0; j < s[0] * s[2]; j++) /* values that f32 does not have */
        ((double *)lb_tensor_data(lb_arg(a, 0)))[j] *= 1 + 0x1p-40 * (double)(j % 7);
    return true;
}
/* Over floats; test_matrix_kernels.c has the formats. */
static bool case_gemm(int i, lb_args *a) {
    static const int64_t shapes[][3] = { { 5, 37, 67 }, { 1, 1, 1 }, { 0, 16, 32 }, { 13, 70, 256 }, { 1, 33, 96 } };
    static const lb_dtype types[] = { LB_F32, LB_F16, LB_BF16, LB_F64 };
    if (i >= 5 * 4 * FILL_KINDS) return gemm_f64(i - 5 * 4 * FILL_KINDS, a);
    const int64_t *s = shapes[i % 5];
    set(a, "x", floats((fill_kind)(i / 20), DIMS(s[0], s[2])));
    set(a, "w", converted(floats(FILL_PLAIN, DIMS(s[1], s[2])), types[i / 5 % 4]));
    return true;
}

typedef struct op_case { const char *op; bool (*make)(int i, lb_args *a); } op_case;
static const op_case op_cases[] = {
    { "activation", case_activation },
    { "add", case_add },
    { "add_rms_norm", case_add_rms_norm },
    { "advance", case_advance },
    { "attention", case_attention },
    { "axpy", case_axpy },
    { "choose", case_choose },
    { "combine", case_combine },
    { "convert", case_convert },
    { "copy", case_copy },
    { "embedding", case_embedding },
    { "fill", case_fill },
    { "gather", case_gather },
    { "gemm", case_gemm },
    { "gemm_stored", case_gemm_stored },
    { "head_gemm", case_head_gemm },
    { "kv_read", case_kv_read },
    { "kv_write", case_kv_write },
    { "layer_norm", case_layer_norm },
    { "linear", case_linear },
    { "quantize", case_quantize },
    { "read_reuse", case_read_reuse },
    { "read_strided", case_read_strided },
    { "residual", case_residual },
    { "rms_norm", case_rms_norm },
    { "rms_norm_quantize", case_rms_norm_quantize },
    { "rope", case_rope },
    { "sample", case_sample },
    { "scatter", case_scatter },
    { "softmax", case_softmax },
    { "swiglu", case_swiglu },
    { "swiglu_clamped", case_swiglu_clamped },
};
enum { OP_CASES = sizeof op_cases / sizeof *op_cases };

/* Operations whose kernels have a suite of their own. */
static const char *const elsewhere[] = { "empty", "moe_ffn", "moe_group", "peak", "peak_copy", "peak_read",
                                         "peak_write", "topk" };
