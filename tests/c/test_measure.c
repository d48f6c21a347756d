/* test_measure.c: measuring, with kernels whose time is known because they do nothing but wait. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ceilings_internal.h"
#include "clock.h"
#include "measure.h"
#include "measure_runs.h"
#include "ops/slots.h"
#include "tests/c/cpu_device.h"

/* ---- an operation that takes as long as it is told to ---------------------------------------------------------- */

enum { P_NS, P_ID, P_SLOW_EVERY, P_STOP_AFTER };

#define LOG 65536
static int order_log[LOG];          /* id of every run, in order */
static int64_t run_count;

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)a, (void)slot, (void)dtype, (void)rank, (void)dims;
    return LB_EINTERNAL;
}
static lb_status check(const lb_args *a) {
    (void)a;
    return LB_OK;
}
static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)a, (void)pick;
    *w = (lb_work){ 0 };
}
static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    (void)in, (void)out;
    *count = 0;
    return LB_OK;
}
static const lb_operand_spec operands[] = { { .name = NULL } };
static const lb_param_spec params[] = {
    { "ns", true, 0, "how long a run takes" },
    { "id", false, 0, "what the log says" },
    { "slow_every", false, 0, "every so manyth run takes 20 times as long" },
    { "stop_after", false, 0, "sets lb_interrupted in that run" },
    { .name = NULL },
};
static const lb_op spin_op = { .name = "test_spin", .about = "waits", .operands = operands, .params = params,
                               .infer = infer, .check = check, .work = work, .oracle = oracle };

static void launch(const lb_args *a, const lb_launch *l) {
    (void)l;
    int64_t n = run_count++;
    order_log[n % LOG] = (int)a->p[P_ID];
    double ns = a->p[P_NS];
    if (a->p[P_SLOW_EVERY] > 0 && n % (int64_t)a->p[P_SLOW_EVERY] == 0) ns *= 20;
    if (a->p[P_STOP_AFTER] > 0 && n >= (int64_t)a->p[P_STOP_AFTER]) lb_interrupted = 1;
    uint64_t start = lb_now_ns();
    while ((double)(lb_now_ns() - start) < ns) continue;
}
static const lb_kernel spin = { .name = "test_spin.none.portable", .op = "test_spin", .device = "cpu", .about = "waits",
                                .source = "luabench", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .tolerance = 0,
                                .tolerance_why = "no result", .serial = true, .launch = launch };

static lb_plan *plan_of(double ns, int id, int slow_every, int stop_after) {
    lb_plan *p = NULL;
    lb_args a = { .op = &spin_op, .p = { ns, id, slow_every, stop_after } };
    lb_step_opts o = { .kernel = &spin };
    if (lb_plan_new(device, &p) != LB_OK || lb_plan_add(p, &spin_op, &a, &o, NULL) != LB_OK) fail_msg("%s", lb_error());
    run_count = 0;
    return p;
}

static lb_measure_opts quick(void) {
    lb_measure_opts o;
    lb_measure_defaults(&o);
    o.cache = LB_CACHE_HOT;
    o.warmup_min_s = 0.01;
    o.warmup_max_s = 0.2;
    o.max_time_s = 0.5;
    return o;
}

static void measure(lb_plan *p, const lb_measure_opts *o, lb_samples *s) {
    if (lb_measure(p, o, s) != LB_OK) fail_msg("%s", lb_error());
}

/* ---- one plan -------------------------------------------------------------------------------------------------- */

static void test_short_runs(void **state) {
    (void)state;
    lb_plan *p = plan_of(20e3, 0, 0, 0);
    lb_measure_opts o = quick();
    lb_samples s;
    measure(p, &o, &s);
    assert_true(s.n >= o.min_samples || s.elapsed_s >= o.max_time_s);
    assert_true(s.n >= 3 && s.stats.n == s.n);
    /* An epoch is a millisecond; waiting never takes less than asked, and the best sample little more. */
    assert_in_range(s.iterations, 5, 62);        /* 50; fewer where others had the CPU while it was sized */
    assert_true(s.stats.min >= 20e3 && s.stats.min < 22e3);
    assert_true(s.stats.median >= 20e3);
    int64_t runs = (int64_t)s.launches;
    assert_true(runs >= s.n * s.iterations && runs <= s.n * (s.iterations + s.iterations / 5));
    assert_true(runs > s.n * s.iterations);      /* there is some jitter */
    assert_true(run_count > runs);               /* sizing and warm-up are not counted */
    assert_true(s.involuntary_switches >= -1 && s.migrations >= -1 && s.major_faults >= -1);
    assert_true(isnan(s.frequency_ghz) || (s.frequency_ghz > 0.1 && s.frequency_ghz < 10));
    assert_true(isnan(s.steal_ns) || s.steal_ns >= 0);
    lb_samples_done(&s);
    assert_null(s.ns);
    lb_plan_release(p);
}

