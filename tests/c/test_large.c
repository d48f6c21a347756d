/* test_large.c: operands of more than 2^31 bytes, whose last elements a 32-bit offset would miss: every CPU kernel of
 * the operations below. Little of them is memory: pages that nobody wrote are one page of zeros, and outputs are one
 * piece of memory mapped again and again, but for their end. */
#include "large.h"

#include "engine/check.h"

/* ---- rows by number ---- */

enum { K = 64, ROWS = (1 << 23) + 5 };

static void check_gathered(call *c, const char *name) {
    const lb_tensor *out = c->t[LB_GATHER_OUT];
    for (int i = 0; i < K; i++) {
        EXPECT(name, row(out, 0)[i], i + 1);
        EXPECT(name, row(out, 1)[i], 0);
        EXPECT(name, row(out, 2)[i], -i);
    }
}
static void poison(call *c) { memset(lb_tensor_data(c->t[LB_GATHER_OUT]), 0xff, 3 * K * 4); }

static void test_gather(void **unused) {
    (void)unused;
    call c;
    lb_tensor *x = zeros(LB_F32, DIMS(ROWS, K));
    NEED(x);
    assert_true((int64_t)lb_tensor_size_bytes(x) > LIMIT);
    for (int i = 0; i < K; i++) row(x, ROWS - 1)[i] = (float)(i + 1), row(x, ROWS - 3)[i] = (float)-i;
    begin(&c, "gather");
    operand(&c, LB_GATHER_X, x);
    operand(&c, LB_GATHER_IDS, INTS(ROWS - 1, 3, ROWS - 3));
    operand(&c, LB_GATHER_OUT, small(LB_F32, DIMS(3, K)));
    each_kernel(&c, poison, check_gathered);
    end(&c);
}

static void test_embedding(void **unused) {
    (void)unused;
    enum { TABLE = (1 << 24) + 5 };
    call c;
    lb_tensor *x = zeros(LB_BF16, DIMS(TABLE, K));
    NEED(x);
    assert_true((int64_t)lb_tensor_size_bytes(x) > LIMIT);
    for (int i = 0; i < K; i++)
        row16(x, TABLE - 1)[i] = lb_f32_to_bf16((float)(i + 1)), row16(x, TABLE - 3)[i] = lb_f32_to_bf16((float)-i);
    begin(&c, "embedding");
    operand(&c, LB_EMBEDDING_TABLE, x);
    operand(&c, LB_EMBEDDING_IDS, INTS(TABLE - 1, 3, TABLE - 3));
    operand(&c, LB_EMBEDDING_OUT, small(LB_F32, DIMS(3, K)));
    _Static_assert((int)LB_EMBEDDING_OUT == (int)LB_GATHER_OUT, "poison() and check_gathered() serve both");
    each_kernel(&c, poison, check_gathered);
    end(&c);
}

static void clear_scattered(call *c) {
    for (int i = 0; i < 3; i++) memset(row(c->t[LB_SCATTER_OUT], ROWS - 1 - i), 0, K * 4);
}
static void check_scattered(call *c, const char *name) {
    const lb_tensor *out = c->t[LB_SCATTER_OUT];
    for (int i = 0; i < K; i++) {
        EXPECT(name, row(out, ROWS - 1)[i], i + 1);
        EXPECT(name, row(out, ROWS - 2)[i], 0);
        EXPECT(name, row(out, ROWS - 3)[i], i + 65);
    }
}

static void test_scatter(void **unused) {
    (void)unused;
    call c;
    lb_tensor *out = zeros(LB_F32, DIMS(ROWS, K)), *x = small(LB_F32, DIMS(2, K));
    NEED(out);
    for (int i = 0; i < 2 * K; i++) row(x, 0)[i] = (float)(i + 1);
    begin(&c, "scatter");
    operand(&c, LB_SCATTER_X, x);
    operand(&c, LB_SCATTER_IDS, INTS(ROWS - 1, ROWS - 3));
    operand(&c, LB_SCATTER_OUT, out);
    each_kernel(&c, clear_scattered, check_scattered);
    end(&c);
}

/* ---- caches of pages ---- */

enum { PAGE = 16, D = 128, PAGES = (1 << 19) + 3 };
static const int32_t page_table[] = { 1, PAGES - 1, PAGES - 2, 2 };

static uint16_t *cached(const lb_tensor *cache, int64_t page, int64_t position) {
    return row16(cache, page * PAGE + position);
}

