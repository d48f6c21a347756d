/* test_large_ends.c: operands of more than 2^31 elements, of which all but the end stays addresses: the last of many
 * parts runs, of every CPU kernel of the operations below. What has no parts is walked through, at 2^31 bytes. */
#include "large.h"

#include "engine/check.h"
#include "engine/ops/recipes.h"
#include "engine/ops/topk.h"

/* So many that the last of 1024 parts begins beyond 2^31. */
static const int64_t MORE = ((int64_t)1 << 31) + (1 << 22) + 1027;

static inline float *at(const lb_tensor *t, int64_t i) { return (float *)lb_tensor_data(t) + i; }

/* ---- element by element ---- */

static void clear_y(call *c) {
    for (int i = 1; i <= 100; i++) *at(c->t[LB_AXPY_Y], MORE - i) = (float)i;
}
static void check_y(call *c, const char *name) {
    for (int i = 1; i <= 100; i++) EXPECT(name, *at(c->t[LB_AXPY_Y], MORE - i), i + 3 * (i % 7));
}
static void test_axpy(void **unused) {
    (void)unused;
    call c;
    lb_tensor *x = zeros(LB_F32, DIMS(MORE)), *y = zeros(LB_F32, DIMS(MORE)), *scale = small(LB_F32, DIMS(2));
    NEED(x && y);
    for (int i = 1; i <= 100; i++) *at(x, MORE - i) = (float)(i % 7);
    *at(scale, 1) = 3;
    begin(&c, "axpy");
    c.a.p[LB_AXPY_P_AT] = 1;
    operand(&c, LB_AXPY_X, x), operand(&c, LB_AXPY_SCALE, scale), operand(&c, LB_AXPY_Y, y);
    each_kernel_by(launch_end, &c, clear_y, check_y);
    end(&c);
}

/* The last operand is the output; all of its end becomes 1, as fill's value, peak_write's and peak_copy's x have it. */
static lb_tensor *result(call *c) {
    int slot = 0;
    while (c->a.op->operands[slot + 1].name) slot++;
    return c->t[slot];
}
static void clear_ones(call *c) { memset(at(result(c), MORE - 100), 0xff, 400); }
static void check_ones(call *c, const char *name) {
    for (int i = 1; i <= 100; i++) EXPECT(name, *at(result(c), MORE - i), 1);
}
static void ones(const char *op, bool copied) {
    call c;
    lb_tensor *x = copied ? zeros(LB_F32, DIMS(MORE)) : NULL, *out = zeros(LB_F32, DIMS(MORE));
    NEED(out && (x || !copied));
    for (int i = 1; i <= 100 && copied; i++) *at(x, MORE - i) = 1;
    begin(&c, op);
    if (copied) operand(&c, 0, x);
    else c.a.p[LB_FILL_P_VALUE] = 1;
    operand(&c, copied, out);
    each_kernel_by(launch_end, &c, clear_ones, check_ones);
    end(&c);
}
static void test_fill_and_peaks(void **unused) {
    (void)unused;
    ones("fill", false), ones("peak_write", false), ones("peak_copy", true);
}

/* ---- routing ---- */

/* As many are selected as there are, so that the outputs are as large as the input. */
enum { EXPERTS = 64, TOKENS = (1 << 25) + (1 << 16) + 3 };