/* A kernel of a few nanoseconds: thousands of runs a sample, and eager mode costs more than the plan. */
static void test_tiny_runs(void **state) {
    (void)state;
    lb_plan *p = plan_of(0, 0, 0, 0);
    lb_measure_opts o = quick();
    lb_samples plan, eager;
    measure(p, &o, &plan);
    o.eager = true;
    measure(p, &o, &eager);
    assert_true(plan.iterations > 1000);
    assert_true(plan.stats.min > 0 && plan.stats.min < 2000);
    assert_true(eager.stats.min > 0.5 * plan.stats.min);
    lb_samples_done(&plan);
    lb_samples_done(&eager);
    lb_plan_release(p);
}

static void test_long_runs(void **state) {
    (void)state;
    lb_plan *p = plan_of(3e6, 0, 0, 0);
    lb_measure_opts o = quick();
    lb_samples s;
    o.max_time_s = 0.2;
    measure(p, &o, &s);
    assert_int_equal(s.iterations, 1);
    assert_int_equal(s.launches, s.n);
    assert_true(s.stats.min >= 3e6 && s.stats.min < 4e6);
    lb_samples_done(&s);
    lb_plan_release(p);
}

/* Longer than all the time there is: still six samples, the fewest that have an interval. */
static void test_very_long_runs(void **state) {
    (void)state;
    lb_plan *p = plan_of(120e6, 0, 0, 0);
    lb_measure_opts o = quick();
    lb_samples s;
    o.max_time_s = 0.05;
    o.warmup_min_s = 0;
    o.warmup_max_s = 0.01;
    measure(p, &o, &s);
    assert_int_equal(s.n, 6);
    assert_int_equal(run_count, 7);          /* the sizing run was warm-up enough */
    assert_int_equal(s.warmup_epochs, 0);
    assert_false(s.warmup_stable);
    assert_false(isnan(s.stats.ci_lo));
    lb_samples_done(&s);
    lb_plan_release(p);
}

static void test_exact_counts(void **state) {
    (void)state;
    lb_plan *p = plan_of(2e6, 0, 0, 0);
    lb_measure_opts o = quick();
    lb_samples s;
    o.samples = 7;
    o.warmup = 4;
    o.max_time_s = 0;
    measure(p, &o, &s);
    assert_int_equal(s.n, 7);
    assert_int_equal(s.warmup_epochs, 4);
    assert_int_equal(run_count, 2 + 4 + 7);
    lb_samples_done(&s);
    lb_plan_release(p);
}

static void test_precision_stops(void **state) {
    (void)state;
    lb_plan *p = plan_of(50e3, 0, 0, 0);
    lb_measure_opts o = quick();
    lb_samples s;
    o.max_time_s = 20;
    o.precision = 0.2;
    measure(p, &o, &s);
    assert_true(s.precise);
    assert_true(s.elapsed_s < 20);
    assert_true((s.stats.ci_hi - s.stats.ci_lo) / 2 <= 0.2 * s.stats.median);
    assert_true(s.n >= o.min_samples);
    lb_samples_done(&s);
    lb_plan_release(p);
}

/* One sample in forty takes 20 times as long: marked as severe, kept, and the median does not move. */
static void test_outliers_are_kept(void **state) {
    (void)state;
    lb_plan *p = plan_of(1.5e6, 0, 40, 0);
    lb_measure_opts o = quick();
    lb_samples s;
    o.samples = 120;
    measure(p, &o, &s);
    assert_int_equal(s.n, 120);
    /* By the fences of all samples, whatever a busy machine added to them. */
    double range = s.stats.p75 - s.stats.p25;
    int slow = 0, severe = 0;
    for (int64_t i = 0; i < s.n; i++) {
        double off = fmax(s.stats.p25 - s.ns[i], s.ns[i] - s.stats.p75);
        assert_int_equal((s.marks[i] & LB_MARK_OUTLIER_SEVERE) != 0, off > 3 * range);
        assert_int_equal((s.marks[i] & LB_MARK_OUTLIER_MILD) != 0, off > 1.5 * range && !(off > 3 * range));
        slow += s.ns[i] >= 25e6;
        severe += (s.marks[i] & LB_MARK_OUTLIER_SEVERE) != 0;
    }
    assert_true(slow >= 2 && s.stats.max >= 30e6);
    if (range < 5e6) assert_true(severe >= 2);
    lb_samples_done(&s);
    lb_plan_release(p);
}