static lb_tensor *pages(void) {
    lb_tensor *t = small(LB_I32, DIMS(2, 2));
    memcpy(lb_tensor_data(t), page_table, sizeof page_table);
    return t;
}

static void check_written(call *c, const char *name) {
    const lb_tensor *cache = c->t[LB_KV_WRITE_CACHE];
    for (int i = 0; i < D; i++) {
        EXPECT(name, lb_bf16_to_f32(cached(cache, PAGES - 1, 0)[i]), i);
        EXPECT(name, lb_bf16_to_f32(cached(cache, PAGES - 2, 2)[i]), -i);
    }
}
static void clear_cache(call *c) {
    lb_tensor *cache = c->t[LB_KV_WRITE_CACHE];
    memset(cached(cache, PAGES - 2, 0), 0, 2 * PAGE * D * 2);
}

static void test_kv_write(void **unused) {
    (void)unused;
    call c;
    lb_tensor *cache = zeros(LB_BF16, DIMS(PAGES, 1, PAGE, D)), *x = small(LB_F32, DIMS(2, 1, D));
    NEED(cache);
    assert_true((int64_t)lb_tensor_size_bytes(cache) > LIMIT);
    for (int i = 0; i < D; i++) row(x, 0)[i] = (float)i, row(x, 1)[i] = (float)-i;
    begin(&c, "kv_write");
    operand(&c, LB_KV_WRITE_X, x);
    operand(&c, LB_KV_WRITE_LENGTHS, INTS(17, 3)); /* positions 16 and 2 */
    operand(&c, LB_KV_WRITE_PAGES, pages());
    operand(&c, LB_KV_WRITE_CACHE, cache);
    each_kernel(&c, clear_cache, check_written);
    end(&c);
}

static void check_read(call *c, const char *name) {
    const lb_tensor *out = c->t[LB_KV_READ_OUT]; /* [2, 1, 32, D] */
    for (int i = 0; i < D; i++) {
        EXPECT(name, row(out, 16)[i], i);
        EXPECT(name, row(out, 32 + 2)[i], -i);
        EXPECT(name, row(out, 15)[i], 0);
        EXPECT(name, row(out, 32 + 3)[i], 0);
    }
}
static void poison_read(call *c) {
    lb_tensor *out = c->t[LB_KV_READ_OUT];
    memset(lb_tensor_data(out), 0xff, lb_tensor_size_bytes(out));
}

static void test_kv_read(void **unused) {
    (void)unused;
    call c;
    lb_tensor *cache = zeros(LB_BF16, DIMS(PAGES, 1, PAGE, D));
    NEED(cache);
    for (int i = 0; i < D; i++) {
        cached(cache, PAGES - 1, 0)[i] = lb_f32_to_bf16((float)i);
        cached(cache, PAGES - 2, 2)[i] = lb_f32_to_bf16((float)-i);
        cached(cache, PAGES - 2, 3)[i] = lb_f32_to_bf16(7); /* past the length */
    }
    begin(&c, "kv_read");
    operand(&c, LB_KV_READ_CACHE, cache);
    operand(&c, LB_KV_READ_LENGTHS, INTS(17, 3));
    operand(&c, LB_KV_READ_PAGES, pages());
    operand(&c, LB_KV_READ_OUT, small(LB_F32, DIMS(2, 1, 2 * PAGE, D)));
    each_kernel(&c, poison_read, check_read);
    end(&c);
}

/* q is ones and all keys are zeros but one of each row, in the last two pages: with it that position weighs about as
 * much as 17 others. */
static const float KEY = 0.25f;

static void check_attention(call *c, const char *name) {
    const lb_tensor *out = c->t[LB_ATTENTION_OUT];
    const double weight = exp((double)KEY * D / sqrt(D));
    for (int i = 0; i < D; i++) {
        double want = weight * i / (weight + 16), got = (double)row(out, 0)[i];
        if (!(fabs(got - want) <= 0.01 * fabs(want) + 1e-6)) fail_msg("%s: %g, expected %g", name, got, want);
        want = -(3 * weight + 2) * i / (weight + 2), got = (double)row(out, 1)[i];
        if (!(fabs(got - want) <= 0.01 * fabs(want) + 1e-6)) fail_msg("%s: %g, expected %g", name, got, want);
    }
}
static void poison_attention(call *c) {
    lb_tensor *out = c->t[LB_ATTENTION_OUT];
    memset(lb_tensor_data(out), 0xff, lb_tensor_size_bytes(out));
}

