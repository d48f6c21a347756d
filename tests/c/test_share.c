/* test_share.c: plans that take turns in a measurement use the same memory, and give the same results as ever. */
#include "plan_fakes.h"
#include "measure.h"
#include "plan_internal.h"

static lb_device *device;

/* ---- rowsum that remembers where its operands lay --------------------------------------------------------------- */

typedef struct seen { const void *x, *w, *out, *workspace; } seen;
static seen last[2];                /* by the step's parameter */

static void spying_launch(const lb_args *a, const lb_launch *l) {
    if (l->part == 0) {
        last[(int)a->p[0]] = (seen){ lb_tensor_data(lb_arg(a, 0)), lb_tensor_data(lb_weight(a, l, 1)),
                                     lb_tensor_data(lb_arg(a, 2)), l->workspace };
        *(float *)l->workspace = 1;
    }
    rowsum_launch(a, l);
}
static size_t spying_workspace(const lb_args *a, int parts) { return (void)a, (void)parts, 64; }
static const lb_kernel spying = { .name = "rowsum.f32.spying", .op = "rowsum", .device = "cpu", .format = "any",
                                  .tolerance = 1e-12, .compute = LB_COMPUTE_F32, .launch = spying_launch,
                                  .workspace_bytes = spying_workspace };

typedef struct side { lb_plan *plan; lb_tensor *x, *w, *out; } side;

static void add_step(const side *s, double id) {
    lb_tensor *t[3] = { s->x, s->w, s->out };
    OK(record(s->plan, &rowsum_op, &spying, t, 3, id, NULL));
}

/* 16 x 64, in memory of its own. */
static side new_side(double id, float first) {
    side s = { .x = fake_f32(device, 64), .w = fake_matrix(device, 16, 64, first), .out = fake_f32(device, 16) };
    for (int i = 0; i < 64; i++) f32s(s.x)[i] = (float)i / 8;
    OK(lb_plan_new(device, &s.plan));
    add_step(&s, id);
    return s;
}

static void side_done(side *s) {
    lb_plan_release(s->plan);
    lb_tensor_release(s->x);
    lb_tensor_release(s->w);
    lb_tensor_release(s->out);
}

