/* test_check.c: the checks find what is wrong: each test makes something wrong on purpose. */
#include "plan_fakes.h"
#include <math.h>

static lb_device *dev;

static int open_device(void **state) { (void)state; OK(lb_device_open("cpu", 2, &dev)); return 0; }
static int close_device(void **state) { (void)state; lb_device_release(dev); return 0; }

static lb_plan *new_plan(void) {
    lb_plan *p = NULL;
    OK(lb_plan_new(dev, &p));
    return p;
}

/* What the broken kernels below do wrong. */
static enum { RIGHT, STALE, NOT_A_NUMBER, INFINITE, OFF_BY_1E_3 } fault;

static void broken_launch(const lb_args *a, const lb_launch *l) {
    float *out = f32s(lb_arg(a, 1));
    int64_t n = lb_arg(a, 0)->dims[0], b, e;
    lb_split(n, 16, l->part, l->parts, &b, &e);
    bool mine = 17 >= b && 17 < e;
    float old = mine ? out[17] : 0;
    mix_launch(a, l);
    if (!mine) return;
    if (fault == STALE) out[17] = old;
    if (fault == NOT_A_NUMBER) out[17] = NAN;
    if (fault == INFINITE) out[17] = -INFINITY;
    if (fault == OFF_BY_1E_3) out[17] *= 1.001f;
}
static const lb_kernel broken = { .name = "mix.f32.broken", .op = "mix", .device = "cpu", .tolerance = 1e-10,
                                  .launch = broken_launch };

static void one_fault(int what, const char *reason, bool passes) {
    lb_plan *p = new_plan();
    lb_tensor *x = fake_f32(dev, 1000), *y = fake_f32(dev, 1000), *t[2] = { x, y };
    lb_check c;
    for (int i = 0; i < 1000; i++) f32s(x)[i] = (float)(i % 37) + 1;
    fault = RIGHT;
    OK(record(p, &mix_op, &broken, t, 2, 1, &(lb_step_opts){ .label = "the label" }));
    OK(lb_plan_run(p));   /* the right values are there: a kernel that leaves them is still found out */
    fault = what;
    OK(lb_plan_check(p, &c));
    fault = RIGHT;
    assert_int_equal(c.passed, passes);
    assert_string_equal(c.op, "mix");
    assert_string_equal(c.kernel, "mix.f32.broken");
    assert_string_equal(c.label, "the label");
    assert_string_equal(c.what, "out");
    assert_int_equal(c.step, 0);
    assert_true(c.tolerance == 1e-10);
    if (!passes) {
        if (!strstr(c.reason, reason) || !strstr(c.reason, "out[17]")) fail_msg("reason: %s", c.reason);
        assert_int_equal(c.diff.worst, 17);
    }
    lb_plan_release(p);
    lb_tensor_release(x), lb_tensor_release(y);
}

static void test_right(void **state) { (void)state; one_fault(RIGHT, "", true); }
static void test_stale_output(void **state) { (void)state; one_fault(STALE, "not finite", false); }
static void test_nan(void **state) { (void)state; one_fault(NOT_A_NUMBER, "not finite", false); }
static void test_infinity(void **state) { (void)state; one_fault(INFINITE, "not finite", false); }
static void test_small_error(void **state) { (void)state; one_fault(OFF_BY_1E_3, "NMSE", false); }

static void uninitialised_workspace_launch(const lb_args *a, const lb_launch *l) {
    mix_launch(a, l);
    if (l->part == 0) f32s(lb_arg(a, 1))[0] += ((float *)l->workspace)[3];
    if (l->part == 0) ((float *)l->workspace)[3] = 0;   /* harmless from the second launch on */
}
static const lb_kernel reads_workspace = { .name = "mix.f32.workspace", .op = "mix", .device = "cpu",
                                           .tolerance = 1e-10,
                                           .launch = uninitialised_workspace_launch, .workspace_bytes = mix_workspace };

static void test_workspace_is_poisoned(void **state) {
    (void)state;
    lb_plan *p = new_plan();
    lb_tensor *x = fake_f32(dev, 64), *y = fake_f32(dev, 64), *t[2] = { x, y };
    lb_check c;
    OK(record(p, &mix_op, &reads_workspace, t, 2, 1, NULL));
    OK(lb_plan_run(p));
    OK(lb_plan_check(p, &c));
    assert_false(c.passed);
    lb_plan_release(p);
    lb_tensor_release(x), lb_tensor_release(y);
}

/* ---- lists ---- */

