/* test_plan.c: recording, dataflow, replay, accounts and rotation of plans. */
#include "plan_fakes.h"
#include <math.h>
#include "cache.h"
#include "memory.h"
#include "clock.h"

static lb_device *one, *many;

static int open_devices(void **state) {
    (void)state;
    OK(lb_device_open("cpu", 1, &one));
    OK(lb_device_open("cpu", 2, &many));
    lb_cache_capacity_set(one, 1);
    lb_cache_capacity_set(many, 1);
    return 0;
}
static int close_devices(void **state) {
    (void)state;
    lb_device_release(one);
    lb_device_release(many);
    return 0;
}

static lb_plan *plan_on(lb_device *d) {
    lb_plan *p = NULL;
    OK(lb_plan_new(d, &p));
    return p;
}

/* Says that the caches hold 16 MiB, or what the machine shows if that is more: what rotates depends on it. */
static int64_t known_cache(void) {
    lb_cache_capacity_set(many, 16 << 20);
    return (int64_t)lb_cache_capacity(many);
}

/* Bytes in the bucket of a distance; distance 0: in all. */
static double bytes_from(const double *buckets, double distance) {
    double sum = 0;
    if (distance > 0) return buckets[(int)(log2(distance) * LB_REUSE_PER_OCTAVE)];
    for (int i = 0; i < LB_REUSE_BUCKETS; i++) sum += buckets[i];
    return sum;
}

/* ---- recording ---- */

static void test_outputs_are_made(void **state) {
    (void)state;
    lb_plan *p = plan_on(many);
    lb_tensor *x = fake_f32(many, 100);
    lb_args a = { .op = &mix_op, .t = { { &x, 1 } }, .p = { 3 } };
    lb_step_opts o = { .kernel = &mix_kernels[MIX_SPLIT], .label = "first" };
    int step = -1;
    OK(lb_plan_add(p, &mix_op, &a, &o, &step));
    assert_int_equal(step, 0);
    assert_int_equal(a.t[1].count, 1);
    lb_tensor_release(x);   /* the step holds on to it */
    OK(lb_plan_run(p));
    assert_int_equal(a.t[1].items[0]->dims[0], 100);
    for (int i = 0; i < 100; i++) assert_true(f32s(a.t[1].items[0])[i] == 3.0f);
    lb_step_info info;
    OK(lb_plan_step(p, 0, &info));
    assert_string_equal(info.op, "mix");
    assert_string_equal(info.kernel, "mix.f32.split");
    assert_string_equal(info.label, "first");
    FAILS(LB_EINVAL, lb_plan_step(p, 1, &info));
    lb_plan_release(p);
}

static bool supports_nothing(const lb_args *a, const char **why) { return (void)a, *why = "on principle", false; }

