/* test_trace.c: traced runs: every launch of every thread has its span, waits lie between them, nothing is changed. */
#include "plan_fakes.h"
#include "clock.h"
#include "trace.h"

#define N 1000

static lb_device *one, *many;

static int open_devices(void **state) {
    (void)state;
    OK(lb_device_open("cpu", 1, &one));
    OK(lb_device_open("cpu", 2, &many));
    return 0;
}
static int close_devices(void **state) {
    (void)state;
    lb_device_release(one);
    lb_device_release(many);
    return 0;
}

/* A chain of dependent steps of every kind, one step that never runs, one that does. */
static lb_plan *chain_on(lb_device *d, lb_tensor **last) {
    lb_plan *p = NULL;
    OK(lb_plan_new(d, &p));
    lb_tensor *a = fake_f32(d, N), *b = NULL, *flags = fake_i32(d, 2, 0);
    i32s(flags)[1] = 1;
    for (int k = 0; k < MIX_KERNELS; k++) {
        b = fake_f32(d, N);
        OK(record_mix(p, k, a, b, k + 1, &(lb_step_opts){ .label = k ? NULL : "first" }));
        lb_tensor_release(a);
        a = b;
    }
    lb_tensor *never = fake_f32(d, N), *sometimes = fake_f32(d, N);
    OK(record_mix(p, MIX_SPLIT, a, never, 1, &(lb_step_opts){ .when = { flags, 0 } }));
    OK(record_mix(p, MIX_SPLIT, a, sometimes, 1, &(lb_step_opts){ .when = { flags, 1 } }));
    lb_tensor_release(a);
    lb_tensor_release(never);
    lb_tensor_release(flags);
    *last = sometimes;
    return p;
}

static int phases_of(int step) { return step == MIX_PHASED || step == MIX_SERIAL_PHASED ? 2 : 1; }
static bool serial(int step) { return step == MIX_SERIAL || step == MIX_SERIAL_PHASED; }

/* How many launch spans a step has in all, and when the first begins and the last ends. */
static int launches_of(const lb_trace *t, int step, uint64_t *begin, uint64_t *end) {
    int n = 0;
    *begin = UINT64_MAX, *end = 0;
    for (int64_t i = 0; i < t->count; i++) {
        const lb_span *s = &t->spans[i];
        if (s->kind != LB_SPAN_LAUNCH || s->step != step) continue;
        n++;
        if (s->begin_ns < *begin) *begin = s->begin_ns;
        if (s->end_ns > *end) *end = s->end_ns;
    }
    return n;
}

static void spans_are_in_order(const lb_trace *t) {
    uint64_t reached[2] = { t->begin_ns, t->begin_ns };
    for (int64_t i = 0; i < t->count; i++) {
        const lb_span *s = &t->spans[i];
        assert_in_range(s->part, 0, t->threads - 1);
        assert_true(s->begin_ns >= reached[s->part]);
        assert_true(s->end_ns >= s->begin_ns);
        reached[s->part] = s->end_ns;
    }
}

static void chain_is_traced(lb_device *d, bool eager) {
    lb_tensor *last;
    lb_plan *p = chain_on(d, &last);
    OK(lb_plan_run(p));
    float want[N];
    memcpy(want, f32s(last), sizeof want);
    lb_trace_opts o;
    lb_trace_defaults(&o);
    o.eager = eager;
    lb_trace t;
    OK(lb_trace_take(p, &o, &t));
    int threads = lb_device_threads(d), never = MIX_KERNELS, sometimes = MIX_KERNELS + 1;
    assert_int_equal(t.threads, threads);
    assert_int_equal(t.step_count, MIX_KERNELS + 2);
    assert_int_equal(t.runs, o.runs);
    spans_are_in_order(&t);
    uint64_t begin, end, before = t.begin_ns;
    for (int i = 0; i < t.step_count; i++) {
        int expected = i == never ? 0 : phases_of(i) * (serial(i) ? 1 : threads);
        assert_int_equal(launches_of(&t, i, &begin, &end), expected);
        assert_int_equal(t.steps[i].ran, i != never);
        if (i == never) continue;
        assert_true(begin >= before);       /* each reads what the one before wrote */
        assert_true(end <= t.end_ns);
        before = end;
        assert_true(t.steps[i].flops == 2 * N && t.steps[i].bytes == 8 * N && t.steps[i].weight_bytes == 0);
        assert_string_equal(t.steps[i].kernel->name, mix_kernels[i == sometimes ? MIX_SPLIT : i].name);
    }
    assert_memory_equal(want, f32s(last), sizeof want);
    lb_trace_done(&t);
    lb_tensor_release(last);
    lb_plan_release(p);
}