static void test_attention(void **unused) {
    (void)unused;
    call c;
    lb_tensor *k = zeros(LB_BF16, DIMS(PAGES, 1, PAGE, D)), *v = zeros(LB_BF16, DIMS(PAGES, 1, PAGE, D));
    NEED(k && v);
    for (int i = 0; i < D; i++) {
        cached(k, PAGES - 1, 0)[i] = cached(k, PAGES - 2, 1)[i] = lb_f32_to_bf16(KEY);
        cached(v, PAGES - 1, 0)[i] = lb_f32_to_bf16((float)i); /* the last of 17 positions */
        for (int s = 0; s < 3; s++) cached(v, PAGES - 2, s)[i] = lb_f32_to_bf16((float)(s == 1 ? -3 * i : -i));
    }
    begin(&c, "attention");
    lb_tensor *q = small(LB_F32, DIMS(2, 1, D));
    for (int i = 0; i < 2 * D; i++) row(q, 0)[i] = 1;
    operand(&c, LB_ATTENTION_Q, q);
    operand(&c, LB_ATTENTION_K, k);
    operand(&c, LB_ATTENTION_V, v);
    operand(&c, LB_ATTENTION_LENGTHS, INTS(17, 3));
    operand(&c, LB_ATTENTION_PAGES, pages());
    operand(&c, LB_ATTENTION_OUT, small(LB_F32, DIMS(2, 1, D)));
    each_kernel(&c, poison_attention, check_attention);
    end(&c);
}

/* ---- weights ---- */

enum { GEMM_K = 1 << 14, GEMM_N = (1 << 15) + 7 };

/* Row m of x is m + 1 everywhere. */
static void check_product(lb_tensor *out, const char *name) {
    for (int m = 0; m < out->dims[0]; m++) {
        EXPECT(name, row(out, m)[GEMM_N - 1], (m + 1) * GEMM_K);
        EXPECT(name, row(out, m)[GEMM_N - 2], 0);
        EXPECT(name, row(out, m)[GEMM_N - 3], -(m + 1) * GEMM_K);
        EXPECT(name, row(out, m)[0], m + 1);
    }
    lb_poison(out); /* for the kernel that comes next */
}
static void check_gemm(call *c, const char *name) { check_product(c->t[LB_GEMM_OUT], name); }
static void check_linear(call *c, const char *name) { check_product(c->t[LB_LINEAR_OUT], name); }
static void check_head_gemm(call *c, const char *name) { check_product(c->t[LB_HEAD_GEMM_OUT], name); }
static void gemm_of(int rows) {
    call c;
    lb_tensor *w = zeros(LB_F32, DIMS(GEMM_N, GEMM_K)), *x = small(LB_F32, DIMS(rows, GEMM_K));
    NEED(w);
    assert_true((int64_t)lb_tensor_size_bytes(w) > LIMIT);
    madvise(lb_tensor_data(w), lb_tensor_size_bytes(w), MADV_HUGEPAGE); /* zeros of 2 MiB are found in fewer faults */
    for (int i = 0; i < GEMM_K; i++) {
        row(w, GEMM_N - 1)[i] = 1, row(w, GEMM_N - 3)[i] = -1;
        for (int m = 0; m < rows; m++) row(x, m)[i] = (float)(m + 1);
    }
    row(w, 0)[5] = 1;
    begin(&c, "gemm");
    operand(&c, LB_GEMM_X, x);
    operand(&c, LB_GEMM_W, w);
    operand(&c, LB_GEMM_OUT, small(LB_F32, DIMS(rows, GEMM_N)));
    each_kernel(&c, NULL, check_gemm);
    end(&c);
}
static void test_gemm(void **unused) {
    (void)unused;
    gemm_of(1);
}
static void test_gemm_rows(void **unused) {
    (void)unused;
    gemm_of(5);
}