static void test_recording_refuses(void **state) {
    (void)state;
    static const lb_kernel refuses = { .name = "mix.f32.never", .op = "mix", .device = "cpu", .launch = mix_launch,
                                       .supports = supports_nothing };
    lb_plan *p = plan_on(many);
    lb_tensor *x = fake_f32(many, 8), *y = fake_f32(many, 8), *none[2] = { NULL, y }, *both[2] = { x, x };
    lb_tensor *pair[2] = { x, y }, *view = NULL;
    FAILS(LB_EINVAL, record(p, &mix_op, &mix_kernels[0], none, 2, 0, NULL));
    assert_non_null(strstr(lb_error(), "x is missing"));
    FAILS(LB_EINVAL, record(p, &mix_op, &mix_kernels[0], both, 2, 0, NULL));
    assert_non_null(strstr(lb_error(), "shares memory"));
    FAILS(LB_EUNSUPPORTED, record(p, &mix_op, &refuses, pair, 2, 0, NULL));
    assert_non_null(strstr(lb_error(), "on principle"));
    FAILS(LB_EINVAL, record(p, &mix_op, &add_kernel, pair, 2, 0, NULL));
    FAILS(LB_EUNSUPPORTED, record(p, &mix_op, NULL, pair, 2, 0, NULL));   /* nothing registered for it */
    lb_args list = { .op = &mix_op, .t = { { pair, 2 } } };
    FAILS(LB_EINVAL, lb_plan_add(p, &mix_op, &list, NULL, NULL));
    assert_non_null(strstr(lb_error(), "list of 2"));
    OK(lb_tensor_slice(x, 0, 0, 4, &view));
    lb_step_opts when = { .when = { view, 0 } };
    FAILS(LB_EINVAL, record_mix(p, 0, x, y, 0, &when));
    lb_tensor *flags = fake_i32(many, 2, 1);
    when.when = (lb_ref){ flags, 2 };
    FAILS(LB_EINVAL, record_mix(p, 0, x, y, 0, &when));
    assert_int_equal(lb_plan_steps(p), 0);
    FAILS(LB_EINVAL, lb_plan_replay(p, 0, NULL, NULL));
    OK(lb_plan_run(p));   /* an empty plan runs */
    FAILS(LB_EINVAL, lb_plan_append(p, p, NULL));
    lb_plan *q = plan_on(one);
    FAILS(LB_EINVAL, lb_plan_append(p, q, NULL));
    lb_tensor_release(x), lb_tensor_release(y), lb_tensor_release(view), lb_tensor_release(flags);
    lb_plan_release(p), lb_plan_release(q);
}

/* ---- dataflow ---- */

static void test_barriers(void **state) {
    (void)state;
    lb_plan *p = plan_on(many);
    lb_tensor *b[6];
    for (int i = 0; i < 6; i++) b[i] = fake_f32(many, 64);
    OK(record_mix(p, MIX_SPLIT, b[0], b[1], 0, NULL));   /* 0 */
    OK(record_mix(p, MIX_SPLIT, b[0], b[2], 0, NULL));   /* 1: shares only what it reads */
    OK(record_mix(p, MIX_SPLIT, b[1], b[3], 0, NULL));   /* 2: reads what 0 wrote */
    OK(record_mix(p, MIX_SPLIT, b[2], b[4], 0, NULL));   /* 3: what 1 wrote lies before the barrier */
    OK(record_mix(p, MIX_SPLIT, b[0], b[1], 0, NULL));   /* 4: writes what 2 reads */
    OK(record_mix(p, MIX_SPLIT, b[5], b[1], 0, NULL));   /* 5: writes what 4 writes */
    OK(record_mix(p, MIX_SERIAL, b[0], b[2], 0, NULL));  /* 6: serial, nothing shared since */
    OK(record_mix(p, MIX_SERIAL, b[2], b[3], 0, NULL));  /* 7: after 6 on the same thread */
    OK(record_mix(p, MIX_SPLIT, b[3], b[4], 0, NULL));   /* 8: parallel after serial */
    static const bool want[] = { false, false, true, false, true, true, false, false, true };
    for (int i = 0; i < 9; i++)
        if (has_barrier(p, i) != want[i]) fail_msg("step %d: barrier %d, expected %d", i, !want[i], want[i]);
    lb_plan_release(p);
    p = plan_on(many);   /* rows of one matrix do not touch one another; the matrix touches them all */
    lb_tensor *m = fake_f32(many, 128), *lo = NULL, *hi = NULL, *all = fake_f32(many, 128);
    OK(lb_tensor_slice(m, 0, 0, 64, &lo));
    OK(lb_tensor_slice(m, 0, 64, 128, &hi));
    OK(record_mix(p, MIX_SPLIT, b[0], lo, 0, NULL));
    OK(record_mix(p, MIX_SPLIT, b[0], hi, 0, NULL));
    OK(record_mix(p, MIX_SPLIT, m, all, 0, NULL));
    assert_false(has_barrier(p, 1));
    assert_true(has_barrier(p, 2));
    lb_plan_release(p);
    for (int i = 0; i < 6; i++) lb_tensor_release(b[i]);
    lb_tensor_release(m), lb_tensor_release(lo), lb_tensor_release(hi), lb_tensor_release(all);
}