static void test_a_chain(void **state) { (void)state, chain_is_traced(many, false); }
static void test_a_chain_on_one_thread(void **state) { (void)state, chain_is_traced(one, false); }
static void test_a_chain_eager(void **state) { (void)state, chain_is_traced(many, true); }
static void test_a_chain_eager_on_one_thread(void **state) { (void)state, chain_is_traced(one, true); }

/* ---- waits: the other thread works long, and this one waits until it is done ---- */

#define LONG_NS 3000000

static void uneven_launch(const lb_args *a, const lb_launch *l) {
    (void)a;
    uint64_t start = lb_now_ns();
    while (l->part == l->parts - 1 && lb_now_ns() - start < LONG_NS) { }
}
static const lb_kernel uneven = { .name = "nothing.none.uneven", .op = "nothing", .device = "cpu",
                                  .launch = uneven_launch };

static void test_waiting_is_seen(void **state) {
    (void)state;
    lb_plan *p = NULL;
    OK(lb_plan_new(many, &p));
    OK(record(p, &nothing_op, &uneven, NULL, 0, 0, NULL));
    lb_trace_opts o;
    lb_trace_defaults(&o);
    for (int eager = 0; eager < 2; eager++) {
        lb_trace t;
        o.eager = eager;
        OK(lb_trace_take(p, &o, &t));
        uint64_t idle = 0, waited = 0, worked = 0;
        for (int64_t i = 0; i < t.count; i++) {
            const lb_span *s = &t.spans[i];
            if (s->kind == LB_SPAN_LAUNCH && s->part == 0) idle = s->end_ns;
            if (s->kind == LB_SPAN_LAUNCH && s->part == 1) worked = s->end_ns;
            if (s->kind == LB_SPAN_WAIT && s->part == 0) {
                assert_true(s->begin_ns >= idle);
                waited = s->end_ns;
            }
        }
        assert_true(worked - t.begin_ns >= LONG_NS);
        assert_true(waited >= worked);
        lb_trace_done(&t);
    }
    lb_plan_release(p);
}

/* ---- weights: picked items, counted and cold ---- */

static void test_picked_weights_are_counted(void **state) {
    (void)state;
    lb_plan *p = NULL;
    OK(lb_plan_new(many, &p));
    lb_tensor *x = fake_f32(many, 64), *out[3], *w[3], *ids = fake_i32(many, 3, 0);
    for (int i = 0; i < 3; i++) w[i] = fake_matrix(many, 32, 64, (float)i), out[i] = fake_f32(many, 32);
    i32s(ids)[0] = 2, i32s(ids)[1] = 1, i32s(ids)[2] = 2;
    for (int i = 0; i < 3; i++)
        OK(record_rowsum(p, x, w, 3, out[i], &rowsum_kernel, &(lb_step_opts){ .pick = { ids, i } }));
    lb_trace_opts o;
    lb_trace_defaults(&o);
    o.runs = 1;
    lb_trace t;
    OK(lb_trace_take(p, &o, &t));
    assert_int_equal(t.runs, 1);
    assert_true(t.rotation.sets > 1);
    double bytes = 32 * 64 * 4;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t.steps[i].pick, i32s(ids)[i]);
        assert_true(t.steps[i].weight_bytes == bytes);
        assert_true(t.steps[i].first_bytes == (i == 2 ? 0 : bytes));
        assert_true(t.steps[i].again_bytes == (i == 2 ? bytes : 0));
        if (i == 2) assert_true(t.steps[i].again_distance == 2 * bytes);    /* itself and w[1] */
        else assert_true(t.steps[i].first_distance == (i == 0 ? bytes : 2 * bytes));
        assert_true(t.steps[i].flops_by[LB_COMPUTE_F32] == 2 * 32 * 64);
    }
    for (int64_t i = 0; i < t.count; i++)
        if (t.spans[i].kind == LB_SPAN_LAUNCH) assert_int_equal(t.spans[i].pick, i32s(ids)[t.spans[i].step]);
    lb_trace_done(&t);
    lb_plan_release(p);
    for (int i = 0; i < 3; i++) lb_tensor_release(w[i]), lb_tensor_release(out[i]);
    lb_tensor_release(ids);
    lb_tensor_release(x);
}

