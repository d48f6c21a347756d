/* test_tensor.c: tensors, views, sizes, conversions, quantized tensors, layouts, devices and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <string.h>

#include "engine/kernel.h"
#include "engine/tensor.h"
#include "engine/tensor_ops.h"

static lb_device *cpu;

static lb_tensor *tensor(lb_dtype dtype, int rank, const int64_t *dims) {
    lb_tensor *t = NULL;
    if (lb_tensor_new(cpu, dtype, NULL, rank, dims, &t)) fail_msg("%s", lb_error());
    return t;
}

static lb_tensor *counted(lb_dtype dtype, int rank, const int64_t *dims) { /* 0, 1, 2, ... */
    lb_tensor *t = tensor(dtype, rank, dims), *v = NULL;
    assert_int_equal(lb_tensor_arange(cpu, 0, (double)lb_tensor_numel(t), 1, dtype, &v), LB_OK);
    memcpy(lb_tensor_data(t), lb_tensor_data(v), lb_tensor_size_bytes(t));
    lb_tensor_release(v);
    return t;
}

#define DIMS(...) (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (int64_t[]){ __VA_ARGS__ }
#define AT(t, ...) lb_tensor_at(t, (int64_t[]){ __VA_ARGS__ })

/* ---- a test format: one f32 scale and K int8 codes a row, in two planes ---- */

static size_t plain_size(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return (size_t)(n * 4 + n * k);
}
static void plain_quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                           void *dst) {
    (void)q;
    for (int64_t r = row0; r < row1; r++) {
        float amax = 0;
        for (int64_t i = 0; i < k; i++) amax = fmaxf(amax, fabsf(src[r * k + i]));
        float d = amax / 127.0f;
        memcpy((char *)dst + r * 4, &d, 4);
        for (int64_t i = 0; i < k; i++)
            ((int8_t *)dst)[n * 4 + r * k + i] = d > 0 ? (int8_t)rintf(src[r * k + i] / d) : 0;
    }
}
static void plain_dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             float *dst) {
    (void)q;
    for (int64_t r = row0; r < row1; r++)
        for (int64_t i = 0; i < k; i++) {
            float d;
            memcpy(&d, (const char *)src + r * 4, 4);
            dst[(r - row0) * k + i] = d * ((const int8_t *)src)[n * 4 + r * k + i];
        }
}
static void plain_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q;
    *offset = (size_t)(n * 4 + row * k);
    *length = (size_t)k;
}
static const lb_quantizer_family plain_family = { .name = "plain", .about = "test", .source = "test" };
static const lb_quantizer plain = {
    .name = "plain-8", .k_multiple = 8, .group = 8, .bits = 8, .family = &plain_family, .size_bytes = plain_size,
    .quantize = plain_quantize, .dequantize = plain_dequantize, .row_span = plain_span,
};

/* ---- shapes and views ---- */

static void test_new_and_describe(void **state) {
    (void)state;
    char text[100];
    lb_tensor *t = tensor(LB_F32, DIMS(2, 3));
    lb_tensor_describe(t, text, sizeof text);
    assert_string_equal(text, "f32[2, 3]");
    assert_int_equal(lb_tensor_numel(t), 6);
    assert_int_equal(lb_tensor_size_bytes(t), 24);
    assert_true(lb_tensor_is_dense(t) && (uintptr_t)lb_tensor_data(t) % 64 == 0);
    lb_tensor_release(t);
    t = tensor(LB_I64, 0, NULL);
    assert_int_equal(lb_tensor_numel(t), 1);
    lb_tensor_set(t, NULL, -7);
    assert_true(lb_tensor_at(t, NULL) == -7);
    lb_tensor_release(t);
    t = tensor(LB_F16, DIMS(4, 0, 3));
    assert_int_equal(lb_tensor_numel(t), 0);
    assert_int_equal(lb_tensor_size_bytes(t), 0);
    lb_tensor_release(t);
}

