/* test_large_weights.c: weights of formats, native and in every layout, of more than 2^31 bytes; reads of so many, in
 * order, strided and repeated; every family of quantizers. Only pages that hold something are memory. */
#include "large.h"

#include "engine/tensor_convert.h"

static void poison_gemm(call *c) {
    lb_tensor *out = c->t[LB_GEMM_OUT];
    memset(lb_tensor_data(out), 0xff, lb_tensor_size_bytes(out));
}

/* ---- weights of formats: all zeros but the first row and the last three ---- */

enum { QUANT_K = 1 << 14 };

/* As what a kernel reads: the format's own bytes, or its layout, of which only the panels that hold something are
 * made. */
static lb_tensor *weights_for(const lb_kernel *k, lb_tensor *native) {
    int64_t n = native->dims[0], by;
    if (!k->layout) return lb_tensor_retain(native);
    by = k->layout->row_multiple;
    size_t bytes = k->layout->size_bytes(native->quantizer, n, QUANT_K);
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return NULL;
    madvise(data, bytes, MADV_HUGEPAGE);
    k->layout->repack(native->quantizer, lb_tensor_data(native), n, QUANT_K, 0, by, data);
    k->layout->repack(native->quantizer, lb_tensor_data(native), n, QUANT_K, (n - 1) / by * by, n, data);
    lb_buffer *b;
    lb_tensor *out;
    if (lb_buffer_wrap(device, data, bytes, unmap, NULL, &b)) fail_msg("%s", lb_error());
    if (lb_tensor_new_repacked(native, k->layout->name, bytes, b, &out)) fail_msg("%s", lb_error());
    lb_buffer_release(b);
    return out;
}

/* Ones, zeros, minus ones in the last rows, and ones in the first. */
static lb_tensor *quantized_weights(const char *format) {
    const lb_quantizer *q;
    lb_tensor *rows = small(LB_F32, DIMS(3, QUANT_K)), *made, *native = NULL;
    for (int i = 0; i < QUANT_K; i++) row(rows, 0)[i] = -1, row(rows, 2)[i] = 1;
    if (lb_quantizer_find(format, &q) || lb_tensor_quantize(rows, q, NULL, NULL, &made)) fail_msg("%s", lb_error());
    size_t each = lb_tensor_size_bytes(made) / 3; /* of a row: blocks, one after another */
    int64_t n = ((LIMIT / (int64_t)each) / 32 + 2) * 32 + 7;
    size_t bytes = (size_t)n * each;
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data != MAP_FAILED) {
        madvise(data, bytes, MADV_HUGEPAGE);
        memcpy((char *)data + (size_t)(n - 3) * each, lb_tensor_data(made), 3 * each);
        memcpy(data, (char *)lb_tensor_data(made) + 2 * each, each);
        lb_buffer *b;
        if (lb_buffer_wrap(device, data, bytes, unmap, NULL, &b) ||
            lb_tensor_wrap(b, 0, LB_QUANT, q, 2, (int64_t[]){ n, QUANT_K }, &native))
            fail_msg("%s", lb_error());
        lb_buffer_release(b);
    }
    lb_tensor_release(rows), lb_tensor_release(made);
    return native;
}

static void near_row(const char *name, const lb_tensor *out, int64_t n, double want) {
    for (int m = 0; m < out->dims[0]; m++) {
        double got = (double)row(out, m)[n];
        if (!(fabs(got - want * (m + 1)) <= 0.02 * fabs(want) * (m + 1)))
            fail_msg("%s: row %d, column %lld is %g, expected %g", name, m, (long long)n, got, want * (m + 1));
    }
}

static void gemm_quantized(const char *format, int rows, bool native_too) {
    call c;
    int tried = 0;
    lb_tensor *native = quantized_weights(format), *x = small(LB_F32, DIMS(rows, QUANT_K));
    NEED(native);
    for (int i = 0; i < rows * QUANT_K; i++) row(x, 0)[i] = (float)(i / QUANT_K + 1);
    begin(&c, "gemm");
    operand(&c, LB_GEMM_X, x);
    operand(&c, LB_GEMM_OUT, small(LB_F32, DIMS(rows, native->dims[0])));
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, "gemm") || strcmp(k->device, "cpu") || !k->format) continue;
        if ((lb_device_caps_of(device)->isa & k->isa) != k->isa) continue;
        if (k->layout ? strcmp(k->format, format) : strcmp(k->format, "any") || !native_too) continue;
        lb_tensor *w = weights_for(k, native);
        NEED(w);
        assert_true((int64_t)lb_tensor_size_bytes(w) > LIMIT);
        operand(&c, LB_GEMM_W, w);
        poison_gemm(&c);
        launch(k, &c.a);
        const lb_tensor *out = c.t[LB_GEMM_OUT];
        int64_t n = out->dims[1];
        near_row(k->name, out, n - 1, QUANT_K), near_row(k->name, out, n - 2, 0);
        near_row(k->name, out, n - 3, -QUANT_K);
        near_row(k->name, out, 0, QUANT_K), near_row(k->name, out, 1, 0), near_row(k->name, out, n / 2, 0);
        lb_tensor_release(w);
        c.t[LB_GEMM_W] = NULL;
        tried++;
    }
    assert_true(tried > 0 || !(lb_device_caps_of(device)->isa & LB_ISA_AVX2));
    lb_tensor_release(native);
    end(&c);
}
#if defined __SANITIZE_ADDRESS__ /* many seconds a kernel */
enum { NATIVE_TOO = false, LAST_TOO = false };
#else
enum { NATIVE_TOO = true, LAST_TOO = true };
#endif
static void test_gemm_q8_0(void **unused) {
    (void)unused;
    gemm_quantized("q8_0", 1, NATIVE_TOO);
}
static void test_gemm_q6_k(void **unused) {
    (void)unused;
    gemm_quantized("q6_k", 1, false);
}
static void test_gemm_q8_0_rows(void **unused) {
    (void)unused;
    gemm_quantized("q8_0", 5, false);
}

