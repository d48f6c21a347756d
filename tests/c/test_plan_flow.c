/* test_plan_flow.c: which steps of a plan wait for which, and what runs side by side where none waits. */
#include "plan_fakes.h"
#include "clock.h"

static lb_device *many;

static int open_devices(void **state) {
    (void)state;
    OK(lb_device_open("cpu", 2, &many));
    return 0;
}
static int close_devices(void **state) {
    (void)state;
    lb_device_release(many);
    return 0;
}

static lb_plan *plan_on(lb_device *d) {
    lb_plan *p = NULL;
    OK(lb_plan_new(d, &p));
    return p;
}

static void delay(void) {
    for (uint64_t end = lb_now_ns() + 300000; lb_now_ns() < end;) continue;
}

static void slow_flag_launch(const lb_args *a, const lb_launch *l) {
    if (l->part) return;
    delay();
    flag_launch(a, l);
}
static const lb_kernel slow_flags[] = {
    { .name = "flag.i32.slow", .op = "flag", .device = "cpu", .launch = slow_flag_launch },
    { .name = "flag.i32.slow_serial", .op = "flag", .device = "cpu", .launch = slow_flag_launch, .serial = true },
};

/* A thread that has nothing to do must not read a condition before the thread that writes it has. */
static void test_condition_is_awaited(void **state) {
    (void)state;
    lb_tensor *x = fake_f32(many, 64), *y = fake_f32(many, 64), *z = fake_f32(many, 64), *f = fake_i32(many, 2, 0);
    lb_tensor *t[2] = { x, f };
    f32s(x)[0] = lb_f32_from_bits(1u << 12);
    for (int i = 0; i < 2; i++) {
        lb_plan *p = plan_on(many);
        OK(record(p, &flag_op, &slow_flags[i], t, 2, 0, NULL));
        OK(record_mix(p, MIX_SPLIT, x, y, 1, &(lb_step_opts){ .when = { f, 0 } }));
        OK(record_mix(p, MIX_SPLIT, x, z, 1, &(lb_step_opts){ .when = { f, 1 } }));
        assert_true(has_barrier(p, 1));
        assert_false(has_barrier(p, 2));   /* one wait settles both */
        for (int round = 0; round < 10; round++) {
            i32s(f)[0] = 0, i32s(f)[1] = 1;   /* what the last step left is the opposite */
            memset(f32s(y), 0, 256), memset(f32s(z), 0, 256);
            OK(lb_plan_run(p));
            for (int j = 0; j < 64; j++)
                assert_true(f32s(y)[j] == (j == 63 ? 0.5f * f32s(x)[0] + 1 : 1) && f32s(z)[j] == 0);
        }
        lb_plan_release(p);
    }
    lb_tensor_release(x), lb_tensor_release(y), lb_tensor_release(z), lb_tensor_release(f);
}

static void slow_phased_launch(const lb_args *a, const lb_launch *l) {
    float *ws = l->workspace, *out = f32s(lb_arg(a, 1));
    int64_t n = lb_arg(a, 0)->dims[0], b, e;
    lb_split(n, 16, l->part, l->parts, &b, &e);
    if (l->phase == 1 && l->part == 0) delay();
    for (int64_t i = b; i < e; i++) {
        if (l->phase == 0) ws[i] = f32s(lb_arg(a, 0))[i];
        else out[i] = ws[n - 1 - i];
    }
}
static const lb_kernel slow_phased = { .name = "mix.f32.slow_phased", .op = "mix", .device = "cpu",
                                       .launch = slow_phased_launch, .phases = mix_phases,
                                       .workspace_bytes = mix_workspace };

/* Independent steps run past each other, so that their workspaces must be separate; after a barrier they may not be. */
static void test_workspaces(void **state) {
    (void)state;
    lb_tensor *x[3], *y[3];
    lb_plan *p = plan_on(many);
    for (int i = 0; i < 3; i++) {
        x[i] = fake_f32(many, 256), y[i] = fake_f32(many, 256);
        for (int j = 0; j < 256; j++) f32s(x[i])[j] = (float)(i * 1000 + j);
        lb_tensor *t[2] = { x[i], y[i] };
        OK(record(p, &mix_op, &slow_phased, t, 2, 0, NULL));
        assert_false(has_barrier(p, i));
    }
    for (int round = 0; round < 5; round++) {
        OK(lb_plan_run(p));
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 256; j++) assert_true(f32s(y[i])[j] == (float)(i * 1000 + 255 - j));
    }
    for (int i = 0; i < 3; i++) lb_tensor_release(x[i]), lb_tensor_release(y[i]);
    lb_plan_release(p);
}

/* ---- phases side by side ---- */

/* What ran, in order: the value that the step adds times 10, and the phase. */
static atomic_int event_count;
static int events[256];
static void note_event(const lb_args *a, const lb_launch *l) {
    int at = atomic_fetch_add(&event_count, 1);
    if (at < 256) events[at] = (int)a->p[0] * 10 + l->phase;
}
static int three_phases(const lb_args *a) { return a->p[0] > 1 ? 3 : 2; }
static void noted_launch(const lb_args *a, const lb_launch *l) {
    note_event(a, l);
    mix_phased_launch(a, &(lb_launch){ .part = l->part, .parts = l->parts, .phase = l->phase < 2 ? l->phase : 1,
                                       .workspace = l->workspace, .ticket = l->ticket });
}
static const lb_kernel noted = { .name = "mix.f32.noted", .op = "mix", .device = "cpu", .launch = noted_launch,
                                 .phases = three_phases, .workspace_bytes = mix_workspace };