enum { BUFFERS = 6, FLAGS = 3, WIDTH = 4096 };

/* A plan of random steps over few buffers, with flags that its own steps write. */
static void random_plan(lb_device *d, uint32_t seed, lb_plan **out, lb_tensor **b, lb_tensor **f) {
    lb_plan *p = plan_on(d);
    for (int i = 0; i < BUFFERS; i++) {
        b[i] = fake_f32(d, WIDTH);
        for (int j = 0; j < WIDTH; j++) f32s(b[i])[j] = (float)((i * 7919 + j * 31) % 977) / 64;
    }
    for (int i = 0; i < FLAGS; i++) f[i] = fake_i32(d, 2, i & 1);
#define NEXT(n) (seed = seed * 1664525u + 1013904223u, (int)((seed >> 16) % (uint32_t)(n)))
    for (int s = 0; s < 120; s++) {
        int x = NEXT(BUFFERS), y = (x + 1 + NEXT(BUFFERS - 1)) % BUFFERS, kind = NEXT(10);
        lb_step_opts o = { 0 };
        if (NEXT(3) == 0) o.when = (lb_ref){ f[NEXT(FLAGS)], NEXT(2) };
        if (kind == 0) {
            lb_tensor *t[2] = { b[x], f[NEXT(FLAGS)] };
            if (o.when.tensor == t[1]) o.when.tensor = NULL;
            OK(record(p, &flag_op, &flag_kernel, t, 2, 0, &o));
        } else if (kind == 1) {
            lb_tensor *t[2] = { b[x], b[y] };
            OK(record(p, &add_op, &add_kernel, t, 2, 0, &o));
        } else if (kind == 2) {
            int32_t only = NEXT(FLAGS);
            OK(record_mix(p, NEXT(MIX_KERNELS), b[x], b[y], 2, &(lb_step_opts){ .when = { f[only], 0 } }));
        } else {
            OK(record_mix(p, NEXT(MIX_KERNELS), b[x], b[y], 1, &o));
        }
    }
#undef NEXT
    *out = p;
}

static void test_threads_agree(void **state) {
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        lb_device *d = NULL;
        if (threads > lb_device_caps_of(many)->threads_max && threads > 2) continue;
        OK(lb_device_open("cpu", threads, &d));
        for (uint32_t seed = 1; seed <= 40; seed++) {
            lb_plan *p = NULL, *q = NULL;
            lb_tensor *pb[BUFFERS], *pf[FLAGS], *qb[BUFFERS], *qf[FLAGS];
            uint64_t pl = 0, ql = 0;
            random_plan(one, seed, &p, pb, pf);
            random_plan(d, seed, &q, qb, qf);
            OK(lb_plan_replay(p, 20, NULL, &pl));
            if (seed & 1) OK(lb_plan_replay(q, 20, NULL, &ql));
            else OK(lb_plan_replay_eager(q, 20, NULL, &ql));
            if (pl != ql) fail_msg("seed %u: %llu launches on one thread, %llu on %d", seed, (unsigned long long)pl,
                                   (unsigned long long)ql, threads);
            assert_true(pl > 0 && pl < 20 * 120);   /* some steps were skipped */
            for (int i = 0; i < BUFFERS; i++)
                if (memcmp(f32s(pb[i]), f32s(qb[i]), WIDTH * 4)) fail_msg("seed %u: buffer %d differs", seed, i);
            for (int i = 0; i < BUFFERS; i++) lb_tensor_release(pb[i]), lb_tensor_release(qb[i]);
            for (int i = 0; i < FLAGS; i++) lb_tensor_release(pf[i]), lb_tensor_release(qf[i]);
            lb_plan_release(p), lb_plan_release(q);
        }
        lb_device_release(d);
    }
}

/* ---- when, pick, append ---- */