static void test_interrupt(void **state) {
    (void)state;
    lb_plan *p = plan_of(1e6, 0, 0, 30);
    lb_measure_opts o = quick();
    lb_samples s;
    o.samples = 100000;
    assert_int_equal(lb_measure(p, &o, &s), LB_EINTERRUPTED);
    assert_null(s.ns);
    assert_in_range(run_count, 30, 40);
    lb_interrupted = 0;
    lb_plan_release(p);
}

static void test_errors(void **state) {
    (void)state;
    lb_plan *p = plan_of(1e3, 0, 0, 0), *empty = NULL;
    lb_measure_opts o = quick();
    lb_samples s;
    assert_int_equal(lb_plan_new(device, &empty), LB_OK);
    assert_int_equal(lb_measure(empty, &o, &s), LB_EINVAL);
    assert_non_null(strstr(lb_error(), "empty"));
    const double bad[] = { 0, -1, NAN };
    for (int i = 0; i < 3; i++) {
        o.precision = bad[i];
        assert_int_equal(lb_measure(p, &o, &s), LB_EINVAL);
    }
    o = quick();
    o.max_time_s = NAN;
    assert_int_equal(lb_measure(p, &o, &s), LB_EINVAL);
    o = quick();
    o.samples = -1;
    assert_int_equal(lb_measure(p, &o, &s), LB_EINVAL);
    o = quick();
    o.warmup_max_s = 0;
    assert_int_equal(lb_measure(p, &o, &s), LB_EINVAL);
    o = quick();
    assert_int_equal(lb_measure_interleaved(&p, 0, &o, &s), LB_EINVAL);
    lb_plan_release(empty);
    lb_plan_release(p);
}

/* ---- several plans --------------------------------------------------------------------------------------------- */

static void test_interleaved(void **state) {
    (void)state;
    lb_plan *p[3] = { plan_of(1.2e6, 0, 0, 0), plan_of(1.2e6, 1, 0, 0), plan_of(2.4e6, 2, 0, 0) };
    lb_measure_opts o = quick();
    lb_samples s[3];
    o.samples = 12;
    o.warmup = 0;
    if (lb_measure_interleaved(p, 3, &o, s) != LB_OK) fail_msg("%s", lb_error());
    for (int i = 0; i < 3; i++) {
        assert_int_equal(s[i].n, 12);
        assert_int_equal(s[i].iterations, s[0].iterations);
    }
    assert_int_equal(s[0].iterations, 1);
    assert_true(s[2].stats.min > 1.5 * s[0].stats.min);
    /* The last 36 runs: in each round every plan once, in each block of three rounds once in each place. */
    const int *log = order_log + run_count - 36;
    for (int round = 0; round < 12; round++) {
        int seen = 0;
        for (int k = 0; k < 3; k++) seen |= 1 << log[3 * round + k];
        assert_int_equal(seen, 7);
    }
    bool shuffled = false;
    for (int block = 0; block < 4; block++) {
        for (int place = 0; place < 3; place++) {
            int seen = 0;
            for (int round = 0; round < 3; round++) seen |= 1 << log[9 * block + 3 * round + place];
            assert_int_equal(seen, 7);
        }
        shuffled |= memcmp(log, log + 9 * block, 3 * sizeof *log) != 0;
    }
    assert_true(shuffled);
    for (int i = 0; i < 3; i++) {
        lb_samples_done(&s[i]);
        lb_plan_release(p[i]);
    }
}