static void swapping_launch(const lb_args *a, const lb_launch *l) {
    lb_launch other = *l;
    other.pick = l->pick ^ 1;
    rowsum_launch(a, &other);
}
static const lb_kernel swapping = { .name = "rowsum.f32.swapping", .op = "rowsum", .device = "cpu", .format = "any",
                                    .tolerance = 1e-10, .launch = swapping_launch };

static void test_swapped_items(void **state) {
    (void)state;
    lb_tensor *x = fake_f32(dev, 32), *out = fake_f32(dev, 16), *ids = fake_i32(dev, 1, 1), *w[2];
    lb_check c;
    for (int i = 0; i < 32; i++) f32s(x)[i] = (float)i;
    for (int i = 0; i < 2; i++) w[i] = fake_matrix(dev, 16, 32, (float)i);
    for (int i = 0; i < 2; i++) {
        lb_plan *p = new_plan();
        OK(record_rowsum(p, x, w, 2, out, i ? &swapping : &rowsum_kernel, &(lb_step_opts){ .pick = { ids, 0 } }));
        OK(lb_plan_check(p, &c));
        assert_int_equal(c.passed, !i);
        lb_plan_release(p);
    }
    for (int i = 0; i < 2; i++) lb_tensor_release(w[i]);
    lb_tensor_release(x), lb_tensor_release(out), lb_tensor_release(ids);
}

/* ---- quantized weights ---- */

/* Dequantizes what `w` holds, so that a broken byte of the weights shows; the oracle reads the same bytes. */
static void dequantizing_launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *w = lb_weight(a, l, 1);
    int64_t n = w->dims[0], k = w->dims[1];
    float *rows = malloc((size_t)(n * k) * 4);
    if (l->part || !rows) { free(rows); return; }
    w->quantizer->dequantize(w->quantizer, lb_tensor_data(w), n, k, 0, n, rows);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) sum += (double)f32s(lb_arg(a, 0))[j] * (double)rows[i * k + j];
        f32s(lb_arg(a, 2))[i] = (float)sum;
    }
    free(rows);
}
static size_t copied_size(const lb_quantizer *q, int64_t n, int64_t k) { return q->size_bytes(q, n, k); }
static void copied_repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t r0, int64_t r1,
                          void *dst) {
    (void)r1;
    if (r0 == 0) memcpy(dst, native, q->size_bytes(q, n, k));
}
static const lb_layout copied = { .name = "test_copied", .size_bytes = copied_size, .repack = copied_repack,
                                  .row_multiple = 1 << 20 };
static const lb_kernel dequantizing = { .name = "rowsum.any.copied", .op = "rowsum", .device = "cpu", .format = "any",
                                        .layout = &copied, .tolerance = 1e-10, .launch = dequantizing_launch };

static void test_corrupted_block(void **state) {
    (void)state;
    const lb_quantizer *q;
    for (int f = 0; (q = quantizer_at(f)); f++) {
        lb_tensor *x = fake_f32(dev, 512), *wf = fake_matrix(dev, 64, 512, -1), *w = NULL, *packed = NULL;
        lb_tensor *out = fake_f32(dev, 64);
        lb_plan *p = new_plan();
        lb_check c;
        for (int i = 0; i < 512; i++) f32s(x)[i] = sinf((float)i);
        for (int i = 0; i < 64 * 512; i++) f32s(wf)[i] = sinf((float)i * 0.37f) * cosf((float)i * 0.011f);
        OK(lb_tensor_quantize(wf, q, NULL, NULL, &w));
        OK(record_rowsum(p, x, &w, 1, out, &dequantizing, NULL));
        OK(lb_plan_check(p, &c));
        if (!c.passed) fail_msg("%s: %s", q->name, c.reason);
        OK(lb_tensor_in_layout(w, &dequantizing, &packed, NULL));
        size_t at = 0, bytes = 0;
        q->row_span(q, 64, 512, 40, &at, &bytes);
        for (size_t i = 0; i < bytes && i < 16; i++) ((uint8_t *)lb_tensor_data(packed))[at + i] ^= 0x11;
        OK(lb_plan_check(p, &c));
        if (c.passed) fail_msg("%s: a corrupted block of the repacked weights passed", q->name);
        lb_plan_release(p);
        lb_tensor_release(x), lb_tensor_release(wf), lb_tensor_release(w), lb_tensor_release(out);
    }
    lb_oracle_cache_clear();
}

/* ---- masks: rows whose flag is set are written ---- */