static void test_pick(void **state) {
    (void)state;
    lb_plan *p = plan_on(many);
    lb_tensor *x = fake_f32(many, 8), *w[3], *out = fake_f32(many, 4), *ids = fake_i32(many, 2, 0);
    for (int i = 0; i < 8; i++) f32s(x)[i] = 1;
    for (int i = 0; i < 3; i++) {
        w[i] = fake_matrix(many, 4, 8, 0);
        for (int j = 0; j < 32; j++) f32s(w[i])[j] = (float)(i + 1);
    }
    lb_step_opts o = { .pick = { ids, 1 } };
    OK(record_rowsum(p, x, w, 3, out, &rowsum_kernel, &o));
    for (int i = 0; i < 3; i++) {
        i32s(ids)[1] = i;
        OK(lb_plan_run(p));
        assert_true(f32s(out)[3] == 8.0f * (float)(i + 1));
    }
    i32s(ids)[1] = 3;
    FAILS(LB_EINVAL, lb_plan_run(p));
    assert_non_null(strstr(lb_error(), "picked item 3"));
    i32s(ids)[1] = -1;
    FAILS(LB_EINVAL, lb_plan_replay(p, 2, NULL, NULL));
    lb_check c;
    FAILS(LB_EINVAL, lb_plan_check(p, &c));
    i32s(ids)[1] = 2;
    OK(lb_plan_run(p));
    for (int i = 0; i < 3; i++) lb_tensor_release(w[i]);
    lb_tensor_release(x), lb_tensor_release(out), lb_tensor_release(ids);
    lb_plan_release(p);
}

static void test_append(void **state) {
    (void)state;
    lb_plan *inner = plan_on(many), *p = plan_on(many);
    lb_tensor *x = fake_f32(many, 64), *y = fake_f32(many, 64), *z = fake_f32(many, 64), *f = fake_i32(many, 6, 1);
    uint64_t launches = 0;
    lb_step_opts o = { .when = { f, 0 }, .label = "kept" };
    OK(record_mix(inner, MIX_SPLIT, x, y, 1, &o));
    OK(record_mix(inner, MIX_SPLIT, y, z, 1, NULL));
    lb_ref when = { f, 1 };
    OK(lb_plan_append(p, inner, &when));
    OK(lb_plan_append(p, inner, NULL));
    lb_plan_release(inner);
    assert_int_equal(lb_plan_steps(p), 4);
    assert_true(has_barrier(p, 1));
    lb_step_info info;
    OK(lb_plan_step(p, 2, &info));
    assert_string_equal(info.label, "kept");
    OK(lb_plan_replay(p, 10, NULL, &launches));
    assert_int_equal(launches, 40);
    i32s(f)[1] = 0;
    OK(lb_plan_replay(p, 10, NULL, &launches));
    assert_int_equal(launches, 20);
    i32s(f)[1] = 1, i32s(f)[0] = 0;
    OK(lb_plan_replay_eager(p, 10, NULL, &launches));
    assert_int_equal(launches, 20);
    lb_plan *nest[5] = { plan_on(many), plan_on(many), plan_on(many), plan_on(many), plan_on(many) };
    OK(record_mix(nest[0], MIX_SPLIT, x, y, 1, &o));
    for (int i = 1; i < 4; i++) OK(lb_plan_append(nest[i], nest[i - 1], &(lb_ref){ f, 1 + i }));
    FAILS(LB_EINVAL, lb_plan_append(nest[4], nest[3], &(lb_ref){ f, 5 }));
    for (int off = 0; off < 5; off++) {   /* all four conditions count */
        for (int i = 0; i < 6; i++) i32s(f)[i] = 1;
        if (off < 4) i32s(f)[off ? off + 1 : 0] = 0;
        OK(lb_plan_replay(nest[3], 1, NULL, &launches));
        assert_int_equal(launches, off < 4 ? 0 : 1);
    }
    for (int i = 0; i < 5; i++) lb_plan_release(nest[i]);
    lb_tensor_release(x), lb_tensor_release(y), lb_tensor_release(z), lb_tensor_release(f);
    lb_plan_release(p);
}

/* ---- accounts ---- */