static void test_bad_shapes(void **state) {
    (void)state;
    static const struct {
        int rank;
        int64_t dims[9];
        lb_status want;
    } bad[] = {
        { 1, { -1 }, LB_EINVAL },
        { 9, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, LB_EINVAL },
        { -1, { 0 }, LB_EINVAL },
        { 1, { INT64_MAX }, LB_ENOMEM },
        { 2, { (int64_t)1 << 40, (int64_t)1 << 40 }, LB_ENOMEM },
        { 3, { (int64_t)1 << 40, 0, (int64_t)1 << 40 }, LB_ENOMEM },
        { 1, { (int64_t)1 << 50 }, LB_ENOMEM },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lb_tensor *t = (lb_tensor *)&t;
        assert_int_equal(lb_tensor_new(cpu, LB_F32, NULL, bad[i].rank, bad[i].dims, &t), bad[i].want);
        assert_null(t);
        assert_true(strlen(lb_error()) > 10);
    }
    lb_tensor *t;
    assert_int_equal(lb_tensor_new(cpu, LB_QUANT, NULL, DIMS(2, 8), &t), LB_EINVAL);
    assert_int_equal(lb_tensor_new(cpu, LB_F32, &plain, DIMS(2, 8), &t), LB_EINVAL);
    assert_int_equal(lb_tensor_new(cpu, LB_QUANT, &plain, DIMS(8), &t), LB_EINVAL);
    assert_int_equal(lb_tensor_new(cpu, LB_QUANT, &plain, DIMS(2, 12), &t), LB_EINVAL);
    assert_non_null(strstr(lb_error(), "not a multiple"));
    assert_int_equal(lb_tensor_new(cpu, (lb_dtype)50, NULL, DIMS(1), &t), LB_EINVAL);
}

static void test_views(void **state) {
    (void)state;
    lb_tensor *t = counted(LB_F32, DIMS(3, 4)), *a, *b, *c;
    assert_int_equal(lb_tensor_slice(t, 1, 1, 3, &a), LB_OK);
    assert_int_equal(lb_tensor_transpose(a, 0, 1, &b), LB_OK);
    assert_int_equal(b->dims[0], 2);
    assert_int_equal(b->dims[1], 3);
    assert_false(lb_tensor_is_dense(a));
    assert_true(AT(b, 1, 2) == 10 && AT(b, 0, 0) == 1);
    lb_tensor_set(b, (int64_t[]){ 1, 2 }, 99); /* views share the buffer */
    assert_true(AT(t, 2, 2) == 99);
    assert_int_equal(lb_tensor_reshape(a, DIMS(6), &c), LB_EINVAL);
    assert_non_null(strstr(lb_error(), "clone"));
    assert_int_equal(lb_tensor_clone(b, &c), LB_OK);
    assert_true(lb_tensor_is_dense(c) && c->buffer != t->buffer && AT(c, 1, 2) == 99 && AT(c, 0, 1) == 5);
    lb_tensor_release(t); /* views keep the buffer alive */
    lb_tensor_release(a);
    assert_true(AT(b, 0, 2) == 9);
    lb_tensor_release(b);
    lb_tensor_release(c);
}

