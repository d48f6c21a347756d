/* test_regimes.c: hot, weights-cold and all-cold are what they say, by the time that reading takes.
 *
 * A share of the second-level cache is read over and over. The bounds are far below what any machine shows, the least
 * of several samples counts, and a busy machine gets more tries, so that only a wrong regime fails. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "measure.h"
#include "ops/slots.h"

#define OK(call)                                                    \
    do {                                                            \
        if ((call) != LB_OK) fail_msg("%s: %s", #call, lb_error()); \
    } while (0)

#define BYTES ((int64_t)256 << 10)
#define TRIES 8
#define SLOWER 1.25                  /* what is cold takes at least so many times as long; 3 to 8 were seen */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool timed = false;     /* every load is checked there: that costs more than memory does */
#else
static const bool timed = true;
#endif

static lb_device *device;

static lb_tensor *floats(int64_t n) {
    lb_tensor *t = NULL;
    OK(lb_tensor_new(device, LB_F32, NULL, 1, &n, &t));
    memset(lb_tensor_data(t), 0, (size_t)n * 4);
    return t;
}

/* One step that reads BYTES: as weights (peak_read), or as activations (peak_copy). */
static lb_plan *reader(bool weights) {
    lb_plan *p = NULL;
    lb_args a = { 0 };
    OK(lb_op_find(weights ? "peak_read" : "peak_copy", &a.op));
    lb_tensor *x = floats(BYTES / 4), *out = floats(weights ? 64 : BYTES / 4);
    a.t[0] = (lb_operand){ &x, 1 };
    a.t[1] = (lb_operand){ &out, 1 };
    if (weights) a.p[LB_PEAK_READ_P_ROUNDS] = 1;
    OK(lb_plan_new(device, &p));
    OK(lb_plan_add(p, a.op, &a, NULL, NULL));
    lb_tensor_release(x);
    lb_tensor_release(out);
    return p;
}

static double least_ns(lb_plan *p, lb_cache cache, int *sets) {
    lb_measure_opts o;
    lb_samples s;
    lb_measure_defaults(&o);
    o.cache = cache;
    o.samples = 20;
    o.warmup = 5;
    OK(lb_measure(p, &o, &s));
    double least = s.stats.min;
    *sets = s.rotation.sets;
    assert_false(s.rotation.capped);
    lb_samples_done(&s);
    return least;
}

/* Is `cold` slower than `warm`? And how many sets rotated. */
static void compare(lb_plan *p, lb_cache warm, lb_cache cold, int *warm_sets, int *cold_sets) {
    double a = 0, b = 0;
    for (int i = 0; i < TRIES; i++) {
        a = least_ns(p, warm, warm_sets);
        b = least_ns(p, cold, cold_sets);
        if (!timed || b > SLOWER * a) return;
    }
    fail_msg("%s takes %.0f ns, %s %.0f", lb_cache_name(cold), b, lb_cache_name(warm), a);
}

static void test_weights(void **state) {
    (void)state;
    lb_plan *p = reader(true);
    int hot = 0, cold = 0;
    compare(p, LB_CACHE_HOT, LB_CACHE_WEIGHTS_COLD, &hot, &cold);
    assert_int_equal(hot, 1);
    assert_true(cold > 1);
    compare(p, LB_CACHE_HOT, LB_CACHE_ALL_COLD, &hot, &cold);
    assert_true(cold > 1);
    lb_plan_release(p);
}

static void test_activations(void **state) {
    (void)state;
    lb_plan *p = reader(false);
    int warm = 0, cold = 0;
    compare(p, LB_CACHE_WEIGHTS_COLD, LB_CACHE_ALL_COLD, &warm, &cold);
    assert_int_equal(warm, 1);           /* no weights: activations stay where they are, hot */
    assert_true(cold > 1);
    lb_plan_release(p);
}

int main(void) {
    if (lb_device_open("cpu", 1, &device)) return fprintf(stderr, "%s\n", lb_error()), 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_weights), cmocka_unit_test(test_activations) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lb_device_release(device);
    return failed;
}