static lb_status rows_oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_tensor *y = lb_arg(in->args, 1);
    const int32_t *flags = i32s(lb_arg(in->args, 0));
    int64_t n = y->dims[0], k = y->dims[1];
    lb_status st = fake_expect(&out[0], 1, "y", n * k, true);
    for (int64_t i = 0; !st && i < n * k; i++)
        if (flags[i / k]) out[0].values[i] = (double)i, out[0].mask[i] = 1;
    *count = 1;
    return st;
}
static const lb_operand_spec rows_operands[] = { { "flags", LB_READ, false, false, "" },
                                                 { "y", LB_PARTIAL, false, false, "" },
                                                 { .name = NULL } };
static const lb_op rows_op = { .name = "rows", .operands = rows_operands, .oracle = rows_oracle };
static const lb_operand_spec kept_operands[] = { { "flags", LB_READ, false, false, "" },
                                                 { "y", LB_UPDATE, false, false, "" },
                                                 { .name = NULL } };
static const lb_op kept_op = { .name = "rows", .operands = kept_operands, .oracle = rows_oracle };
static int stray = -1;   /* an element outside the mask that is written too */
static void rows_launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *y = lb_arg(a, 1);
    int64_t n = y->dims[0], k = y->dims[1], b, e;
    lb_split(n, 1, l->part, l->parts, &b, &e);
    for (int64_t i = b; i < e; i++)
        for (int64_t j = 0; j < k && i32s(lb_arg(a, 0))[i]; j++) f32s(y)[i * k + j] = (float)(i * k + j);
    if (stray >= 0 && l->part == 0) f32s(y)[stray] = 3;
}
static const lb_kernel rows_kernel = { .name = "rows.f32.split", .op = "rows", .device = "cpu", .tolerance = 1e-12,
                                       .launch = rows_launch };

static void test_masks(void **state) {
    (void)state;
    lb_tensor *flags = fake_i32(dev, 4, 1), *y = fake_matrix(dev, 4, 8, 100), *t[2] = { flags, y };
    lb_check c;
    i32s(flags)[2] = 0;
    for (int update = 0; update < 2; update++) {
        lb_plan *p = new_plan();
        OK(record(p, update ? &kept_op : &rows_op, &rows_kernel, t, 2, 0, NULL));
        float kept = f32s(y)[17];
        stray = -1;
        OK(lb_plan_check(p, &c));
        if (!c.passed) fail_msg("%s", c.reason);
        assert_true(f32s(y)[17] == kept);   /* what a launch leaves alone survives the check */
        assert_int_equal(c.diff.compared, 24);
        stray = 17;
        OK(lb_plan_check(p, &c));
        stray = -1;
        assert_false(c.passed);
        if (!strstr(c.reason, "y[2, 1]")) fail_msg("%s", c.reason);
        if (!update) assert_true(f32s(y)[17] == kept);
        lb_plan_release(p);
    }
    lb_tensor_release(flags), lb_tensor_release(y);
}

/* ---- integers, in place, skipped, unchecked ---- */

static bool flag_wrong;
static void maybe_wrong_flag_launch(const lb_args *a, const lb_launch *l) {
    flag_launch(a, l);
    if (flag_wrong && l->part == 0) i32s(lb_arg(a, 1))[1] += 1;
}
static const lb_kernel maybe_wrong_flag = { .name = "flag.i32.maybe", .op = "flag", .device = "cpu", .tolerance = 1,
                                            .launch = maybe_wrong_flag_launch };

static void test_exact(void **state) {
    (void)state;
    lb_tensor *x = fake_f32(dev, 4), *f = fake_i32(dev, 2, 0), *t[2] = { x, f };
    lb_plan *p = new_plan();
    lb_check c;
    OK(record(p, &flag_op, &maybe_wrong_flag, t, 2, 0, NULL));
    OK(lb_plan_check(p, &c));
    assert_true(c.passed);
    flag_wrong = true;   /* whatever the kernel's tolerance, integers must be equal */
    OK(lb_plan_check(p, &c));
    flag_wrong = false;
    assert_false(c.passed);
    assert_non_null(strstr(c.reason, "exactly 1"));
    lb_plan_release(p);
    lb_tensor_release(x), lb_tensor_release(f);
}

static void overwriting_launch(const lb_args *a, const lb_launch *l) {
    if (l->part == 0) memcpy(f32s(lb_arg(a, 1)), f32s(lb_arg(a, 0)), lb_tensor_size_bytes(lb_arg(a, 0)));
}
static const lb_kernel overwriting = { .name = "add.f32.overwriting", .op = "add", .device = "cpu", .tolerance = 1e-10,
                                       .launch = overwriting_launch };