static void test_account(void **state) {
    (void)state;
    lb_plan *p = plan_on(many);
    lb_tensor *x = fake_f32(many, 64), *w[3], *out = fake_f32(many, 32), *ids = fake_i32(many, 4, 0);
    lb_tensor *y = fake_f32(many, 32), *off = fake_i32(many, 1, 0);
    for (int i = 0; i < 3; i++) w[i] = fake_matrix(many, 32, 64, (float)i);
    static const int32_t order[4] = { 1, 2, 1, 1 };
    memcpy(i32s(ids), order, sizeof order);
    for (int i = 0; i < 4; i++)
        OK(record_rowsum(p, x, w, 3, out, &rowsum_kernel, &(lb_step_opts){ .pick = { ids, i } }));
    OK(record_mix(p, MIX_SPLIT, out, y, 1, NULL));
    OK(record_mix(p, MIX_TICKET, out, y, 1, &(lb_step_opts){ .when = { off, 0 } }));
    lb_account a;
    OK(lb_plan_account(p, &a));
    double wb = 32 * 64 * 4;
    assert_int_equal(a.launches, 5);
    assert_int_equal(a.path_count, 2);   /* the skipped kernel is not on the path */
    assert_string_equal(a.path[0].kernel, "rowsum.f32.plain");
    assert_int_equal(a.path[0].launches, 4);
    assert_true(a.path[0].weight_bytes == 4 * wb);
    assert_int_equal(a.path[1].launches, 1);
    assert_int_equal(a.weights_touched, 2);
    assert_true(a.weight_bytes == 2 * wb);
    assert_true(a.weight_bytes_streamed == 4 * wb);
    assert_true(a.flops == 4 * 2 * 32 * 64 + 2 * 32);
    assert_true(a.flops_by[LB_COMPUTE_F32] == a.flops);
    assert_true(a.bytes_streamed == 4 * (wb + 4 * 96) + 8 * 32);
    double acts = 4 * (64 + 32 + 32);                /* x, out and y once each */
    assert_true(a.bytes_min == 2 * wb + acts && a.act_bytes == acts);
    assert_true(bytes_from(a.reuse_bytes, wb) == wb && bytes_from(a.reuse_bytes, 2 * wb) == wb);
    assert_true(bytes_from(a.reuse_bytes, 0) == 2 * wb);
    /* 1 2 1 1 | 1 2: the first is read again at once, the second after the first */
    assert_true(bytes_from(a.first_bytes, wb) == wb && bytes_from(a.first_bytes, 2 * wb) == wb);
    lb_account_done(&a);
    for (int i = 0; i < 3; i++) lb_tensor_release(w[i]);
    lb_tensor_release(x), lb_tensor_release(out), lb_tensor_release(ids), lb_tensor_release(y), lb_tensor_release(off);
    lb_plan_release(p);
}

static void test_account_reuse_distance(void **state) {
    (void)state;
    int64_t llc = known_cache();
    /* three weights of 0.4 LLC: read again after one other (fits), and after two others (does not) */
    lb_plan *p = plan_on(many);
    int64_t k = 1024, n = llc * 2 / 5 / (4 * k);
    lb_tensor *x = fake_f32(many, k), *w[3], *out = fake_f32(many, n);
    for (int i = 0; i < 3; i++) w[i] = fake_matrix(many, n, k, (float)i);
    static const int order[] = { 0, 1, 0, 2, 1 };
    for (int i = 0; i < 5; i++) OK(record_rowsum(p, x, &w[order[i]], 1, out, &rowsum_kernel, NULL));
    lb_account a;
    OK(lb_plan_account(p, &a));
    assert_true(a.bytes_min == 4.0 * (double)(n * k * 4) + 4.0 * (double)(n + k));
    double b = (double)(n * k * 4);
    assert_true(bytes_from(a.reuse_bytes, 2 * b) == b && bytes_from(a.reuse_bytes, 3 * b) == b);
    /* 0 1 0 2 1, then 0 1 . 2: the second was read after the third, so only the first lies in between */
    assert_true(bytes_from(a.first_bytes, 3 * b) == 2 * b && bytes_from(a.first_bytes, 2 * b) == b);
    lb_account_done(&a);
    for (int i = 0; i < 3; i++) lb_tensor_release(w[i]);
    lb_tensor_release(x), lb_tensor_release(out);
    lb_plan_release(p);
}