/* The same plan against itself, and against one 10 000 times slower, whose rounds must stay short. */
static void test_interleaved_extremes(void **state) {
    (void)state;
    lb_plan *fast = plan_of(500, 0, 0, 0), *slow = plan_of(5e6, 1, 0, 0);
    lb_plan *same[2] = { fast, fast }, *apart[2] = { fast, slow };
    lb_measure_opts o = quick();
    lb_samples s[2];
    o.precision = 0.1;
    if (lb_measure_interleaved(same, 2, &o, s) != LB_OK) fail_msg("%s", lb_error());
    double ratio = s[0].stats.min / s[1].stats.min;      /* the least: others only add to a time */
    assert_true(ratio > 0.5 && ratio < 2);
    lb_samples_done(&s[0]);
    lb_samples_done(&s[1]);
    o.samples = 3;
    if (lb_measure_interleaved(apart, 2, &o, s) != LB_OK) fail_msg("%s", lb_error());
    assert_int_equal(s[0].n, 4);            /* whole blocks only: each plan as often first as second */
    assert_in_range(s[0].iterations, 1, 20);
    assert_int_equal(s[0].iterations, s[1].iterations);
    lb_samples_done(&s[0]);
    lb_samples_done(&s[1]);
    lb_plan_release(fast);
    lb_plan_release(slow);
}

/* Extra work is done in the timed loop, exactly the share asked for, and not counted: the times per run grow by it. */
static void test_extra_work(void **state) {
    (void)state;
    lb_plan *one = plan_of(2e4, 0, 0, 0), *other = plan_of(2e4, 1, 0, 0), *p[2] = { one, other };
    const double half[2] = { 0, 0.5 };
    lb_measure_opts o = quick();
    lb_samples s[2];
    o.samples = 20;
    o.extra_work = half;
    if (lb_measure_interleaved(p, 2, &o, s) != LB_OK) fail_msg("%s", lb_error());
    assert_int_equal(2 * s[1].launches, 3 * s[0].launches);
    double ratio = s[1].stats.min / s[0].stats.min;     /* the least time is nobody else's doing */
    assert_true(ratio > 1.2 && ratio < 1.9);
    lb_samples_done(&s[0]);
    lb_samples_done(&s[1]);
    const double two_percent = 0.02, none = 0, odd = 0.0203701, too_much = 1.5, unknown = NAN;
    o.extra_work = &two_percent;
    if (lb_measure(one, &o, s) != LB_OK) fail_msg("%s", lb_error());
    uint64_t launches = s[0].launches;
    assert_int_equal(launches % 51, 0);
    lb_samples_done(s);
    o.extra_work = &none;
    assert_int_equal(lb_measure(one, &o, s), LB_OK);
    lb_samples_done(s);
    const double *const wrong[] = { &odd, &too_much, &unknown };
    for (int i = 0; i < 3; i++) {
        o.extra_work = wrong[i];
        assert_int_equal(lb_measure(one, &o, s), LB_EINVAL);
    }
    /* Whole on all three only in 971,230,541 runs. */
    lb_plan *third = plan_of(2e4, 2, 0, 0), *three[3] = { one, other, third };
    const double primes[3] = { 1 / 983.0, 1 / 991.0, 1 / 997.0 };
    lb_samples of_three[3];
    o.extra_work = primes;
    assert_int_equal(lb_measure_interleaved(three, 3, &o, of_three), LB_EINVAL);
    lb_plan_release(third);
    lb_plan_release(one);
    lb_plan_release(other);
}