static void test_update(void **state) {
    (void)state;
    lb_tensor *x = fake_f32(dev, 16), *y = fake_f32(dev, 16), *t[2] = { x, y };
    lb_check c;
    for (int i = 0; i < 16; i++) f32s(x)[i] = 1, f32s(y)[i] = 2;
    for (int i = 0; i < 2; i++) {
        lb_plan *p = new_plan();
        OK(record(p, &add_op, i ? &overwriting : &add_kernel, t, 2, 0, NULL));
        for (int twice = 0; twice < 2; twice++) {
            OK(lb_plan_check(p, &c));
            assert_int_equal(c.passed, !i);
            assert_true(f32s(y)[0] == 2);   /* as it was */
        }
        lb_plan_release(p);
    }
    lb_tensor_release(x), lb_tensor_release(y);
}

static lb_status silent_oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    (void)in, (void)out, *count = 0;
    return LB_OK;
}

static void test_nothing_passes_unchecked(void **state) {
    (void)state;
    static const lb_op blind = { .name = "mix", .operands = mix_operands };
    static const lb_op silent = { .name = "mix", .operands = mix_operands, .oracle = silent_oracle };
    lb_tensor *x = fake_f32(dev, 16), *y = fake_f32(dev, 16), *t[2] = { x, y }, *off = fake_i32(dev, 1, 0);
    lb_check c;
    lb_plan *p = new_plan();
    OK(lb_plan_check(p, &c));
    assert_false(c.passed);   /* an empty plan */
    OK(record_mix(p, MIX_SPLIT, x, y, 0, &(lb_step_opts){ .when = { off, 0 } }));
    OK(lb_plan_check(p, &c));
    assert_false(c.passed);   /* everything skipped */
    assert_int_equal(c.steps_skipped, 1);
    i32s(off)[0] = 7;
    OK(lb_plan_check(p, &c));
    assert_true(c.passed);
    assert_int_equal(c.steps_checked, 1);
    lb_plan_release(p);
    const lb_op *ops[3] = { &blind, &silent, &nothing_op };
    const char *const reasons[3] = { "no oracle", "says nothing about out", "no oracle" };
    for (int i = 0; i < 3; i++) {
        p = new_plan();
        OK(record(p, ops[i], i < 2 ? &mix_kernels[0] : &nothing_kernel, t, i < 2 ? 2 : 0, 0, NULL));
        OK(lb_plan_check(p, &c));
        assert_false(c.passed);
        if (!strstr(c.reason, reasons[i])) fail_msg("%s", c.reason);
        lb_plan_release(p);
    }
    lb_tensor_release(x), lb_tensor_release(y), lb_tensor_release(off);
}

/* ---- outputs before and after ---- */

static void test_snapshot(void **state) {
    (void)state;
    lb_tensor *x = fake_f32(dev, 64), *y = fake_f32(dev, 64), *z = fake_f32(dev, 64), *off = fake_i32(dev, 1, 0);
    lb_plan *p = new_plan();
    lb_check c;
    FAILS(LB_EINVAL, lb_plan_verify_outputs(p, &c));
    f32s(x)[3] = NAN;   /* bits are compared: NaN equals itself */
    OK(record_mix(p, MIX_SPLIT, x, y, 0, NULL));
    OK(record_mix(p, MIX_SPLIT, y, z, 0, &(lb_step_opts){ .when = { off, 0 }, .label = "skipped" }));
    OK(lb_plan_snapshot_outputs(p));
    OK(lb_plan_replay(p, 5, NULL, NULL));
    OK(lb_plan_verify_outputs(p, &c));
    if (!c.passed) fail_msg("%s", c.reason);
    assert_int_equal(c.steps_checked, 1);
    f32s(z)[0] = 9;     /* nobody wrote it */
    OK(lb_plan_verify_outputs(p, &c));
    assert_true(c.passed);
    f32s(y)[9] = 1;
    OK(lb_plan_verify_outputs(p, &c));
    assert_false(c.passed);
    if (!strstr(c.reason, "out[9]")) fail_msg("%s", c.reason);
    lb_plan_release(p);
    lb_tensor_release(x), lb_tensor_release(y), lb_tensor_release(z), lb_tensor_release(off);
}

/* ---- poison and differences ---- */