/* ---- rotation ---- */

enum { SEEN = 1 << 14 };
static uintptr_t seen[SEEN];
static int seen_count;
static void spying_launch(const lb_args *a, const lb_launch *l) {
    if (l->part == 0 && seen_count < SEEN) seen[seen_count++] = (uintptr_t)lb_tensor_data(lb_weight(a, l, 1));
    rowsum_launch(a, l);
}
static const lb_kernel spying_kernel = { .name = "rowsum.f32.spying", .op = "rowsum", .device = "cpu", .format = "any",
                                         .tolerance = 1e-12, .launch = spying_launch };

static void test_rotation(void **state) {
    (void)state;
    int64_t llc = known_cache();
    int64_t room = lb_memory_room_get().available;
    const int64_t cold = (int64_t)lb_cache_cold_bytes((double)llc);
    if (room > 0 && room / 4 < cold) {
        print_message("copies of %lld bytes do not fit a quarter of the free memory\n", (long long)cold);
        skip();
    }
    lb_plan *p = plan_on(many);
    int64_t k = 2048, n = llc / 3 / (4 * k), bytes = n * k * 4;
    lb_tensor *x = fake_f32(many, k), *w[4], *out = fake_f32(many, n), *ids = fake_i32(many, 1, 2);
    for (int i = 0; i < 4; i++) w[i] = fake_matrix(many, n, k, (float)i);
    for (int i = 0; i < k; i++) f32s(x)[i] = (float)(i % 13);
    OK(record_rowsum(p, x, w, 4, out, &spying_kernel, &(lb_step_opts){ .pick = { ids, 0 } }));
    lb_rotation r;
    int64_t before = lb_memory_now();
    OK(lb_plan_rotate(p, LB_CACHE_WEIGHTS_COLD, &r));
    assert_true(r.touched_bytes == (double)bytes);   /* one expert of four */
    assert_false(r.capped);
    assert_int_equal(r.sets, 1 + (cold + bytes - 1) / bytes);
    assert_true(r.copied_bytes == (double)(r.sets - 1) * (double)bytes);
    assert_true(lb_memory_now() - before >= (int64_t)r.copied_bytes);
    lb_check c;
    OK(lb_plan_check(p, &c));
    if (!c.passed) fail_msg("%s", c.reason);
    seen_count = 0;
    OK(lb_plan_replay(p, 2 * r.sets + 1, NULL, NULL));
    OK(lb_plan_replay_eager(p, 3, NULL, NULL));
    assert_int_equal(seen_count, 2 * r.sets + 4);
    for (int i = 0; i < seen_count; i++)
        for (int j = i + 1; j < seen_count; j++)
            if (seen[i] == seen[j]) {
                if ((int64_t)(j - i - 1) * bytes < cold) fail_msg("used again after %d sets", j - i);
                break;
            }
    ((float *)seen[seen_count - 1])[5] += 1;   /* a set's copy goes bad: not the originals, so only this finds it */
    assert_ptr_not_equal((void *)seen[seen_count - 1], lb_tensor_data(w[2]));
    OK(lb_plan_check(p, &c));
    assert_false(c.passed);
    assert_non_null(strstr(c.reason, "rotation set"));
    OK(lb_plan_rotate(p, LB_CACHE_ALL_COLD, &r));
    assert_true(r.touched_bytes == (double)(bytes + 4 * k));   /* x too; never ids */
    OK(lb_plan_check(p, &c));
    assert_true(c.passed);
    OK(lb_plan_rotate(p, LB_CACHE_HOT, &r));
    assert_int_equal(r.sets, 1);
    assert_true(lb_memory_now() <= before + 4096);
    seen_count = 0;
    OK(lb_plan_replay(p, 3, NULL, NULL));
    assert_true(seen[0] == seen[2] && seen[0] == (uintptr_t)lb_tensor_data(w[2]));
    for (int i = 0; i < 4; i++) lb_tensor_release(w[i]);
    lb_tensor_release(x), lb_tensor_release(out), lb_tensor_release(ids);
    lb_plan_release(p);
}