/* Two samplers in turn: the same runs on both sides, all samples kept, the plans as they were. */
static void test_in_pieces(void **state) {
    (void)state;
    lb_plan *one = plan_of(2e4, 0, 0, 0), *other = plan_of(2e4, 1, 0, 0);
    const double fifth = 0.2;
    lb_measure_opts o = quick(), extra = o;
    lb_sampler *a, *b;
    lb_samples s, t;
    int64_t q, r;
    extra.extra_work = &fifth;
    assert_int_equal(lb_sampler_new(one, &o, &a), LB_OK);
    assert_int_equal(lb_sampler_new(other, &extra, &b), LB_OK);
    lb_plan_release(other);                 /* the sampler holds it */
    assert_true(lb_sampler_iterations(a, &q) >= 1 && lb_sampler_iterations(b, &r) >= 1);
    assert_true(lb_sampler_share(a) == 1 && lb_sampler_share(b) == 5);
    assert_true(lb_sampler_run_ns(a) > 1e4 && lb_sampler_run_ns(b) > 1e4);
    assert_int_equal(q, 1);
    assert_int_equal(r, 5);
    assert_int_equal(lb_sampler_finish(a, &s), LB_EINVAL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lb_sampler_take(a, 4, 60, 5), LB_OK);
        assert_int_equal(lb_sampler_take(b, 4, 60, 5), LB_OK);
    }
    assert_int_equal(lb_sampler_take(a, 0, 60, 5), LB_EINVAL);
    assert_int_equal(lb_sampler_take(a, 1, -1, 5), LB_EINVAL);
    assert_int_equal(lb_sampler_take(a, 1, 1, LB_QUANTUM_MOST + 1), LB_EINVAL);
    assert_int_equal(lb_sampler_finish(a, &s), LB_OK);
    assert_int_equal(lb_sampler_finish(b, &t), LB_OK);
    assert_int_equal(s.n, 12);
    assert_int_equal(t.n, 12);
    assert_int_equal(s.launches % 5, 0);
    assert_int_equal(5 * t.launches, 6 * s.launches);
    assert_true(s.stats.median > 0 && s.elapsed_s > 0);
    lb_samples_done(&s);
    lb_samples_done(&t);
    assert_int_equal(lb_sampler_take(a, 1, 0, 0), LB_EINVAL);
    assert_int_equal(lb_sampler_finish(a, &s), LB_EINVAL);
    lb_sampler_free(a);
    lb_sampler_free(b);
    lb_sampler_free(NULL);
    assert_int_equal(lb_sampler_new(one, &o, &a), LB_OK);
    /* Of as many runs as a small matrix has copies: what is told is what a sample has. */
    assert_int_equal(lb_sampler_take(a, 1, 60, 4096), LB_OK);
    assert_int_equal(lb_sampler_iterations(a, &q), 4096);
    assert_int_equal(q, 4096);
    lb_sampler_free(a);                     /* unfinished */
    o.precision = -1;
    assert_int_equal(lb_sampler_new(one, &o, &a), LB_EINVAL);
    assert_null(a);
    lb_plan_release(one);
}

/* Whole runs of extra work, whole graphs, both, and what is drawn of them. */
static void test_runs_of_a_sample(void **state) {
    (void)state;
    assert_int_equal(lb_runs_of_share(0.02), 50);
    assert_int_equal(lb_runs_of_share(1 / 3.0), 3);
    assert_int_equal(lb_runs_of_share(0.0203701), 0);
    assert_int_equal(lb_runs_common(50, 256), 6400);
    assert_int_equal(lb_runs_whole(1, 1929, 0), 1929);
    assert_int_equal(lb_runs_whole(2, 8, 0.5), 16);
    /* Extra work is whole always, graphs as far as there is room. */
    int64_t graphs = lb_runs_whole(50, 1929, 0.02);
    assert_int_equal(lb_runs_agreed(50, 50, graphs, 1 << 20), graphs);
    assert_int_equal(lb_runs_agreed(50, 50, graphs, 2), 50);
    assert_int_equal(lb_runs_launched(50, 0.02), 51);
    assert_int_equal(lb_runs_agreed(50, 50, 8, 100), 50);
    assert_int_equal(lb_runs_agreed(50, 50, 8, 200), 200);
    assert_int_equal(lb_runs_agreed(1, 1, 8000, 2), 1);
    assert_int_equal(lb_runs_agreed(1000, 1, 1929, 3000), 1929);
    assert_int_equal(lb_runs_agreed(1929, 1, 1000, 3000), 1929);
    static const double shares[] = { 0, 0.02, 0.01, 1 / 3.0, 0.5, 0.375, 1 };
    for (int i = 0; i < 7; i++)
        for (int64_t whole = 2; whole <= 300; whole++) {
            double share = shares[i];
            int64_t q = share > 0 ? lb_runs_of_share(share) : 1, least = lb_runs_common(q, whole), n = least;
            while (lb_runs_launched(n, share) % whole) n += least;
            if (lb_runs_whole(q, whole, share) != n)
                fail_msg("share %g, graphs of %d: %d runs, expected %d", share, (int)whole,
                         (int)lb_runs_whole(q, whole, share), (int)n);
        }
    bool more = false;
    for (int64_t i = 0; i < 100; i++) {
        int64_t few = lb_runs_jittered(30, 8, 1, i), many = lb_runs_jittered(40, 8, 1, i);
        assert_int_equal(few, 32);          /* four steps: no room for a fifth more */
        assert_true(many == 40 || many == 48);
        more |= many == 48;
    }
    assert_true(more);
}

/* ---- ceilings -------------------------------------------------------------------------------------------------- */

static void assert_rate(lb_rate r, double most) {
    assert_true(r.best > 1e8 && r.best < most);
    assert_true(r.median > 0 && r.median <= r.best_of_ten && r.best_of_ten <= r.best);
}

