/* test_cache.c: the read curve and what it says of the caches. Rates are only asked to exist: they are no test's
 * matter. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "device_backend.h"
#include "measure.h"

#define MIB 1048576.0
#define OK(call)                                                \
    do {                                                        \
        if ((call) != LB_OK) fail_msg("%s: %s", #call, lb_error()); \
    } while (0)

/* A device of one thread with known caches, for fitting only. */
static lb_device shown(int64_t llc) {
    lb_device d = { .threads = 1 };
    d.caps.l1d_bytes = 48 << 10;
    d.caps.l2_bytes = 1 << 20;
    d.caps.llc_bytes = llc;
    return d;
}

/* Doubling from 16 KiB to 512 MiB: 400 GB/s in the first level, 200 in the second, 100 up to `cache`, 60 at twice that
 * (a third from memory), 20 beyond. */
static lb_cache_curve steps(double cache) {
    lb_cache_curve c = { 0 };
    for (double b = 16384; b <= 512 * MIB; b *= 2) {
        c.bytes[c.n] = b;
        c.bytes_per_s[c.n++] = b < 48 << 10 ? 400e9 : b <= MIB ? 200e9 : b <= cache ? 100e9 : b <= 2 * cache ? 60e9
            : 20e9;
    }
    return c;
}

static void test_fit(void **state) {
    (void)state;
    lb_device d = shown(32 << 20);
    lb_cache_curve c = steps(64 * MIB);
    lb_cache_curve_fit(&d, &c, 0);
    assert_true(c.l1_bytes_per_s == 400e9 && c.l2_bytes_per_s == 200e9 && c.llc_bytes_per_s == 100e9);
    assert_true(c.capacity_bytes == 128 * MIB);      /* at twice the cache more than half still comes from it */
    for (int i = 0; i < c.n; i++)
        if (c.bytes[i] > 64 * MIB && c.bytes[i] <= 128 * MIB) c.bytes_per_s[i] = 30e9;
    lb_cache_curve_fit(&d, &c, 0);
    assert_true(c.capacity_bytes == 64 * MIB);
}

/* Swept while others kept memory busy: what is between their share of it and its own rate is no cache. */
static void test_fit_with_slow_memory(void **state) {
    (void)state;
    lb_device d = shown(32 << 20);
    lb_cache_curve c = steps(64 * MIB);
    for (int i = 0; i < c.n; i++)
        if (c.bytes[i] > 64 * MIB) c.bytes_per_s[i] = c.bytes[i] > 256 * MIB ? 6e9 : 20e9;
    lb_cache_curve_fit(&d, &c, 0);
    assert_true(c.capacity_bytes == 256 * MIB);
    lb_cache_curve_fit(&d, &c, 20e9);
    assert_true(c.capacity_bytes == 64 * MIB);
}

static void test_fit_sees_no_step(void **state) {
    (void)state;
    lb_device d = shown(32 << 20);
    lb_cache_curve c = steps(0);
    lb_cache_curve_fit(&d, &c, 0);
    assert_true(c.llc_bytes_per_s == 0 && c.capacity_bytes == 0);
    c.n = 2;
    lb_cache_curve_fit(&d, &c, 0);
    assert_true(c.l1_bytes_per_s == 0 && c.capacity_bytes == 0);
}

static void test_capacity(void **state) {
    (void)state;
    lb_device d = shown(32 << 20);
    lb_cache_capacity_set(&d, 64 * MIB);
    assert_true(lb_cache_capacity(&d) == 64 * MIB);
    lb_cache_capacity_set(&d, 8 * MIB);
    assert_true(lb_cache_capacity(&d) == 32 * MIB);  /* never less than is shown */
}

/* Twelve times small caches, 1 GiB, three times large ones. */
static void test_cold(void **state) {
    (void)state;
    assert_true(lb_cache_cold_bytes(0) == 0);
    assert_true(lb_cache_cold_bytes(32 * MIB) == 384 * MIB);
    assert_true(lb_cache_cold_bytes(128 * MIB) == 1024 * MIB);
    assert_true(lb_cache_cold_bytes(512 * MIB) == 1536 * MIB);
}

static void test_measured(void **state) {
    (void)state;
    lb_device *d = NULL;
    lb_cache_curve c;
    OK(lb_device_open("cpu", 1, &d));
    assert_int_equal(lb_cache_curve_measure(d, 0, &c), LB_EINVAL);
    assert_int_equal(lb_cache_curve_measure(d, NAN, &c), LB_EINVAL);
    OK(lb_cache_curve_measure(d, 0.01, &c));
    assert_true(c.n >= 8 && c.n <= LB_CURVE_MOST);
    for (int i = 0; i < c.n; i++) {
        assert_true(c.bytes_per_s[i] > 0 && isfinite(c.bytes_per_s[i]));
        assert_true(i == 0 || c.bytes[i] > c.bytes[i - 1]);
    }
    assert_true(c.bytes[0] <= 64 << 10);
    int64_t llc = lb_device_caps_of(d)->llc_bytes;
    assert_true(lb_cache_capacity(d) >= (double)llc);
    /* interrupted: says so */
    lb_interrupted = 1;
    assert_int_equal(lb_cache_curve_measure(d, 0.01, &c), LB_EINTERRUPTED);
    lb_interrupted = 0;
    lb_device_release(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_fit_with_slow_memory),
        cmocka_unit_test(test_fit_sees_no_step),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_cold),
        cmocka_unit_test(test_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