static void test_cache_names(void **state) {
    (void)state;
    lb_cache c;
    for (int i = LB_CACHE_HOT; i <= LB_CACHE_ALL_COLD; i++) {
        assert_true(lb_cache_parse(lb_cache_name((lb_cache)i), &c));
        assert_int_equal(c, i);
    }
    assert_false(lb_cache_parse("cold", &c));
}

/* ---- updates ---- */

static void test_updates_are_restored(void **state) {
    (void)state;
    lb_plan *p = plan_on(many);
    lb_tensor *x = fake_f32(many, 32), *y = fake_f32(many, 32), *z = fake_f32(many, 32), *t[2] = { x, y };
    for (int i = 0; i < 32; i++) f32s(x)[i] = 1, f32s(y)[i] = 5;
    OK(record(p, &add_op, &add_kernel, t, 2, 0, NULL));
    OK(record_mix(p, MIX_SPLIT, y, z, 0, NULL));
    OK(lb_plan_run(p));
    OK(lb_plan_run(p));
    assert_true(f32s(y)[0] == 7);   /* run moves on */
    lb_account a;
    OK(lb_plan_account(p, &a));
    lb_account_done(&a);
    assert_true(f32s(y)[0] == 7);
    OK(lb_plan_snapshot_updates(p));
    OK(lb_plan_replay(p, 10, NULL, NULL));
    assert_true(f32s(y)[0] == 7 && f32s(z)[0] == 8.5f);
    lb_check c;
    OK(lb_plan_check(p, &c));
    assert_true(c.passed);
    assert_int_equal(c.steps_checked, 2);
    assert_true(f32s(y)[0] == 7 && f32s(z)[0] == 4);
    OK(lb_plan_snapshot_outputs(p));
    OK(lb_plan_replay(p, 3, NULL, NULL));
    OK(lb_plan_verify_outputs(p, &c));
    if (!c.passed) fail_msg("%s", c.reason);
    f32s(x)[3] = 2;
    OK(lb_plan_verify_outputs(p, &c));
    assert_false(c.passed);
    assert_string_equal(c.op, "add");
    lb_tensor_release(x), lb_tensor_release(y), lb_tensor_release(z);
    lb_plan_release(p);
}

/* ---- layouts ---- */

static size_t swapped_size(const lb_quantizer *q, int64_t n, int64_t k) { return (void)q, (size_t)(n * k) * 4; }
/* the element order of each row reversed */
static void swapped_repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t r0, int64_t r1,
                           void *dst) {
    (void)q, (void)n;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t j = 0; j < k; j++) ((float *)dst)[r * k + j] = ((const float *)native)[r * k + k - 1 - j];
}
static const lb_layout swapped = { .name = "test_reversed", .size_bytes = swapped_size, .repack = swapped_repack,
                                   .row_multiple = 1 };
static void swapped_launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *w = lb_weight(a, l, 1);
    int64_t n = w->dims[0], k = w->dims[1], b, e;
    lb_split(n, 1, l->part, l->parts, &b, &e);
    for (int64_t i = b; i < e; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) sum += (double)f32s(lb_arg(a, 0))[j] * (double)f32s(w)[i * k + k - 1 - j];
        f32s(lb_arg(a, 2))[i] = (float)sum;
    }
}
static const lb_kernel swapped_kernel = { .name = "rowsum.f32.reversed", .op = "rowsum", .device = "cpu",
                                          .format = "any",
                                          .layout = &swapped, .tolerance = 1e-12, .launch = swapped_launch };