static void test_ceilings(void **state) {
    (void)state;
    lb_ceilings c;
    int64_t before = lb_memory_now();
    if (lb_ceilings_measure(device, 0.3, 1u | 2u << LB_COMPUTE_F32, &c) != LB_OK) fail_msg("%s", lb_error());
    assert_rate(c.read, 1e13);
    assert_rate(c.ops[LB_COMPUTE_F32], 1e15);
    assert_true(c.ops[LB_COMPUTE_INT8].best == 0);       /* was not asked for */
    assert_int_equal(lb_memory_now(), before);            /* the buffer is not charged to the cases */
    uint64_t start = lb_now_ns();
    assert_int_equal(lb_ceilings_measure(device, 0.1, 1, &c), LB_OK);
    assert_true((double)(lb_now_ns() - start) < 5e9);
    assert_true(c.ops[LB_COMPUTE_F32].best == 0);
    if (lb_ceilings_measure(device, 0.1, LB_CEILING_COPY | LB_CEILING_WRITE, &c) != LB_OK) fail_msg("%s", lb_error());
    assert_rate(c.copy, 1e13);
    assert_rate(c.write, 1e13);
    assert_true(c.read.best == 0);
    lb_peak_class all[64];
    int n = 0;
    if (lb_ceilings_classes(device, 0.1, all, 64, &n) != LB_OK) fail_msg("%s", lb_error());
    assert_true(n >= 1);
    for (int i = 0; i < n; i++) {
        assert_string_equal(all[i].kernel->op, "peak");
        assert_int_equal(all[i].kernel->isa & ~lb_device_caps_of(device)->isa, 0);
        assert_rate(all[i].ops_per_s, 1e16);
    }
    assert_int_equal(lb_ceilings_measure(device, 0, 1, &c), LB_EINVAL);
    assert_int_equal(lb_ceilings_measure(device, NAN, 1, &c), LB_EINVAL);
    lb_interrupted = 1;
    assert_int_equal(lb_ceilings_measure(device, 0.1, 1, &c), LB_EINTERRUPTED);
    lb_interrupted = 0;
}

/* Reads are measured in every form that needs the instructions of the best one, and in each once. */
static void test_read_forms(void **state) {
    (void)state;
    lb_args a = { 0 };
    lb_tensor *x = NULL, *sink = NULL;
    const lb_kernel *forms[LB_CEILING_FORMS + 1], *best = NULL;
    int64_t n = 1 << 16, parts = 64, count = 0;
    assert_true(lb_op_find("peak_read", &a.op) == LB_OK && lb_tensor_new(device, LB_F32, NULL, 1, &n, &x) == LB_OK);
    assert_int_equal(lb_tensor_new(device, LB_F32, NULL, 1, &parts, &sink), LB_OK);
    a.t[LB_PEAK_READ_X] = (lb_operand){ &x, 1 };
    a.t[LB_PEAK_READ_SINK] = (lb_operand){ &sink, 1 };
    a.p[LB_PEAK_READ_P_ROUNDS] = 1;
    while (count <= LB_CEILING_FORMS && (forms[count] = lb_ceiling_kernel(device, &a, LB_COMPUTE_NONE, (int)count)))
        count++;
    assert_in_range(count, 1, LB_CEILING_FORMS);
    assert_int_equal(lb_kernel_select(device, &a, false, &best), LB_OK);
    assert_ptr_equal(forms[0], best);
    for (int i = 0; i < count; i++) assert_int_equal(forms[i]->isa, best->isa);
    for (int i = 1; i < count; i++) assert_ptr_not_equal(forms[i], forms[i - 1]);
    if (best->isa) assert_int_equal(count, 2);        /* plain and with prefetch, wherever there are vectors for it */
    assert_null(lb_ceiling_kernel(device, &a, LB_COMPUTE_NONE, (int)count));
    lb_tensor_release(x);
    lb_tensor_release(sink);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_runs), cmocka_unit_test(test_tiny_runs), cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_very_long_runs), cmocka_unit_test(test_exact_counts),
        cmocka_unit_test(test_precision_stops), cmocka_unit_test(test_outliers_are_kept),
        cmocka_unit_test(test_interrupt), cmocka_unit_test(test_errors), cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_interleaved_extremes), cmocka_unit_test(test_extra_work),
        cmocka_unit_test(test_in_pieces), cmocka_unit_test(test_runs_of_a_sample), cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_read_forms),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