static void check_selected(call *c, const char *name) {
    const int32_t *ids = lb_tensor_data(c->t[LB_TOPK_IDS]);
    for (int64_t t = TOKENS - 2; t < TOKENS; t++) {
        int64_t first = t == TOKENS - 1 ? 63 : 5;
        EXPECT(name, ids[t * EXPERTS], first);
        EXPECT(name, ids[t * EXPERTS + 1], 0);
        EXPECT(name, ids[t * EXPERTS + 63], first == 63 ? 62 : 63);
        double best = *at(c->t[LB_TOPK_WEIGHTS], t * EXPERTS), next = *at(c->t[LB_TOPK_WEIGHTS], t * EXPERTS + 1);
        assert_true(fabs(best * 64 - 2) < 1e-4 && fabs(next * 64 - 62.0 / 63) < 1e-4);
    }
}
static void clear_selected(call *c) {
    memset(at(c->t[LB_TOPK_IDS], (int64_t)(TOKENS - 2) * EXPERTS), 0xff, 2 * EXPERTS * 4);
    memset(at(c->t[LB_TOPK_WEIGHTS], (int64_t)(TOKENS - 2) * EXPERTS), 0xff, 2 * EXPERTS * 4);
}
static void test_topk(void **unused) {
    (void)unused;
    call c;
    lb_tensor *logits = zeros(LB_F32, DIMS(TOKENS, EXPERTS)), *ids = zeros(LB_I32, DIMS(TOKENS, EXPERTS));
    lb_tensor *weights = zeros(LB_F32, DIMS(TOKENS, EXPERTS));
    NEED(logits && ids && weights);
    row(logits, TOKENS - 1)[63] = row(logits, TOKENS - 2)[5] = logf(2 / (1 - 2 / 64.0f) * 63 / 64);
    begin(&c, "topk");
    c.a.p[LB_TOPK_P_K] = EXPERTS;
    operand(&c, LB_TOPK_LOGITS, logits), operand(&c, LB_TOPK_IDS, ids), operand(&c, LB_TOPK_WEIGHTS, weights);
    each_kernel_by(launch_end, &c, clear_selected, check_selected);
    end(&c);
}

enum { HIDDEN = 64, EACH = 2 };
static void check_combined(call *c, const char *name) {
    for (int i = 0; i < HIDDEN; i++) {
        EXPECT(name, row(c->t[LB_COMBINE_OUT], TOKENS - 1)[i], 7 + 2 * i - 3 * 5);
        EXPECT(name, row(c->t[LB_COMBINE_OUT], TOKENS - 2)[i], 0);
    }
}
static void clear_combined(call *c) {
    memset(row(c->t[LB_COMBINE_OUT], TOKENS - 2), 0xff, 2 * HIDDEN * sizeof(float));
}
static void test_combine(void **unused) {
    (void)unused;
    call c;
    lb_tensor *y = zeros(LB_F32, DIMS((int64_t)TOKENS * EACH, HIDDEN)), *weights = zeros(LB_F32, DIMS(TOKENS, EACH));
    lb_tensor *shared = zeros(LB_F32, DIMS(TOKENS, HIDDEN)), *out = zeros(LB_F32, DIMS(TOKENS, HIDDEN));
    NEED(y && weights && shared && out);
    row(weights, TOKENS - 1)[0] = 2, row(weights, TOKENS - 1)[1] = -3;
    for (int i = 0; i < HIDDEN; i++) {
        row(y, (int64_t)TOKENS * EACH - 2)[i] = (float)i, row(y, (int64_t)TOKENS * EACH - 1)[i] = 5;
        row(shared, TOKENS - 1)[i] = 7;
    }
    begin(&c, "combine");
    operand(&c, LB_COMBINE_Y, y), operand(&c, LB_COMBINE_WEIGHTS, weights);
    operand(&c, LB_COMBINE_SHARED, shared), operand(&c, LB_COMBINE_OUT, out);
    each_kernel_by(launch_end, &c, clear_combined, check_combined);
    end(&c);
}

/* ---- weights ---- */

enum { WIDE = 1 << 13 };

