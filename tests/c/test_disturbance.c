/* test_disturbance.c: what marks a sample, and where the system tells it. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "clock.h"
#include "disturbance.h"
#include "measure.h"

static void test_marks(void **state) {
    (void)state;
    lb_disturbance d;
    lb_snapshot a = { 10, 5, 1000, 0, 0 }, b = a;
    lb_disturbance_init(&d);
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e6), 0);
    b.switches++;
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e6), LB_MARK_SWITCHED);
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e9), 0);        /* one switch in a second is nothing */
    b = a;
    b.faults++;
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e9), LB_MARK_FAULTED);
    b = a;
    b.cpu = 1;
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e6), LB_MARK_MIGRATED);
    b = a;
    b.run_delay_ns += 20000;
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e6), LB_MARK_DELAYED);
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e9), 0);
    assert_int_equal(d.switches, 2);
    assert_int_equal(d.faults, 1);
    assert_int_equal(d.migrations, 1);
    assert_true(d.run_delay_ns == 40000);
    /* Unknown stays unknown, whatever comes later, and marks nothing. */
    b = a;
    b.throttled_ns++;
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e9), LB_MARK_THROTTLED);
    assert_true(d.throttled_ns == 1);
    b = (lb_snapshot){ -1, -1, -1, -1, -1 };
    assert_int_equal(lb_disturbance_add(&d, &a, &b, 1e6), 0);
    b = a;
    b.switches += 100;
    lb_disturbance_add(&d, &a, &b, 1e6);
    assert_int_equal(d.switches, -1);
    assert_int_equal(d.faults, -1);
    assert_int_equal(d.migrations, -1);
    assert_true(isnan(d.run_delay_ns) && isnan(d.throttled_ns));
}

/* Another thread of this process, on the same CPU: the kernel has to take it away from us. */
static void *burn(void *stop) {
    while (!*(volatile int *)stop) continue;
    return NULL;
}

static void test_watcher(void **state) {
    (void)state;
    lb_watcher w = { 0 };
    lb_snapshot a, b;
    pthread_t other;
    volatile int stop = 0;
    cpu_set_t before, one;
    sched_getaffinity(0, sizeof before, &before);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    assert_int_equal(pthread_create(&other, NULL, burn, (void *)&stop), 0);
    lb_watcher_done(&w);                 /* of one never begun: nothing, and no file of others is closed */
    assert_true(fcntl(0, F_GETFD) >= 0 || errno == EBADF);
    lb_watcher_init(&w, 1);
    lb_watcher_read(&w, &a);
    b = a;
    for (uint64_t start = lb_now_ns(); b.switches == a.switches && lb_now_ns() - start < 5000000000u;)
        lb_watcher_read(&w, &b);
    for (uint64_t start = lb_now_ns(); lb_now_ns() - start < 30000000u;) continue;
    lb_watcher_read(&w, &b);
    stop = 1;
    pthread_join(other, NULL);
    sched_setaffinity(0, sizeof before, &before);
    assert_true(b.switches > a.switches);
    assert_true(b.faults >= a.faults && b.throttled_ns >= a.throttled_ns);
    if (a.run_delay_ns >= 0) assert_true(b.run_delay_ns > a.run_delay_ns);
    double share = -1;
    if (lb_watcher_steal(&w, &share)) assert_true(share >= 0 && share <= 1);
    assert_false(lb_watcher_steal(&w, &share));      /* too soon for another */
    lb_watcher_done(&w);
    lb_watcher_done(&w);
    assert_true(isnan(lb_watcher_steal_ns(&w)));
    double best = 0;
    for (int i = 0; i < 20; i++) best = fmax(best, lb_frequency_ghz());
#ifdef __x86_64__
    assert_true(best > 0.5 && best < 10);
#else
    (void)best;
#endif
}

static void test_parsing(void **state) {
    (void)state;
    const char *stat = "cpu  9 9 9 9 9 9 9 900 0 0\ncpu0 1 2 3 4 5 6 7 10 0 0\ncpu2 1 2 3 4 5 6 7 20 0 0\n"
                       "cpu11 1 2 3 4 5 6 7 40 0 0\nintr 5 cpu3\n";
    const int order[] = { 2, 11, 0, 5 };
    assert_true(lb_steal_ticks(stat, order, 1) == 20);
    assert_true(lb_steal_ticks(stat, order, 2) == 60);
    assert_true(lb_steal_ticks(stat, order, 4) == 70);       /* one that is not there adds nothing */
    assert_true(lb_steal_ticks(stat, order + 3, 1) == -1);
    assert_true(lb_steal_ticks("cpu0 1 2 3\n", order, 4) == -1 && lb_steal_ticks("", order, 4) == -1);  /* too old */
    assert_int_equal(lb_throttled_ns("usage_usec 5\nnr_throttled 3\nthrottled_usec 70\n"), 70000);
    assert_int_equal(lb_throttled_ns("nr_periods 1\nnr_throttled 3\nthrottled_time 123456\n"), 123456);
    assert_int_equal(lb_throttled_ns("usage_usec 5\nuser_usec 3\n"), -1);
    assert_int_equal(lb_throttled_ns("not_throttled_usec 5\n"), -1);
    assert_true(lb_disturbance_stolen(0.5) && !lb_disturbance_stolen(0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks), cmocka_unit_test(test_watcher), cmocka_unit_test(test_parsing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