/* Second phases come after all first ones of steps that do not wait for each other, third ones after all second ones;
 * a step that needs their results comes after everything. More steps than are kept at a time end no worse. */
static void test_phases_run_side_by_side(void **state) {
    (void)state;
    for (int count = 1; count <= 40; count = count * 2 + 1) {
        lb_tensor *x = fake_f32(many, 256), *y[40], *z = fake_f32(many, 256);
        lb_plan *p = plan_on(many);
        for (int j = 0; j < 256; j++) f32s(x)[j] = (float)j;
        for (int i = 0; i < count; i++) {
            lb_tensor *t[2] = { x, y[i] = fake_f32(many, 256) };
            OK(record(p, &mix_op, &noted, t, 2, i, NULL));
            assert_false(has_barrier(p, i));
        }
        lb_tensor *t[2] = { y[0], z };
        OK(record(p, &mix_op, &noted, t, 2, 99, NULL));
        assert_true(has_barrier(p, count));
        atomic_store(&event_count, 0);
        OK(lb_plan_run(p));
        int n = atomic_load(&event_count), last = 0;
        assert_int_equal(n, 2 * (2 * count + (count > 2 ? count - 2 : 0) + 3));
        for (int i = 0; i < n; i++) {
            if (events[i] / 10 == 99) continue;
            if (count <= 7) assert_true(events[i] % 10 >= last);
            last = events[i] % 10;
        }
        for (int i = n - 6; i < n; i++) assert_int_equal(events[i] / 10, 99);
        for (int i = 0; i < count; i++)
            for (int j = 0; j < 256; j++) assert_true(f32s(y[i])[j] == (float)(255 - j) * 0.5f + (float)i);
        for (int j = 0; j < 256; j++) assert_true(f32s(z)[j] == f32s(y[0])[255 - j] * 0.5f + 99);
        for (int i = 0; i < count; i++) lb_tensor_release(y[i]);
        lb_tensor_release(x), lb_tensor_release(z);
        lb_plan_release(p);
    }
}

/* ---- steps that say that they are apart ---- */

/* lanes: out[i] = x[i] + 1 for every i with i % 4 == p */
static bool lanes_apart(const lb_args *a, const lb_args *b) { return a->p[0] != b->p[0]; }
static const lb_operand_spec lanes_operands[] = { { "x", LB_READ, false, false, "" },
                                                  { "out", LB_PARTIAL, false, false, "" }, { .name = NULL } };
static const lb_op lanes_op = { .name = "lanes", .operands = lanes_operands, .apart = lanes_apart };
static void lanes_launch(const lb_args *a, const lb_launch *l) {
    if (l->part) return;
    delay();
    for (int i = (int)a->p[0]; i < 64; i += 4) f32s(lb_arg(a, 1))[i] = f32s(lb_arg(a, 0))[i] + 1;
}
static const lb_kernel lanes = { .name = "lanes.f32.slow", .op = "lanes", .device = "cpu", .launch = lanes_launch };

static void test_apart(void **state) {
    (void)state;
    lb_plan *p = plan_on(many);
    lb_tensor *x = fake_f32(many, 64), *y = fake_f32(many, 64), *z = fake_f32(many, 64), *t[2] = { x, y };
    static const int lane[] = { 0, 1, 2, 1, 3 }, waits[] = { 0, 0, 0, 1, 0 };
    for (int i = 0; i < 5; i++) {
        OK(record(p, &lanes_op, &lanes, t, 2, lane[i], NULL));
        assert_int_equal(has_barrier(p, i), waits[i]);
    }
    OK(record_mix(p, MIX_SPLIT, y, z, 0, NULL));       /* reads what they wrote */
    assert_true(has_barrier(p, 5));
    OK(record(p, &lanes_op, &lanes, t, 2, 0, NULL));   /* writes what that reads */
    assert_true(has_barrier(p, 6));
    OK(record_mix(p, MIX_SPLIT, z, y, 0, NULL));       /* writes what that writes */
    assert_true(has_barrier(p, 7));
    lb_tensor *shifted[2] = { y, x };
    OK(record(p, &lanes_op, &lanes, shifted, 2, 1, NULL));
    assert_true(has_barrier(p, 8));
    for (int round = 0; round < 5; round++) {
        memset(f32s(x), 0, 256), memset(f32s(y), 0, 256);
        OK(lb_plan_run(p));
        for (int i = 0; i < 64; i++) assert_true(f32s(z)[i] == 0.5f && f32s(y)[i] == 0.25f);
    }
    lb_tensor_release(x), lb_tensor_release(y), lb_tensor_release(z);
    lb_plan_release(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_condition_is_awaited), cmocka_unit_test(test_workspaces),
        cmocka_unit_test(test_phases_run_side_by_side), cmocka_unit_test(test_apart),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