/* Weights as gemm's, as the only matrix of `linear` (x of rank 2) and the only head of `head_gemm` (3). */
static void products(const char *op, int rank, int out_slot) {
    const int64_t wide[] = { 1, GEMM_N, GEMM_K }, x_dims[] = { 1, 1, GEMM_K }, out_dims[] = { 1, 1, GEMM_N };
    const int without = 3 - rank; /* leading dimensions that are not there */
    call c;
    lb_tensor *w = zeros(LB_F32, rank, wide + without), *x = small(LB_F32, rank, x_dims + without);
    NEED(w);
    madvise(lb_tensor_data(w), lb_tensor_size_bytes(w), MADV_HUGEPAGE);
    for (int i = 0; i < GEMM_K; i++) row(w, GEMM_N - 1)[i] = 1, row(w, GEMM_N - 3)[i] = -1, row(x, 0)[i] = 1;
    row(w, 0)[5] = 1;
    begin(&c, op);
    operand(&c, 0, x);
    operand(&c, 1, w);
    operand(&c, out_slot, small(LB_F32, rank, out_dims + without));
    each_kernel(&c, NULL, rank == 2 ? check_linear : check_head_gemm);
    end(&c);
}
static void test_linear(void **unused) {
    (void)unused;
    products("linear", 2, LB_LINEAR_OUT);
}
static void test_head_gemm(void **unused) {
    (void)unused;
    products("head_gemm", 3, LB_HEAD_GEMM_OUT);
}

/* ---- element by element ---- */

static const int64_t MANY = ((int64_t)1 << 29) + 1027; /* f32 */

static void check_streamed(call *c, const char *name) {
    const lb_tensor *out = c->t[1];
    for (int64_t i = MANY - 1027; i < MANY; i++) {
        int64_t at = i;
        double got = lb_tensor_at(out, &at);
        if (got != (double)(i % 2 ? 3 : 1)) fail_msg("%s: element %lld is %g", name, (long long)i, got);
    }
}
static void clear_tail(call *c) {
    lb_tensor *out = c->t[1];
    size_t each = lb_dtype_size(out->dtype);
    memset((char *)lb_tensor_data(out) + (size_t)(MANY - 1027) * each, 0xff, 1027 * each);
}

static void streamed(const char *op, lb_dtype to, double parameter) {
    call c;
    int64_t n = MANY;
    lb_tensor *x = echo(LB_F32, 1, &n), *out = echo(to, 1, &n);
    NEED(x && out);
    for (int64_t i = MANY - 1027; i < MANY; i++) ((float *)lb_tensor_data(x))[i] = i % 2 ? 3 : 1;
    begin(&c, op);
    c.a.p[0] = parameter;
    operand(&c, 0, x);
    operand(&c, 1, out);
    each_kernel(&c, clear_tail, check_streamed);
    end(&c);
}
static void test_copy(void **unused) {
    (void)unused;
    streamed("copy", LB_F32, 0);
}
static void test_convert(void **unused) {
    (void)unused;
    const lb_op *op = NULL;
    int to = 0;
    assert_int_equal(lb_op_find("convert", &op), LB_OK);
    const char *const *names = lb_op_choices(op, LB_CONVERT_P_TO);
    while (names[to] && strcmp(names[to], "bf16")) to++;
    assert_non_null(names[to]);
    streamed("convert", LB_BF16, to);
}
static void test_activation(void **unused) {
    (void)unused;
    streamed("activation", LB_F32, LB_ACTIVATION_RELU);
}

/* ---- rows far apart ---- */

/* Two rows of 67 that stand more than 2^31 bytes apart give the bits that they give side by side. */
static void far_apart(const char *name) {
    static const int64_t step = ((int64_t)1 << 29) + 96;
    enum { COLS = 67 };
    lb_tensor *whole = zeros(LB_F32, DIMS(2, step)), *far = NULL;
    NEED(whole);
    if (lb_tensor_slice(whole, 1, 0, COLS, &far)) fail_msg("%s", lb_error());
    lb_tensor_release(whole);
    lb_tensor *near = small(LB_F32, DIMS(2, COLS));
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < COLS; i++)
            lb_row_f32(far, r)[i] = row(near, r)[i] = sinf((float)(r * 100 + i));
    call a, b;
    begin(&a, name), begin(&b, name);
    operand(&a, 0, far), operand(&b, 0, near);
    int out = 1;
    while (strcmp(a.a.op->operands[out].name, "out")) out++;
    operand(&a, out, small(LB_F32, DIMS(2, COLS))), operand(&b, out, small(LB_F32, DIMS(2, COLS)));
    if (a.a.op->check(&a.a)) fail_msg("%s: %s", name, lb_error());
    int tried = 0;
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, name) || !lb_kernel_fits(k, device, &a.a, NULL)) continue;
        launch(k, &a.a), launch(k, &b.a);
        assert_memory_equal(lb_tensor_data(a.t[out]), lb_tensor_data(b.t[out]), 2 * COLS * 4);
        assert_true(row(a.t[out], 1)[COLS - 1] != 0);
        tried++;
    }
    assert_true(tried > 0);
    end(&a), end(&b);
}