static void measure_both(side *a, side *b, lb_cache cache) {
    lb_plan *p[2] = { a->plan, b->plan };
    lb_measure_opts o;
    lb_samples s[2];
    lb_measure_defaults(&o);
    o.samples = 6, o.warmup = 0, o.warmup_min_s = o.warmup_max_s = 0, o.cache = cache;
    OK(lb_measure_interleaved(p, 2, &o, s));
    lb_samples_done(&s[0]);
    lb_samples_done(&s[1]);
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void test_equal_operands(void **state) {
    (void)state;
    side a = new_side(0, 0), b = new_side(1, 0);
    measure_both(&a, &b, LB_CACHE_HOT);
    assert_ptr_equal(last[1].w, last[0].w);
    assert_ptr_equal(last[1].x, last[0].x);
    assert_ptr_equal(last[0].w, lb_tensor_data(a.w));
    assert_ptr_equal(last[1].workspace, last[0].workspace);
    assert_ptr_not_equal(last[1].out, last[0].out);
    assert_memory_equal(f32s(a.out), f32s(b.out), 64);
    /* afterwards each has its own again */
    OK(lb_plan_run(a.plan));
    OK(lb_plan_run(b.plan));
    assert_ptr_equal(last[1].w, lb_tensor_data(b.w));
    assert_ptr_equal(last[1].x, lb_tensor_data(b.x));
    assert_ptr_not_equal(last[1].workspace, last[0].workspace);
    side_done(&a);                              /* nothing of it is kept by the other */
    f32s(b.w)[0] += 1;
    OK(lb_plan_run(b.plan));
    side_done(&b);
}

static void test_other_operands(void **state) {
    (void)state;
    side a = new_side(0, 0), b = new_side(1, 2);
    measure_both(&a, &b, LB_CACHE_HOT);
    assert_ptr_equal(last[1].w, lb_tensor_data(b.w));       /* other bytes */
    assert_ptr_equal(last[1].x, last[0].x);
    assert_ptr_equal(last[1].workspace, last[0].workspace);
    assert_true(f32s(a.out)[3] != f32s(b.out)[3]);
    side_done(&a);
    side_done(&b);
}

/* What some plan writes is nobody else's to read: here b's weights are what another step of a's writes. */
static void test_written_operands(void **state) {
    (void)state;
    side a = new_side(0, 0), b = new_side(1, 0);
    lb_tensor *flat = NULL;
    int64_t n = 64;
    OK(lb_tensor_wrap(a.x->buffer, 0, LB_F32, NULL, 1, &n, &flat));
    lb_tensor *t[2] = { b.x, flat };
    OK(record(a.plan, &add_op, &add_kernel, t, 2, 0, NULL));      /* a changes its x in place */
    OK(lb_plan_snapshot_updates(a.plan));
    measure_both(&a, &b, LB_CACHE_HOT);
    assert_ptr_equal(last[1].x, lb_tensor_data(b.x));
    assert_ptr_equal(last[0].x, lb_tensor_data(a.x));
    assert_ptr_equal(last[1].w, last[0].w);
    lb_tensor_release(flat);
    side_done(&a);
    side_done(&b);
}

/* Cold, each plan has its own many copies; only the workspace is common. */
static void test_cold(void **state) {
    (void)state;
    side a = new_side(0, 0), b = new_side(1, 0);
    measure_both(&a, &b, LB_CACHE_WEIGHTS_COLD);
    assert_ptr_not_equal(last[1].w, last[0].w);
    assert_ptr_equal(last[1].workspace, last[0].workspace);
    side_done(&a);
    side_done(&b);
}

static void test_same_plan_twice(void **state) {
    (void)state;
    side a = new_side(0, 0);
    measure_both(&a, &a, LB_CACHE_HOT);
    const void *during = last[0].workspace;
    OK(lb_plan_run(a.plan));
    assert_ptr_not_equal(last[0].workspace, during);
    side_done(&a);
}

/* Phases hand out tickets over a common array; both plans must still cover all of their rows. */
static void test_tickets(void **state) {
    (void)state;
    lb_plan *p[2];
    lb_tensor *x[2], *out[2];
    lb_measure_opts o;
    lb_samples s[2];
    for (int i = 0; i < 2; i++) {
        x[i] = fake_f32(device, 1000 + 300 * i), out[i] = fake_f32(device, 1000 + 300 * i);
        for (int j = 0; j < 1000; j++) f32s(x[i])[j] = (float)(j + i);
        OK(lb_plan_new(device, &p[i]));
        for (int k = 0; k <= i; k++) OK(record_mix(p[i], MIX_PHASED, x[i], out[i], i, NULL));
    }
    lb_measure_defaults(&o);
    o.samples = 6, o.warmup = 0, o.warmup_min_s = o.warmup_max_s = 0, o.cache = LB_CACHE_HOT;
    OK(lb_measure_interleaved(p, 2, &o, s));
    for (int i = 0; i < 2; i++) {
        int64_t n = lb_tensor_numel(out[i]);
        for (int64_t j = 0; j < n; j++)
            if (f32s(out[i])[j] != f32s(x[i])[n - 1 - j] * 0.5f + (float)i) fail_msg("plan %d, element %d", i, (int)j);
        lb_samples_done(&s[i]);
        lb_plan_release(p[i]);
        lb_tensor_release(x[i]);
        lb_tensor_release(out[i]);
    }
}

/* Tensors of one size begin at the same place of a page, whatever was allocated in between. */
static void test_places(void **state) {
    (void)state;
    const int64_t sizes[] = { 1024, 1025, 5000, 131072 };
    for (int i = 0; i < 4; i++) {
        lb_tensor *a = fake_f32(device, sizes[i]), *between = fake_f32(device, 777), *b = fake_f32(device, sizes[i]);
        uintptr_t p = (uintptr_t)lb_tensor_data(a), q = (uintptr_t)lb_tensor_data(b);
        assert_int_equal(p % 4096, q % 4096);
        assert_int_equal(p % 64, 0);
        lb_tensor_release(a);
        lb_tensor_release(between);
        lb_tensor_release(b);
    }
}

static int setup(void **state) {
    (void)state;
    return lb_device_open("cpu", 2, &device) == LB_OK || lb_device_open("cpu", 1, &device) == LB_OK ? 0 : -1;
}
static int teardown(void **state) { return (void)state, lb_device_release(device), 0; }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_operands), cmocka_unit_test(test_other_operands),
        cmocka_unit_test(test_written_operands), cmocka_unit_test(test_cold), cmocka_unit_test(test_same_plan_twice),
        cmocka_unit_test(test_tickets), cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