/* ---- quantizing and expanding: the last row of a matrix of more than 2^31 bytes, as if it were by itself ---- */

enum { BY = 64 }; /* rows of a block, at most: the last row is the first of one */

static void *untouched(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Row n - 1 of n through survey, settle, quantize and dequantize; all before it are zeros that nobody looks at. */
static void last_row(const lb_quantizer *q, const float *x, int64_t n, int64_t k, float *y) {
    size_t bytes = q->size_bytes(q, n, k);
    float *all = untouched((size_t)(n * k) * sizeof *all);
    uint8_t *store = untouched(bytes);
    NEED(all && store);
    memcpy(all + (n - 1) * k, x, (size_t)k * sizeof *x);
    if (q->survey) q->survey(q, all, n, k, n - 1, n, store);
    if (q->settle) q->settle(q, n, k, store);
    q->quantize(q, all, n, k, n - 1, n, store);
    q->dequantize(q, store, n, k, n - 1, n, y);
    munmap(all, (size_t)(n * k) * sizeof *all), munmap(store, bytes);
}

static void check_last_row(const lb_quantizer *q) {
    int64_t k = 2048 > 8 * q->k_multiple ? 2048 / q->k_multiple * q->k_multiple : 8 * q->k_multiple, n = BY + 1;
    while ((int64_t)q->size_bytes(q, n, k) <= LIMIT) n += n / BY * BY;
    float *x = malloc((size_t)k * 3 * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < k; i++) x[i] = sinf((float)i);
    last_row(q, x, n, k, x + k), last_row(q, x, 1, k, x + 2 * k);
    const float apart = strcmp(q->name, "nf4-dq") ? 0 : 0.02f; /* its scales' mean is that of all rows */
    for (int64_t i = 0; i < k; i++)
        if (!(fabsf(x[k + i] - x[2 * k + i]) <= apart))
            fail_msg("%s: weight %lld of row %lld is %g, by itself %g", q->name, (long long)i, (long long)n,
                     (double)x[k + i], (double)x[2 * k + i]);
    free(x);
}
static void test_quantizers(void **unused) {
    (void)unused;
    for (int f = 0; lb_quantizer_families[f]; f++) { /* members of a family share their code: the first and the last */
        const char *const *first = lb_quantizer_families[f]->members;
        for (const char *const *m = first; *m; m++) {
            const lb_quantizer *q;
            if (m != first && (m[1] || !LAST_TOO)) continue;
            if (lb_quantizer_find(*m, &q)) fail_msg("%s", lb_error());
            check_last_row(q);
        }
    }
}

/* ---- reading only ---- */

static const int64_t READ = ((int64_t)1 << 29) + 1027; /* f32 */

static void check_sum(call *c, const char *name) {
    double sum = 0;
    for (int i = 0; i < 64; i++) sum += (double)row(c->t[1], 0)[i];
    EXPECT(name, sum, 1 + 2 + 4);
}
/* peak_read writes no sums but its parts'. */
static void clear_sink(call *c) {
    memset(lb_tensor_data(c->t[1]), strcmp(c->a.op->name, "peak_read") ? 0xff : 0, 64 * 4);
}

static void read_by(const char *op, int first, double a, int second, double b) {
    call c;
    lb_tensor *x = zeros(LB_F32, DIMS(READ));
    NEED(x);
    madvise(lb_tensor_data(x), lb_tensor_size_bytes(x), MADV_HUGEPAGE);
    row(x, 0)[0] = 1, ((float *)lb_tensor_data(x))[READ / 2 + 5] = 2, ((float *)lb_tensor_data(x))[READ - 1] = 4;
    begin(&c, op);
    c.a.p[first] = a, c.a.p[second] = b;
    operand(&c, 0, x);
    operand(&c, 1, small(LB_F32, DIMS(64)));
    each_kernel(&c, clear_sink, check_sum);
    end(&c);
}
static void test_read_strided(void **unused) {
    (void)unused;
    const double stride = 1 << 24; /* 2^26 bytes: eight of them ahead, and few pages at a time */
    read_by("read_strided", LB_READ_STRIDED_P_STRIDE, stride, LB_READ_STRIDED_P_STRIDE, stride);
}
static void test_read_reuse(void **unused) {
    (void)unused;
    read_by("read_reuse", LB_READ_REUSE_P_BLOCK, 1 << 20, LB_READ_REUSE_P_TIMES, 1);
}
static void test_peak_read(void **unused) {
    (void)unused;
    read_by("peak_read", LB_PEAK_READ_P_ROUNDS, 1, LB_PEAK_READ_P_ROUNDS, 1);
}

static void test_tried_all(void **unused) {
    (void)unused;
    tried_all(TEST_LARGE_WEIGHTS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_q8_0),    cmocka_unit_test(test_gemm_q6_k),    cmocka_unit_test(test_gemm_q8_0_rows),
        cmocka_unit_test(test_quantizers),   cmocka_unit_test(test_read_strided),
        cmocka_unit_test(test_read_reuse),   cmocka_unit_test(test_peak_read),
        cmocka_unit_test(test_tried_all),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