static void test_poison(void **state) {
    (void)state;
    for (int d = 0; d < LB_QUANT; d++) {
        lb_tensor *t = NULL, *half = NULL;
        OK(lb_tensor_new(dev, (lb_dtype)d, NULL, 2, (int64_t[]){ 3, 8 }, &t));
        memset(lb_tensor_data(t), 0, lb_tensor_size_bytes(t));
        OK(lb_tensor_slice(t, 1, 2, 5, &half));
        lb_poison(half);
        for (int64_t i = 0; i < 24; i++) {
            double v = lb_tensor_at(t, (int64_t[]){ i / 8, i % 8 });
            bool in = i % 8 >= 2 && i % 8 < 5;
            if (in ? v == v && fabs(v) < 100 : v != 0)
                fail_msg("%s[%lld] is %g", lb_dtype_name((lb_dtype)d), (long long)i, v);
            if (in && d <= LB_F64) assert_true(isnan(v));
        }
        lb_tensor_release(t), lb_tensor_release(half);
    }
}

static void test_diff(void **state) {
    (void)state;
    enum { N = 5003 };
    lb_tensor *t = fake_f32(dev, N);
    double *want = calloc(N, sizeof *want);
    uint8_t *mask = calloc(N, 1);
    lb_diff d;
    OK(lb_diff_tensor(t, want, NULL, &d));
    assert_true(d.nmse == 0 && d.worst == -1 && d.compared == N && d.cosine == 1);
    f32s(t)[4000] = 1e-30f;
    OK(lb_diff_tensor(t, want, NULL, &d));
    assert_true(isinf(d.nmse) && d.worst == 4000);
    double err = 0, all = 0;
    for (int i = 0; i < N; i++) {
        want[i] = sin(i);
        f32s(t)[i] = (float)(want[i] * (1 + 1e-3 * (i % 3)));
        err += pow((double)f32s(t)[i] - want[i], 2), all += want[i] * want[i];
    }
    f32s(t)[4999] += 1;
    err += pow((double)f32s(t)[4999] - want[4999],
               2) - pow((double)(float)(want[4999] * (1 + 1e-3 * (4999 % 3))) - want[4999], 2);
    OK(lb_diff_tensor(t, want, NULL, &d));
    assert_true(fabs(d.nmse / (err / all) - 1) < 1e-9);
    assert_int_equal(d.worst, 4999);
    assert_true(d.cosine > 0.999 && d.cosine < 1);
    f32s(t)[100] = NAN, f32s(t)[200] = INFINITY;
    OK(lb_diff_tensor(t, want, NULL, &d));
    assert_int_equal(d.nonfinite, 2);
    assert_int_equal(d.worst, 100);
    assert_false(d.nmse <= 1e300);
    for (int i = 0; i < N; i++) mask[i] = i != 100 && i != 200 && i != 4999;
    OK(lb_diff_tensor(t, want, mask, &d));
    assert_int_equal(d.nonfinite, 0);
    assert_int_equal(d.compared, N - 3);
    assert_true(d.nmse < 1e-5);
    want[100] = NAN, want[200] = INFINITY, want[201] = NAN;   /* what the oracle expects not to be finite */
    for (int i = 0; i < N; i++) mask[i] = i == 100 || i == 200 || i == 300;
    OK(lb_diff_tensor(t, want, mask, &d));
    assert_true(d.nmse < 1e-5);
    mask[201] = 1;
    OK(lb_diff_tensor(t, want, mask, &d));
    assert_false(d.nmse <= 1e300);
    lb_tensor *view = NULL, *m = fake_matrix(dev, 6, 4, 0);   /* strided */
    OK(lb_tensor_transpose(m, 0, 1, &view));
    for (int i = 0; i < 24; i++) want[i] = lb_tensor_at(view, (int64_t[]){ i / 6, i % 6 });
    OK(lb_diff_tensor(view, want, NULL, &d));
    assert_true(d.nmse == 0);
    want[7] += 1;
    OK(lb_diff_tensor(view, want, NULL, &d));
    assert_int_equal(d.worst, 7);
    lb_tensor_release(t), lb_tensor_release(view), lb_tensor_release(m);
    free(want), free(mask);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right), cmocka_unit_test(test_stale_output), cmocka_unit_test(test_nan),
        cmocka_unit_test(test_infinity), cmocka_unit_test(test_small_error),
            cmocka_unit_test(test_workspace_is_poisoned),
        cmocka_unit_test(test_swapped_items), cmocka_unit_test(test_corrupted_block), cmocka_unit_test(test_masks),
        cmocka_unit_test(test_exact), cmocka_unit_test(test_update), cmocka_unit_test(test_nothing_passes_unchecked),
        cmocka_unit_test(test_snapshot), cmocka_unit_test(test_poison), cmocka_unit_test(test_diff),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