/* [2, COLS] of which the rows stand more than 2^31 bytes apart, with the values of `near`. */
enum { FAR_COLS = 67 };
static lb_tensor *far_rows(const lb_tensor *near) {
    lb_tensor *whole = zeros(LB_F32, DIMS(2, ((int64_t)1 << 29) + 96)), *far = NULL;
    if (!whole) return NULL;
    if (lb_tensor_slice(whole, 1, 0, FAR_COLS, &far)) fail_msg("%s", lb_error());
    lb_tensor_release(whole);
    for (int r = 0; r < 2; r++) memcpy(lb_row_f32(far, r), lb_row_f32(near, r), FAR_COLS * 4);
    return far;
}
static lb_tensor *waves(float step) {
    lb_tensor *t = small(LB_F32, DIMS(2, FAR_COLS));
    for (int i = 0; i < 2 * FAR_COLS; i++) row(t, 0)[i] = sinf(step * (float)i);
    return t;
}

/* Each kernel of both calls; `written` slots must be the same bits. `keep` is restored before each. */
static void same_far_and_near(call *far, call *near, int keep, const lb_tensor *kept, int first, int last) {
    int tried = 0;
    if (far->a.op->check(&far->a)) fail_msg("%s: %s", far->a.op->name, lb_error());
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, far->a.op->name) || !lb_kernel_fits(k, device, &far->a, NULL)) continue;
        for (int r = 0; r < 2 && kept; r++) {
            memcpy(lb_row_f32(far->t[keep], r), lb_row_f32(kept, r), FAR_COLS * 4);
            memcpy(lb_row_f32(near->t[keep], r), lb_row_f32(kept, r), FAR_COLS * 4);
        }
        launch(k, &far->a), launch(k, &near->a);
        for (int s = first; s <= last; s++)
            assert_memory_equal(lb_tensor_data(far->t[s]), lb_tensor_data(near->t[s]),
                                lb_tensor_size_bytes(near->t[s]));
        for (int r = 0; r < 2 && kept; r++)
            assert_memory_equal(lb_row_f32(far->t[keep], r), lb_row_f32(near->t[keep], r), FAR_COLS * 4);
        tried++;
    }
    assert_true(tried > 0);
    end(far), end(near);
}

static void test_add_rms_norm(void **unused) {
    (void)unused;
    call a, b;
    lb_tensor *x = waves(0.7f), *h = waves(1.3f), *fx = far_rows(x), *fh = far_rows(h), *kept = waves(1.3f);
    NEED(fx && fh);
    begin(&a, "add_rms_norm"), begin(&b, "add_rms_norm");
    operand(&a, LB_ADD_RMS_NORM_X, fx), operand(&b, LB_ADD_RMS_NORM_X, x);
    operand(&a, LB_ADD_RMS_NORM_H, fh), operand(&b, LB_ADD_RMS_NORM_H, h);
    operand(&a, LB_ADD_RMS_NORM_OUT, small(LB_F32, DIMS(2, FAR_COLS)));
    operand(&b, LB_ADD_RMS_NORM_OUT, small(LB_F32, DIMS(2, FAR_COLS)));
    same_far_and_near(&a, &b, LB_ADD_RMS_NORM_H, kept, LB_ADD_RMS_NORM_OUT, LB_ADD_RMS_NORM_OUT);
    lb_tensor_release(kept);
}

static void test_rms_norm_quantize(void **unused) {
    (void)unused;
    call a, b;
    lb_tensor *x = waves(0.7f), *far = far_rows(x);
    NEED(far);
    begin(&a, "rms_norm_quantize"), begin(&b, "rms_norm_quantize");
    operand(&a, LB_RMS_NORM_Q_X, far), operand(&b, LB_RMS_NORM_Q_X, x);
    for (int i = 0; i < 2; i++) {
        operand(i ? &b : &a, LB_RMS_NORM_Q_CODES, small(LB_I8, DIMS(2, FAR_COLS)));
        operand(i ? &b : &a, LB_RMS_NORM_Q_SCALES, small(LB_F32, DIMS(2, 3)));
    }
    same_far_and_near(&a, &b, 0, NULL, LB_RMS_NORM_Q_CODES, LB_RMS_NORM_Q_SCALES);
}