static void check_f64(call *c, const char *name) {
    const lb_tensor *out = c->t[LB_GEMM_OUT];
    for (int64_t m = 0, n = out->dims[1]; m < out->dims[0]; m++) {
        EXPECT(name, lb_tensor_at(out, (int64_t[]){ m, n - 1 }), (m + 1) * WIDE);
        EXPECT(name, lb_tensor_at(out, (int64_t[]){ m, n - 2 }), 0);
        EXPECT(name, lb_tensor_at(out, (int64_t[]){ m, n - 3 }), -(m + 1) * WIDE);
    }
}
static void clear_product(call *c) { lb_poison(c->t[LB_GEMM_OUT]); }
static void gemm_f64(int rows, int64_t n, void (*run)(const lb_kernel *, const lb_args *)) {
    call c;
    lb_tensor *w = zeros(LB_F64, DIMS(n, WIDE)), *x = small(LB_F64, DIMS(rows, WIDE));
    NEED(w);
    assert_true((int64_t)lb_tensor_size_bytes(w) > LIMIT);
    madvise(lb_tensor_data(w), lb_tensor_size_bytes(w), MADV_HUGEPAGE);
    double *ws = lb_tensor_data(w), *xs = lb_tensor_data(x);
    for (int i = 0; i < rows * WIDE; i++) xs[i] = i / WIDE + 1;
    for (int i = 0; i < WIDE; i++) ws[(n - 1) * WIDE + i] = 1, ws[(n - 3) * WIDE + i] = -1;
    begin(&c, "gemm");
    operand(&c, LB_GEMM_X, x), operand(&c, LB_GEMM_W, w), operand(&c, LB_GEMM_OUT, small(LB_F64, DIMS(rows, n)));
    each_kernel_by(run, &c, clear_product, check_f64);
    end(&c);
}
static void test_gemm_f64(void **unused) {
    (void)unused;
    gemm_f64(2, LIMIT / WIDE + 7, launch_end);
#if !defined __SANITIZE_ADDRESS__ /* many seconds */
    gemm_f64(5, LIMIT / WIDE / 8 + 7, launch); /* many rows: items that are handed out */
#endif
}

/* x and w as bf16, which is what the quantizer `baseline` makes. */
static lb_tensor *brains(int64_t n) {
    lb_buffer *b;
    lb_tensor *bytes = zeros(LB_BF16, DIMS(n, WIDE)), *t;
    const lb_quantizer *q;
    if (!bytes) return NULL;
    b = bytes->buffer;
    if (lb_quantizer_find("baseline", &q) || lb_tensor_wrap(b, 0, LB_QUANT, q, 2, (int64_t[]){ n, WIDE }, &t))
        fail_msg("%s", lb_error());
    lb_tensor_release(bytes);
    return t;
}
static void test_gemm_stored(void **unused) {
    (void)unused;
    const int64_t n = LIMIT / WIDE + 7;
    call c;
    lb_tensor *x = brains(2), *w = brains(n), *out;
    NEED(x && w);
    for (int i = 0; i < WIDE; i++) {
        for (int m = 0; m < 2; m++) row16(x, m)[i] = lb_f32_to_bf16((float)(m + 1));
        row16(w, n - 1)[i] = lb_f32_to_bf16(1), row16(w, n - 3)[i] = lb_f32_to_bf16(-1);
    }
    out = small(LB_F32, DIMS(2, n));
    begin(&c, "gemm_stored");
    operand(&c, LB_GEMM_X, x), operand(&c, LB_GEMM_W, w), operand(&c, LB_GEMM_OUT, out);
    each_kernel_by(launch_end, &c, clear_product, check_f64);
    end(&c);
}

static void check_quantized(call *c, const char *name) {
    const lb_tensor *x = c->t[LB_QUANTIZE_X];
    const lb_quantizer *q;
    float got[WIDE];
    assert_int_equal(lb_quantizer_find("q8_0", &q), LB_OK);
    q->dequantize(q, lb_tensor_data(c->t[LB_QUANTIZE_OUT]), x->dims[0], WIDE, x->dims[0] - 1, x->dims[0], got);
    for (int i = 0; i < WIDE; i++) assert_true(fabsf(got[i] - row(x, x->dims[0] - 1)[i]) < 0.01f);
    assert_string_equal(name, "quantize.any.portable");
}
static void test_quantize(void **unused) {
    (void)unused;
    const int64_t n = LIMIT / WIDE + 7;
    call c;
    lb_tensor *x = zeros(LB_F32, DIMS(n, WIDE)), *out = zeros(LB_U8, DIMS(n * WIDE / 32 * 34));
    NEED(x && out);
    for (int i = 0; i < WIDE; i++) row(x, n - 1)[i] = sinf((float)i);
    begin(&c, "quantize");
    c.a.p[LB_QUANTIZE_P_TO] = LB_QUANTIZE_Q8_0;
    operand(&c, LB_QUANTIZE_X, x), operand(&c, LB_QUANTIZE_OUT, out);
    each_kernel_by(launch_end, &c, NULL, check_quantized);
    end(&c);
}

/* ---- experts: few rows of many tokens ---- */