static void test_reshape(void **state) {
    (void)state;
    lb_tensor *t = counted(LB_I32, DIMS(2, 6)), *r;
    assert_int_equal(lb_tensor_reshape(t, DIMS(3, -1, 2), &r), LB_OK);
    assert_int_equal(r->dims[1], 2);
    assert_true(AT(r, 2, 1, 0) == 10);
    lb_tensor_release(r);
    assert_int_equal(lb_tensor_reshape(t, DIMS(5, -1), &r), LB_EINVAL);
    assert_int_equal(lb_tensor_reshape(t, DIMS(-1, -1), &r), LB_EINVAL);
    assert_int_equal(lb_tensor_reshape(t, DIMS(0, -1), &r), LB_EINVAL);
    assert_int_equal(lb_tensor_reshape(t, DIMS(13), &r), LB_EINVAL);
    assert_int_equal(lb_tensor_reshape(t, DIMS(-2, 6), &r), LB_EINVAL);
    assert_int_equal(lb_tensor_reshape(t, DIMS(INT64_MAX, INT64_MAX), &r), LB_EINVAL);
    assert_int_equal(lb_tensor_slice(t, 2, 0, 1, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_slice(t, 0, 1, 3, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_slice(t, 0, 2, 1, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_slice(t, 0, -1, 1, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_transpose(t, 0, 2, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_slice(t, 0, 2, 2, &r), LB_OK);
    assert_int_equal(lb_tensor_numel(r), 0);
    lb_tensor_release(r);
    lb_tensor_release(t);
}

static int wrapped_frees;
static void count_free(lb_buffer *b) {
    wrapped_frees++;
    free(b->data);
}

static void test_wrap(void **state) {
    (void)state;
    lb_buffer *b;
    lb_tensor *t, *none;
    float *data = malloc(40);
    for (int i = 0; i < 10; i++) data[i] = (float)i;
    assert_int_equal(lb_buffer_wrap(cpu, data, 40, count_free, NULL, &b), LB_OK);
    assert_int_equal(lb_tensor_wrap(b, 8, LB_F32, NULL, DIMS(2, 4), &t), LB_OK);
    assert_true(AT(t, 1, 3) == 9);
    assert_int_equal(lb_tensor_wrap(b, 12, LB_F32, NULL, DIMS(2, 4), &none), LB_EINVAL);
    assert_int_equal(lb_tensor_wrap(b, 41, LB_F32, NULL, DIMS(0), &none), LB_EINVAL);
    assert_int_equal(lb_tensor_wrap(b, 2, LB_F32, NULL, DIMS(1), &none), LB_EINVAL); /* not aligned */
    lb_buffer_release(b);
    assert_int_equal(wrapped_frees, 0);
    lb_tensor_release(t);
    assert_int_equal(wrapped_frees, 1);
}

/* ---- conversions ---- */

static double converted(lb_dtype from, double v, lb_dtype to) {
    lb_tensor *a = tensor(from, DIMS(1)), *b;
    lb_tensor_set(a, (int64_t[]){ 0 }, v);
    assert_int_equal(lb_tensor_to_dtype(a, to, &b), LB_OK);
    double r = AT(b, 0);
    lb_tensor_release(a);
    lb_tensor_release(b);
    return r;
}

static void test_float_to_integer(void **state) {
    (void)state;
    static const struct {
        lb_dtype to;
        double in, want;
    } cases[] = {
        { LB_I8, 2.5, 2 }, { LB_I8, 3.5, 4 }, { LB_I8, -2.5, -2 }, { LB_I8, 127.4, 127 }, { LB_I8, 127.5, 127 },
        { LB_I8, -128.5, -128 }, { LB_I8, -129.0, -128 }, { LB_I8, NAN, 0 }, { LB_I8, INFINITY, 127 },
        { LB_U8, -0.4, 0 }, { LB_U8, -5, 0 }, { LB_U8, 254.5, 254 }, { LB_U8, 300, 255 }, { LB_U8, NAN, 0 },
        { LB_I32, 1e12, 2147483647 }, { LB_I32, -1e12, -2147483648.0 }, { LB_I32, 0.5, 0 }, { LB_I32, -INFINITY,
            -2147483648.0 },
        { LB_I64, -1e30, -9223372036854775808.0 }, { LB_I64, NAN, 0 }, { LB_I64, 1.5, 2 },
    };
    static const lb_dtype from[] = { LB_F32, LB_F64 };
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            assert_true(converted(from[f], cases[i].in, cases[i].to) == cases[i].want);
    assert_true(converted(LB_BF16, -300, LB_U8) == 0);
    assert_true(converted(LB_F16, 65504, LB_I32) == 65504);
}

static void test_integer_conversions(void **state) {
    (void)state;
    lb_tensor *a = tensor(LB_I64, DIMS(4)), *b;
    int64_t v[4] = { INT64_MAX, INT64_MIN, 9007199254740993, (1ll << 40) + (1ll << 16) + 1 };
    memcpy(lb_tensor_data(a), v, sizeof v);
    assert_int_equal(lb_tensor_to_dtype(a, LB_I32, &b), LB_OK);
    assert_true(AT(b, 0) == 2147483647 && AT(b, 1) == -2147483648.0);
    lb_tensor_release(b);
    assert_int_equal(lb_tensor_to_dtype(a, LB_I64, &b), LB_OK);
    assert_memory_equal(lb_tensor_data(b), v, sizeof v);
    lb_tensor_release(b);
    assert_int_equal(lb_tensor_to_dtype(a, LB_F32, &b), LB_OK);
    assert_true(AT(b, 3) == (double)(float)v[3]);
    lb_tensor_release(b);
    assert_int_equal(lb_tensor_to_dtype(a, LB_QUANT, &b), LB_EINVAL);
    lb_tensor_release(a);
}

/* f64 to f16 and bf16 must round once: through f32 these would first land on the middle, then go to even. */
static void test_narrowing_rounds_once(void **state) {
    (void)state;
    assert_true(converted(LB_F64, 1 + 0x1p-11 + 0x1p-40, LB_F16) == 1 + 0x1p-10);
    assert_true(converted(LB_F64, 1 + 0x1p-11, LB_F16) == 1);
    assert_true(converted(LB_F64, 1 + 3 * 0x1p-11 - 0x1p-40, LB_F16) == 1 + 0x1p-10);
    assert_true(converted(LB_F64, -(1 + 0x1p-8 + 0x1p-45), LB_BF16) == -(1 + 0x1p-7));
    assert_true(converted(LB_F64, 0x1p-25 + 0x1p-70, LB_F16) == 0x1p-24);
    assert_true(converted(LB_F64, 0x1p-25, LB_F16) == 0);
    assert_true(converted(LB_F64, 1e300, LB_F16) == INFINITY);
    assert_true(converted(LB_I64, 256 + 1, LB_BF16) == 256);
    assert_true(isnan(converted(LB_F64, NAN, LB_F16)));
}

static void test_conversion_of_large_views(void **state) {
    (void)state;
    lb_tensor *t = counted(LB_F32, DIMS(300, 700)), *v, *r, *back;
    assert_int_equal(lb_tensor_transpose(t, 0, 1, &v), LB_OK);
    for (int to = 0; to < LB_QUANT; to++) {
        assert_int_equal(lb_tensor_to_dtype(v, (lb_dtype)to, &r), LB_OK);
        assert_int_equal(lb_tensor_to_dtype(r, LB_F64, &back), LB_OK);
        for (int64_t i = 0; i < 700; i += 13)
            for (int64_t j = 0; j < 300; j += 7) {
                double want = converted(LB_F32, (double)(j * 700 + i), (lb_dtype)to);
                assert_true(AT(r, i, j) == want && AT(back, i, j) == want);
            }
        lb_tensor_release(r);
        lb_tensor_release(back);
    }
    lb_tensor_release(v);
    lb_tensor_release(t);
}

/* ---- quantized ---- */

static int64_t last_done, last_total;
static void progress(void *ctx, int64_t done, int64_t total) {
    (void)ctx;
    assert_true(done >= last_done && done <= total);
    last_done = done, last_total = total;
}

static void test_quantize(void **state) {
    (void)state;
    enum { E = 3, N = 70, K = 1024 };
    lb_tensor *x = tensor(LB_F32, DIMS(E, N, K)), *q, *d, *one, *half, *qh, *v;
    char text[100];
    assert_int_equal(lb_tensor_fill_randn(x, 1, 0, 1), LB_OK);
    assert_int_equal(lb_tensor_quantize(x, &plain, progress, NULL, &q), LB_OK);
    assert_int_equal(last_done, E * N);
    assert_int_equal(last_total, E * N);
    lb_tensor_describe(q, text, sizeof text);
    assert_string_equal(text, "plain-8[3, 70, 1024]");
    assert_int_equal(lb_tensor_size_bytes(q), 3 * (70 * 4 + 70 * 1024));
    unsigned char *want = malloc(lb_tensor_size_bytes(q)); /* in one go, by the format itself */
    for (int e = 0; e < E; e++)
        plain_quantize(&plain, lb_tensor_f32(x) + e * N * K, N, K, 0, N, want + (size_t)e * plain_size(&plain, N, K));
    assert_memory_equal(want, lb_tensor_data(q), lb_tensor_size_bytes(q));
    assert_int_equal(lb_tensor_dequantize(q, &d), LB_OK);
    for (int64_t i = 0; i < K; i += 17) assert_true(AT(d, 2, 33, i) == AT(q, 2, 33, i) && fabs(AT(d, 2, 33, i) - AT(x,
        2, 33, i)) < 0.03);
    assert_int_equal(lb_tensor_slice(q, 0, 1, 2, &one), LB_OK);
    assert_true(AT(one, 0, 5, 6) == AT(q, 1, 5, 6));
    assert_int_equal(lb_tensor_reshape(one, DIMS(N, K), &v), LB_OK);
    assert_true(AT(v, 5, 6) == AT(q, 1, 5, 6));
    /* other float types and views give what their f32 copy gives */
    lb_tensor *xt, *xc, *qt, *qc;
    assert_int_equal(lb_tensor_to_dtype(x, LB_BF16, &half), LB_OK);
    assert_int_equal(lb_tensor_transpose(half, 0, 1, &xt), LB_OK);
    assert_int_equal(lb_tensor_to_dtype(xt, LB_F32, &xc), LB_OK);
    assert_int_equal(lb_tensor_quantize(xt, &plain, NULL, NULL, &qt), LB_OK);
    assert_int_equal(lb_tensor_quantize(xc, &plain, NULL, NULL, &qc), LB_OK);
    assert_memory_equal(lb_tensor_data(qt), lb_tensor_data(qc), lb_tensor_size_bytes(qt));
    assert_int_equal(lb_tensor_clone(q, &qh), LB_OK);
    assert_memory_equal(lb_tensor_data(q), lb_tensor_data(qh), lb_tensor_size_bytes(q));
    /* into one that is there, and not into its own memory */
    lb_tensor *own;
    assert_int_equal(lb_tensor_quantize_into(half, &plain, NULL, NULL, NULL, qh), LB_OK);
    assert_int_not_equal(memcmp(lb_tensor_data(q), lb_tensor_data(qh), lb_tensor_size_bytes(q)), 0);
    assert_int_equal(lb_tensor_quantize_into(x, &plain, NULL, progress, NULL, qh), LB_OK);
    assert_memory_equal(lb_tensor_data(q), lb_tensor_data(qh), lb_tensor_size_bytes(q));
    assert_int_equal(lb_tensor_wrap(x->buffer, 0, LB_QUANT, &plain, DIMS(E, N, K), &own), LB_OK);
    assert_int_equal(lb_tensor_quantize_into(x, &plain, NULL, NULL, NULL, own), LB_EINVAL);
    lb_tensor *all[] = { x, q, d, one, v, half, xt, xc, qt, qc, qh, own };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) lb_tensor_release(all[i]);
    free(want);
}

static void test_quantized_limits(void **state) {
    (void)state;
    lb_tensor *q, *r, *x = counted(LB_F32, DIMS(2, 4, 8)), *i = counted(LB_I32, DIMS(4, 8)), *odd = counted(LB_F32,
        DIMS(4, 9));
    assert_int_equal(lb_tensor_quantize(x, &plain, NULL, NULL, &q), LB_OK);
    assert_int_equal(lb_tensor_quantize(q, &plain, NULL, NULL, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_quantize(i, &plain, NULL, NULL, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_quantize(odd, &plain, NULL, NULL, &r), LB_EINVAL);
    assert_non_null(strstr(lb_error(), "f32[4, 9]"));
    assert_int_equal(lb_tensor_quantize(x, NULL, NULL, NULL, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_dequantize(x, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_slice(q, 1, 0, 2, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_transpose(q, 0, 1, &r), LB_EUNSUPPORTED);
    assert_int_equal(lb_tensor_reshape(q, DIMS(8, 8), &r), LB_EINVAL);
    assert_int_equal(lb_tensor_reshape(q, DIMS(1, 2, 4, 8), &r), LB_OK);
    lb_tensor_release(r);
    assert_int_equal(lb_tensor_to_dtype(q, LB_F16, &r), LB_OK);
    assert_true(r->dtype == LB_F16 && fabs(AT(r, 1, 3, 7) - 63) < 0.05);
    lb_tensor_release(r);
    lb_tensor *empty = tensor(LB_F32, DIMS(0, 8));
    assert_int_equal(lb_tensor_quantize(empty, &plain, NULL, NULL, &r), LB_OK);
    lb_tensor_release(r);
    lb_tensor *all[] = { q, x, i, odd, empty };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) lb_tensor_release(all[k]);
}

/* ---- layouts: rows padded to 4, codes first, reversed ---- */

static size_t turned_size(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return (size_t)((n + 3) / 4 * 4 * (k + 4));
}
static void turned_repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                          void *dst) {
    (void)q;
    assert_true(row0 % 4 == 0 && (row1 % 4 == 0 || row1 == n));
    for (int64_t r = row0; r < row1; r++) {
        char *row = (char *)dst + r * (k + 4);
        memcpy(row, (const char *)native + r * 4, 4);
        for (int64_t i = 0; i < k; i++) row[4 + i] = ((const char *)native)[n * 4 + r * k + (k - 1 - i)];
    }
}
static const lb_layout turned = { "turned4", turned_size, turned_repack, 4 };
static const lb_kernel turned_kernel = { .name = "test.turned", .op = "gemm", .device = "cpu", .layout = &turned };
static const lb_kernel native_kernel = { .name = "test.native", .op = "gemm", .device = "cpu" };

static void test_layouts(void **state) {
    (void)state;
    enum { N = 4099, K = 64 };
    lb_tensor *x = tensor(LB_F32, DIMS(2, N, K)), *q, *r, *again, *c;
    uint64_t ns = 7;
    char text[100];
    assert_int_equal(lb_tensor_fill_randn(x, 2, 0, 1), LB_OK);
    assert_int_equal(lb_tensor_quantize(x, &plain, NULL, NULL, &q), LB_OK);
    assert_int_equal(lb_tensor_in_layout(q, &native_kernel, &r, &ns), LB_OK);
    assert_true(r == q && ns == 0);
    assert_int_equal(lb_tensor_in_layout(q, NULL, &r, &ns), LB_OK);
    assert_ptr_equal(r, q);
    assert_int_equal(lb_tensor_in_layout(q, &turned_kernel, &r, &ns), LB_OK);
    assert_true(ns > 0 && r != q && r->quantizer == &plain);
    assert_int_equal(lb_tensor_size_bytes(r), 2 * turned_size(&plain, N, K));
    lb_tensor_describe(r, text, sizeof text);
    assert_string_equal(text, "plain-8[2, 4099, 64] in layout turned4");
    assert_int_equal(lb_tensor_in_layout(q, &turned_kernel, &again, &ns), LB_OK);
    assert_true(again == r && ns == 0);
    assert_int_equal(lb_tensor_in_layout(r, &turned_kernel, &again, NULL), LB_OK);
    assert_ptr_equal(again, r);
    for (int m = 0; m < 2; m++)
        for (int64_t n = 0; n < N; n += 97) {
            const char *row = (char *)lb_tensor_data(r) + (size_t)m * turned_size(&plain, N, K) + n * (K + 4);
            const char *native = (char *)lb_tensor_data(q) + (size_t)m * plain_size(&plain, N, K);
            assert_memory_equal(row, native + n * 4, 4);
            for (int i = 0; i < K; i++) assert_int_equal(row[4 + i], native[N * 4 + n * K + K - 1 - i]);
        }
    assert_int_equal(lb_tensor_clone(r, &c), LB_OK);
    assert_int_equal(lb_tensor_size_bytes(c), lb_tensor_size_bytes(r));
    assert_string_equal(c->layout, "turned4");
    assert_int_equal(lb_tensor_in_layout(r, &native_kernel, &again, NULL), LB_EUNSUPPORTED);
    assert_int_equal(lb_tensor_dequantize(r, &again), LB_EUNSUPPORTED);
    assert_int_equal(lb_tensor_to_dtype(r, LB_F32, &again), LB_EUNSUPPORTED);
    assert_int_equal(lb_tensor_reshape(r, DIMS(2, N, K), &again), LB_EUNSUPPORTED);
    assert_true(isnan(AT(r, 0, 0, 0)));
    lb_tensor_release(c);
    lb_tensor_release(q); /* and with it r */
    lb_tensor_release(x);
}

/* ---- device and memory ---- */

static void test_device(void **state) {
    (void)state;
    lb_device *a, *b;
    char names[4][64];
    assert_int_equal(lb_device_open("cpu", 0, &a), LB_OK);
    assert_ptr_equal(a, cpu); /* one instance per name and threads */
    lb_device_release(a);
    assert_int_equal(lb_device_open("cpu", 1, &b), LB_OK);
    assert_int_equal(lb_device_threads(b), 1);
    lb_device_release(b);
    assert_int_equal(lb_device_open("cpu", -1, &b), LB_EINVAL);
    assert_int_equal(lb_device_open("cpu", 1 << 20, &b), LB_EINVAL);
    assert_int_equal(lb_device_open("cpu:1", 0, &b), LB_EDEVICE);
    assert_int_equal(lb_device_open("gpu", 0, &b), LB_EDEVICE);
    assert_non_null(strstr(lb_error(), "'cpu'"));
    assert_int_equal(lb_device_open("", 0, &b), LB_EDEVICE);
    assert_int_equal(lb_device_open(NULL, 0, &b), LB_EINVAL);
    assert_true(lb_device_list(names, 4) >= 1);
    assert_string_equal(names[0], "cpu");
    const lb_device_caps *caps = lb_device_caps_of(cpu);
    assert_string_equal(caps->name, "cpu");
    assert_true(caps->threads_max >= 1 && lb_device_threads(cpu) <= caps->threads_max && caps->model[0]);
    assert_true((caps->isa & ~lb_isa_detect()) == 0);
}

static void test_isa_limit(void **state) {
    (void)state;
    const char *before = getenv("LUABENCH_ISA");
    char keep[32] = "";
    lb_device *d;
    if (before) snprintf(keep, sizeof keep, "%s", before);
    setenv("LUABENCH_ISA", "portable", 1);
    assert_int_equal(lb_device_open("cpu", 0, &d), LB_OK);
    assert_int_equal(lb_device_caps_of(d)->isa, LB_ISA_PORTABLE);
    lb_device_release(d);
    setenv("LUABENCH_ISA", "sse9", 1);
    assert_int_equal(lb_device_open("cpu", 0, &d), LB_EINVAL);
    assert_non_null(strstr(lb_error(), "portable, avx2, avx512 or amx"));
    if (lb_isa_detect() & LB_ISA_AVX512) {
        setenv("LUABENCH_ISA", "avx2", 1);
        assert_int_equal(lb_device_open("cpu", 0, &d), LB_OK);
        assert_true(lb_device_caps_of(d)->isa & LB_ISA_AVX2);
        assert_false(lb_device_caps_of(d)->isa & (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI));
        lb_device_release(d);
    }
    const uint32_t amx = LB_ISA_AMX_BF16 | LB_ISA_AMX_INT8;
    setenv("LUABENCH_ISA", "amx", 1);
    if ((lb_isa_detect() & amx) == amx) {
        assert_int_equal(lb_device_open("cpu", 0, &d), LB_OK);
        assert_int_equal(lb_device_caps_of(d)->isa, lb_isa_detect());
        lb_device_release(d);
        setenv("LUABENCH_ISA", "avx512", 1);
        assert_int_equal(lb_device_open("cpu", 0, &d), LB_OK);
        assert_int_equal(lb_device_caps_of(d)->isa, lb_isa_detect() & ~amx);
        lb_device_release(d);
    } else {
        assert_int_equal(lb_device_open("cpu", 0, &d), LB_EDEVICE);
        assert_non_null(strstr(lb_error(), "LUABENCH_ISA=amx: this machine does not have it"));
    }
    if (before)
        setenv("LUABENCH_ISA", keep, 1);
    else
        unsetenv("LUABENCH_ISA");
}

static void test_memory_is_counted(void **state) {
    (void)state;
    int64_t before = lb_memory_now();
    lb_memory_peak_reset();
    for (int i = 0; i < 2; i++) {
        lb_tensor *t = tensor(LB_U8, DIMS(5 << 20)), *s = tensor(LB_U8, DIMS(1000));
        assert_int_equal(lb_memory_now() - before, (5 << 20) + 1000);
        assert_int_equal((uintptr_t)lb_tensor_data(t) % 64, 0); /* pages are test_huge's matter */
        assert_int_equal((uintptr_t)lb_tensor_data(s) % 64, 0);
        memset(lb_tensor_data(t), 1, 5 << 20);
        lb_tensor_release(t);
        lb_tensor_release(s);
    }
    assert_int_equal(lb_memory_now(), before);
    assert_int_equal(lb_memory_peak() - before, (5 << 20) + 1000);
    lb_memory_peak_reset();
    assert_int_equal(lb_memory_peak(), before);
}

static void test_too_large_is_an_error(void **state) {
    (void)state;
    lb_tensor *t;
    int64_t total = lb_device_caps_of(cpu)->memory_bytes;
    if (total == 0) skip();
    assert_int_equal(lb_tensor_new(cpu, LB_U8, NULL, DIMS(total + 1), &t), LB_ENOMEM);
    assert_non_null(strstr(lb_error(), "MiB in all"));
    assert_non_null(strstr(lb_error(), "u8["));
}

static int open_cpu(void **state) {
    (void)state;
    return lb_device_open("cpu", 0, &cpu);
}
static int close_cpu(void **state) {
    (void)state;
    lb_device_release(cpu);
    return lb_memory_now() != 0; /* every test gives back what it took */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_and_describe),
        cmocka_unit_test(test_bad_shapes),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_float_to_integer),
        cmocka_unit_test(test_integer_conversions),
        cmocka_unit_test(test_narrowing_rounds_once),
        cmocka_unit_test(test_conversion_of_large_views),
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_quantized_limits),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_device),
        cmocka_unit_test(test_isa_limit),
        cmocka_unit_test(test_memory_is_counted),
        cmocka_unit_test(test_too_large_is_an_error),
    };
    return cmocka_run_group_tests(tests, open_cpu, close_cpu);
}