/* Both inputs far apart, the third operand the result. */
static void test_pairs_of_rows(void **unused) {
    (void)unused;
    static const char *const ops[] = { "add", "swiglu", "swiglu_clamped" };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        call a, b;
        lb_tensor *x = waves(0.7f), *y = waves(1.3f), *fx = far_rows(x), *fy = far_rows(y);
        NEED(fx && fy);
        begin(&a, ops[i]), begin(&b, ops[i]);
        operand(&a, 0, fx), operand(&a, 1, fy), operand(&a, 2, small(LB_F32, DIMS(2, FAR_COLS)));
        operand(&b, 0, x), operand(&b, 1, y), operand(&b, 2, small(LB_F32, DIMS(2, FAR_COLS)));
        same_far_and_near(&a, &b, 0, NULL, 2, 2);
    }
}

static void test_residual(void **unused) {
    (void)unused;
    call a, b;
    lb_tensor *x = waves(0.7f), *y = waves(1.3f), *fx = far_rows(x), *fy = far_rows(y), *kept = waves(1.3f);
    NEED(fx && fy);
    begin(&a, "residual"), begin(&b, "residual");
    operand(&a, LB_RESIDUAL_X, fx), operand(&b, LB_RESIDUAL_X, x);
    operand(&a, LB_RESIDUAL_Y, fy), operand(&b, LB_RESIDUAL_Y, y);
    same_far_and_near(&a, &b, LB_RESIDUAL_Y, kept, 1, 0);
    lb_tensor_release(kept);
}

static void test_sample(void **unused) {
    (void)unused;
    call a, b;
    lb_tensor *x = waves(0.7f), *far = far_rows(x);
    NEED(far);
    begin(&a, "sample"), begin(&b, "sample");
    a.a.p[LB_SAMPLE_P_TEMPERATURE] = b.a.p[LB_SAMPLE_P_TEMPERATURE] = 0;
    operand(&a, LB_SAMPLE_LOGITS, far), operand(&b, LB_SAMPLE_LOGITS, x);
    operand(&a, LB_SAMPLE_IDS, INTS(-1, -1)), operand(&b, LB_SAMPLE_IDS, INTS(-1, -1));
    same_far_and_near(&a, &b, 0, NULL, LB_SAMPLE_IDS, LB_SAMPLE_IDS);
}

/* Tokens far apart, one head. */
static void test_rope(void **unused) {
    (void)unused;
    call a, b;
    lb_tensor *kept = waves(0.7f), *whole = zeros(LB_F32, DIMS(2, 1, ((int64_t)1 << 29) + 96)), *far;
    NEED(whole);
    if (lb_tensor_slice(whole, 2, 0, FAR_COLS, &far)) fail_msg("%s", lb_error());
    lb_tensor_release(whole);
    begin(&a, "rope"), begin(&b, "rope");
    operand(&a, LB_ROPE_X, far), operand(&b, LB_ROPE_X, small(LB_F32, DIMS(2, 1, FAR_COLS)));
    for (int i = 0; i < 2; i++) {
        lb_tensor *f = small(LB_F32, DIMS(FAR_COLS / 2));
        for (int j = 0; j < FAR_COLS / 2; j++) row(f, 0)[j] = 1.0f / (float)(j + 1);
        operand(i ? &b : &a, LB_ROPE_POSITIONS, INTS(3, 100000));
        operand(i ? &b : &a, LB_ROPE_FREQUENCIES, f);
    }
    same_far_and_near(&a, &b, LB_ROPE_X, kept, 1, 0);
    lb_tensor_release(kept);
}

static void test_rows(void **unused) {
    (void)unused;
    static const char *const ops[] = { "rms_norm", "layer_norm", "softmax" };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) far_apart(ops[i]);
}

static void test_tried_all(void **unused) {
    (void)unused;
    tried_all(TEST_LARGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather),       cmocka_unit_test(test_embedding), cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_kv_write),     cmocka_unit_test(test_kv_read),   cmocka_unit_test(test_attention),
        cmocka_unit_test(test_gemm),         cmocka_unit_test(test_gemm_rows), cmocka_unit_test(test_copy),
        cmocka_unit_test(test_convert),      cmocka_unit_test(test_activation), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_add_rms_norm), cmocka_unit_test(test_rms_norm_quantize),
        cmocka_unit_test(test_pairs_of_rows), cmocka_unit_test(test_residual), cmocka_unit_test(test_sample),
        cmocka_unit_test(test_rope),         cmocka_unit_test(test_linear),    cmocka_unit_test(test_head_gemm),
        cmocka_unit_test(test_tried_all),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