/* Rows of experts 0 and 1: slots far in x, h and y, or near; as many of them either way. */
enum { FFN = 1024, FFN_EXPERTS = 2, FFN_ROWS = 3, NEAR = 9 };
static const int64_t FAR = LIMIT / FFN + 9;

static void ffn_call(call *c, int64_t tokens, lb_tensor **weights) {
    static const int32_t back[FFN_ROWS] = { 1, 4, 3 }; /* from the end */
    lb_tensor *x = zeros(LB_F32, DIMS(tokens, FFN)), *rows = zeros(LB_I32, DIMS(tokens));
    NEED(x && rows);
    for (int i = 0; i < FFN_ROWS; i++) {
        ((int32_t *)lb_tensor_data(rows))[i] = (int32_t)(tokens - back[i]);
        for (int j = 0; j < FFN; j++) row(x, tokens - back[i])[j] = sinf((float)(100 * i + j));
    }
    begin(c, "moe_ffn");
    operand(c, LB_FFN_X, x), operand(c, LB_FFN_ROWS, rows);
    operand(c, LB_FFN_OFFSETS, INTS(0, 2, FFN_ROWS)), operand(c, LB_FFN_CLASS, INTS(0, 0));
    for (int slot = LB_FFN_GATE; slot <= LB_FFN_DOWN; slot++)
        c->a.t[slot] = (lb_operand){ .items = weights + (slot - LB_FFN_GATE) * FFN_EXPERTS, .count = FFN_EXPERTS };
    for (int slot = LB_FFN_H; slot <= LB_FFN_Y; slot++) {
        lb_tensor *out = zeros(LB_F32, DIMS(tokens, FFN));
        NEED(out);
        operand(c, slot, out);
    }
    if (c->a.op->check(&c->a)) fail_msg("%s", lb_error());
}

/* A kernel on both; what is far is what is near. */
static void far_as_near(const lb_kernel *k, call *far, call *near) {
    static const int back[FFN_ROWS] = { 1, 4, 3 };
    launch(k, &far->a), launch(k, &near->a);
    for (int slot = LB_FFN_H; slot <= LB_FFN_Y; slot++)
        for (int i = 0; i < FFN_ROWS; i++) {
            float *f = row(far->t[slot], FAR - back[i]), *n = row(near->t[slot], NEAR - back[i]);
            if (memcmp(f, n, FFN * sizeof *f) || n[FFN - 1] == 0)
                fail_msg("%s: row %lld of operand %d is %g ..., near %g ...", k->name, (long long)(FAR - back[i]), slot,
                         (double)f[0], (double)n[0]);
            memset(f, 0xff, FFN * sizeof *f), memset(n, 0xff, FFN * sizeof *n);
        }
}

/* Kernels that read repacked weights get them so. */
static void moe_ffn_of(const char *format) {
    lb_tensor *own[3 * FFN_EXPERTS], *read[3 * FFN_EXPERTS];
    const lb_quantizer *q = NULL;
    int tried = 0;
    call far, near;
    if (format && lb_quantizer_find(format, &q)) fail_msg("%s", lb_error());
    for (int i = 0; i < 3 * FFN_EXPERTS; i++) {
        lb_tensor *w = small(LB_F32, DIMS(FFN, FFN));
        for (int j = 0; j < FFN * FFN; j++) row(w, 0)[j] = 0.02f * (float)((j * 7 + i * 13) % 101 - 50);
        if (!q) own[i] = lb_tensor_retain(w);
        else if (lb_tensor_quantize(w, q, NULL, NULL, &own[i])) fail_msg("%s", lb_error());
        lb_tensor_release(w);
        read[i] = own[i];
    }
    ffn_call(&far, FAR, read), ffn_call(&near, NEAR, read);
    for (int n = 0; n < lb_kernel_count(); n++) {
        const lb_kernel *k = lb_kernel_at(n), *panel = k->panel_weights && q ? lb_kernel_panel_for(device, q) : NULL;
        if (strcmp(k->op, "moe_ffn") || (k->panel_weights && !panel)) continue;
        for (int i = 0; i < 3 * FFN_EXPERTS; i++) {
            read[i] = own[i];
            if (panel && lb_tensor_in_layout(own[i], panel, &read[i], NULL)) fail_msg("%s", lb_error());
        }
        if (!lb_kernel_fits(k, device, &far.a, NULL)) continue;
        far_as_near(k, &far, &near);
        tried++;
    }
    assert_true(tried > 0);
    for (int i = 0; i < 3 * FFN_EXPERTS; i++) lb_tensor_release(own[i]);
    end(&far), end(&near);
}
static void test_moe_ffn(void **unused) {
    (void)unused;
    moe_ffn_of(NULL), moe_ffn_of("q8_0"), moe_ffn_of("q4_k");
}