static void test_layouts(void **state) {
    (void)state;
    lb_plan *p = plan_on(many);
    lb_tensor *x = fake_f32(many, 64), *w = fake_matrix(many, 16, 64, 1), *out = fake_f32(many, 16);
    for (int i = 0; i < 64; i++) f32s(x)[i] = (float)i;
    OK(record_rowsum(p, x, &w, 1, out, &swapped_kernel, NULL));
    OK(record_rowsum(p, x, &w, 1, out, &swapped_kernel, NULL));
    lb_check c;
    OK(lb_plan_check(p, &c));
    if (!c.passed) fail_msg("%s", c.reason);
    double bytes = 0;
    lb_plan_repack(p, NULL, &bytes);
    assert_true(bytes == 16 * 64 * 4);   /* once, however often it is read */
    FAILS(LB_EUNSUPPORTED, record_rowsum(p, x, &w, 1, out, &swapped_kernel, &(lb_step_opts){ .native_layout = true }));
    lb_tensor *row = NULL;   /* writing what was converted would leave the conversion stale */
    OK(lb_tensor_slice(w, 0, 0, 1, &row));
    lb_tensor *flat = NULL;
    OK(lb_tensor_reshape(row, 1, (int64_t[]){ 64 }, &flat));
    FAILS(LB_EUNSUPPORTED, record_mix(p, MIX_SPLIT, x, flat, 0, NULL));
    lb_tensor *packed = NULL;   /* one broken element of the converted weights, the native ones intact */
    OK(lb_tensor_in_layout(w, &swapped_kernel, &packed, NULL));
    f32s(packed)[70] += 1e-3f;
    OK(lb_plan_check(p, &c));
    assert_false(c.passed);
    assert_non_null(strstr(c.reason, "NMSE"));
    lb_plan_release(p);
    p = plan_on(many);   /* a weight that the plan itself computes cannot be converted beforehand */
    OK(record_mix(p, MIX_SPLIT, x, flat, 0, NULL));
    lb_tensor *w2 = NULL;
    OK(lb_tensor_slice(w, 0, 0, 8, &w2));
    lb_tensor *out2 = fake_f32(many, 8);
    FAILS(LB_EUNSUPPORTED, record_rowsum(p, x, &w2, 1, out2, &swapped_kernel, NULL));
    OK(record_rowsum(p, x, &w2, 1, out2, &rowsum_kernel, NULL));
    OK(lb_plan_check(p, &c));
    if (!c.passed) fail_msg("%s", c.reason);
    lb_plan_release(p);
    lb_tensor_release(x), lb_tensor_release(w), lb_tensor_release(out), lb_tensor_release(row), lb_tensor_release(flat);
    lb_tensor_release(w2), lb_tensor_release(out2);
    lb_oracle_cache_clear();
}

/* ---- cost ---- */

static double step_cost_ns(lb_device *d, bool eager) {
    lb_plan *p = plan_on(d);
    double best = 1e9;
    for (int i = 0; i < 1000; i++) OK(record(p, &nothing_op, &nothing_kernel, NULL, 0, 0, NULL));
    for (int i = 0; i < 50; i++) {
        uint64_t ns = 0, launches = 0;
        OK(eager ? lb_plan_replay_eager(p, 10, &ns, &launches) : lb_plan_replay(p, 100, &ns, &launches));
        if ((double)ns / (double)launches < best) best = (double)ns / (double)launches;
    }
    lb_plan_release(p);
    return best;
}

static void test_cost(void **state) {
    (void)state;
    print_message("empty step: %.1f ns on one thread, %.1f ns on two; eager %.0f and %.0f ns\n",
                  step_cost_ns(one, false),
                  step_cost_ns(many, false), step_cost_ns(one, true), step_cost_ns(many, true));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs_are_made), cmocka_unit_test(test_recording_refuses),
        cmocka_unit_test(test_barriers), cmocka_unit_test(test_threads_agree), cmocka_unit_test(test_pick),
        cmocka_unit_test(test_append), cmocka_unit_test(test_account), cmocka_unit_test(test_account_reuse_distance),
        cmocka_unit_test(test_rotation), cmocka_unit_test(test_cache_names),
        cmocka_unit_test(test_updates_are_restored), cmocka_unit_test(test_layouts), cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