/* In-place operands are as they were: also after warm-up and five runs. */
static void test_updates_are_restored(void **state) {
    (void)state;
    lb_plan *p = NULL;
    OK(lb_plan_new(many, &p));
    lb_tensor *t2[2] = { fake_f32(many, N), fake_f32(many, N) };
    for (int i = 0; i < N; i++) f32s(t2[0])[i] = 1, f32s(t2[1])[i] = 5;
    OK(record(p, &add_op, &add_kernel, t2, 2, 0, NULL));
    lb_trace_opts o;
    lb_trace_defaults(&o);
    lb_trace t;
    OK(lb_trace_take(p, &o, &t));
    for (int i = 0; i < N; i++) assert_true(f32s(t2[1])[i] == 5);
    lb_trace_done(&t);
    lb_plan_release(p);
    lb_tensor_release(t2[0]);
    lb_tensor_release(t2[1]);
}

static void test_refusals(void **state) {
    (void)state;
    lb_plan *p = NULL;
    lb_trace t;
    lb_trace_opts o;
    lb_trace_defaults(&o);
    OK(lb_plan_new(many, &p));
    FAILS(LB_EINVAL, lb_trace_take(p, &o, &t));
    OK(record(p, &nothing_op, &nothing_kernel, NULL, 0, 0, NULL));
    o.runs = 0;
    FAILS(LB_EINVAL, lb_trace_take(p, &o, &t));
    o.runs = 100;
    FAILS(LB_EINVAL, lb_trace_take(p, &o, &t));
    lb_plan_release(p);
}

static void test_a_bad_pick_is_an_error(void **state) {
    (void)state;
    lb_plan *p = NULL;
    OK(lb_plan_new(many, &p));
    lb_tensor *x = fake_f32(many, 64), *out = fake_f32(many, 32), *ids = fake_i32(many, 1, 7), *w[2];
    for (int i = 0; i < 2; i++) w[i] = fake_matrix(many, 32, 64, (float)i);
    OK(record_rowsum(p, x, w, 2, out, &rowsum_kernel, &(lb_step_opts){ .pick = { ids, 0 } }));
    lb_trace_opts o;
    lb_trace_defaults(&o);
    lb_trace t;
    FAILS(LB_EINVAL, lb_trace_take(p, &o, &t));
    lb_plan_release(p);
    for (int i = 0; i < 2; i++) lb_tensor_release(w[i]);
    lb_tensor_release(ids);
    lb_tensor_release(out);
    lb_tensor_release(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_chain), cmocka_unit_test(test_a_chain_on_one_thread),
        cmocka_unit_test(test_a_chain_eager), cmocka_unit_test(test_a_chain_eager_on_one_thread),
        cmocka_unit_test(test_waiting_is_seen), cmocka_unit_test(test_picked_weights_are_counted),
        cmocka_unit_test(test_updates_are_restored), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_bad_pick_is_an_error),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