/* ---- without parts: more than 2^31 bytes ---- */

static const int64_t SLOTS = ((int64_t)1 << 29) + 1027; /* i32 */

static int32_t number(const call *c, int slot, int64_t i) { return ((int32_t *)lb_tensor_data(c->t[slot]))[i]; }

/* All slots are of expert 0 but two of the last three, whose class is rare. */
static void check_grouped(call *c, const char *name) {
    EXPECT(name, number(c, LB_GROUP_OFFSETS, 1), SLOTS - 2);
    EXPECT(name, number(c, LB_GROUP_OFFSETS, 2), SLOTS - 1);
    EXPECT(name, number(c, LB_GROUP_OFFSETS, 3), SLOTS);
    EXPECT(name, number(c, LB_GROUP_CLASS_ROWS, 0), SLOTS - 2);
    EXPECT(name, number(c, LB_GROUP_CLASS_ROWS, 1), 2);
    EXPECT(name, number(c, LB_GROUP_ROWS, SLOTS - 4), SLOTS - 4);
    EXPECT(name, number(c, LB_GROUP_ROWS, SLOTS - 3), SLOTS - 1);
    EXPECT(name, number(c, LB_GROUP_ROWS, SLOTS - 2), SLOTS - 3);
    EXPECT(name, number(c, LB_GROUP_ROWS, SLOTS - 1), SLOTS - 2);
    for (int i = 1; i <= 4; i++) EXPECT(name, number(c, LB_GROUP_RARE, SLOTS - i), i == 2 || i == 3);
}
static void test_moe_group(void **unused) {
    (void)unused;
    call c;
    lb_tensor *ids = zeros(LB_I32, DIMS(SLOTS, 1));
    lb_tensor *rows = echo(LB_I32, DIMS(SLOTS)), *rare = echo(LB_I32, DIMS(SLOTS));
    NEED(ids && rows && rare);
    madvise(lb_tensor_data(ids), lb_tensor_size_bytes(ids), MADV_HUGEPAGE);
    ((int32_t *)lb_tensor_data(ids))[SLOTS - 3] = 1, ((int32_t *)lb_tensor_data(ids))[SLOTS - 2] = 2;
    begin(&c, "moe_group");
    c.a.p[LB_GROUP_P_CLASSES] = 2, c.a.p[LB_GROUP_P_THRESHOLD] = 3;
    operand(&c, LB_GROUP_IDS, ids), operand(&c, LB_GROUP_CLASS, INTS(0, 1, 1));
    operand(&c, LB_GROUP_OFFSETS, INTS(-1, -1, -1, -1)), operand(&c, LB_GROUP_ROWS, rows);
    operand(&c, LB_GROUP_CLASS_ROWS, INTS(-1, -1)), operand(&c, LB_GROUP_GROUPED, INTS(-1, -1));
    operand(&c, LB_GROUP_RARE, rare);
    each_kernel(&c, NULL, check_grouped);
    end(&c);
}

static void check_advanced(call *c, const char *name) {
    EXPECT(name, number(c, LB_ADVANCE_LENGTHS, 0), 7);
    EXPECT(name, number(c, LB_ADVANCE_LENGTHS, 1), SLOTS + 1);
    for (int i = 1; i <= 100; i++) EXPECT(name, number(c, LB_ADVANCE_POSITIONS, SLOTS - i), SLOTS + 1 - i);
}
static void test_advance(void **unused) {
    (void)unused;
    call c;
    lb_tensor *positions = echo(LB_I32, DIMS(SLOTS));
    NEED(positions);
    begin(&c, "advance");
    operand(&c, LB_ADVANCE_STARTS, INTS(0, 2, (int32_t)SLOTS)), operand(&c, LB_ADVANCE_LENGTHS, INTS(5, 3));
    operand(&c, LB_ADVANCE_POSITIONS, positions);
    each_kernel(&c, NULL, check_advanced);
    end(&c);
}

/* Two experts have rows, the last two: a candidate that costs one an expert is dearer than 1.5, not than 2.5. */
static void check_chosen(call *c, const char *name) {
    for (int i = 0; i < 3; i++) EXPECT(name, number(c, LB_CHOOSE_FLAGS, i), i == 1);
}
static void test_choose(void **unused) {
    (void)unused;
    call c;
    lb_tensor *offsets = zeros(LB_I32, DIMS(SLOTS + 1)), *costs = small(LB_F32, DIMS(3, 3));
    NEED(offsets);
    madvise(lb_tensor_data(offsets), lb_tensor_size_bytes(offsets), MADV_HUGEPAGE);
    ((int32_t *)lb_tensor_data(offsets))[SLOTS - 1] = 4, ((int32_t *)lb_tensor_data(offsets))[SLOTS] = 5;
    row(costs, 0)[2] = 1, row(costs, 1)[0] = 1.5f, row(costs, 2)[0] = 2.5f;
    begin(&c, "choose");
    operand(&c, LB_CHOOSE_OFFSETS, offsets), operand(&c, LB_CHOOSE_COSTS, costs);
    operand(&c, LB_CHOOSE_FLAGS, INTS(-1, -1, -1));
    each_kernel(&c, NULL, check_chosen);
    end(&c);
}

/* What i32 cannot number is refused. */
static void refused(call *c, const char *why) {
    assert_int_equal(c->a.op->check(&c->a), LB_EINVAL);
    if (!strstr(lb_error(), why)) fail_msg("'%s' is not in '%s'", why, lb_error());
    end(c);
}
static void test_too_many(void **unused) {
    (void)unused;
    call c;
    lb_tensor *wide = zeros(LB_F32, DIMS(1, MORE)), *deep = zeros(LB_I32, DIMS(MORE, 1));
    lb_tensor *rows = zeros(LB_I32, DIMS(MORE));
    NEED(wide && deep && rows);
    begin(&c, "topk"), c.a.p[LB_TOPK_P_K] = 1, operand(&c, LB_TOPK_LOGITS, lb_tensor_retain(wide));
    refused(&c, "2^31 experts");
    begin(&c, "sample"), operand(&c, LB_SAMPLE_LOGITS, wide);
    refused(&c, "2^31 tokens");
    begin(&c, "moe_group"), c.a.p[LB_GROUP_P_CLASSES] = 1;
    operand(&c, LB_GROUP_IDS, deep), operand(&c, LB_GROUP_CLASS, INTS(0));
    refused(&c, "2^31 slots");
    lb_tensor *own[3] = { small(LB_F32, DIMS(1, 1)), small(LB_F32, DIMS(1, 1)), small(LB_F32, DIMS(1, 1)) };
    begin(&c, "moe_ffn");
    for (int i = 0; i < 3; i++) operand(&c, LB_FFN_GATE + i, own[i]);
    operand(&c, LB_FFN_X, small(LB_F32, DIMS(1, 1))), operand(&c, LB_FFN_ROWS, rows);
    operand(&c, LB_FFN_OFFSETS, INTS(0, 0)), operand(&c, LB_FFN_CLASS, INTS(0));
    refused(&c, "2^31 slots");
}

static void test_tried_all(void **unused) {
    (void)unused;
    tried_all(TEST_LARGE_ENDS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axpy),     cmocka_unit_test(test_fill_and_peaks), cmocka_unit_test(test_topk),
        cmocka_unit_test(test_combine),  cmocka_unit_test(test_gemm_f64),       cmocka_unit_test(test_gemm_stored),
        cmocka_unit_test(test_quantize), cmocka_unit_test(test_moe_ffn),        cmocka_unit_test(test_moe_group),
        cmocka_unit_test(test_advance),  cmocka_unit_test(test_choose),          cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_tried_all),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
