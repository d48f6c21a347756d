/* test_stats.c: statistics and the clock against values worked out by hand or by brute force. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "clock.h"
#include "stats.h"

static void near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.17g, expected %.17g within %g", got, want, tolerance);
}

static void test_by_hand(void **state) {
    (void)state;
    const double x[] = { 9, 1, 7, 3, 5, 100 };
    lb_stats s;
    lb_stats_of(x, 6, &s);
    assert_int_equal(s.n, 6);
    near(s.median, 6, 0);
    near(s.mean, 125.0 / 6, 1e-13);
    near(s.min, 1, 0);
    near(s.max, 100, 0);
    near(s.mad, 3, 0);           /* |x - 6| = 5 3 3 1 1 94 */
    near(s.std, sqrt((9 * 9 + 1 + 49 + 9 + 25 + 10000 - 125.0 * 125.0 / 6) / 5), 1e-12);
    near(s.ci_lo, 1, 0);         /* six samples: the whole range */
    near(s.ci_hi, 100, 0);
    assert_true(isnan(s.p25) && isnan(s.p10) && isnan(s.p99));
    near(x[0], 9, 0);            /* the input is as it was */
}

static void test_small(void **state) {
    (void)state;
    const double one[] = { 4 }, five[] = { 5, 4, 3, 2, 1 };
    lb_stats s;
    lb_stats_of(NULL, 0, &s);
    assert_int_equal(s.n, 0);
    assert_true(isnan(s.median) && isnan(s.mean) && isnan(s.std) && isnan(s.min) && isnan(s.ci_lo) && isnan(s.mad));
    lb_stats_of(one, 1, &s);
    near(s.median, 4, 0);
    near(s.mean, 4, 0);
    assert_true(isnan(s.std) && isnan(s.ci_lo));
    lb_stats_of(five, 5, &s);
    near(s.median, 3, 0);
    assert_true(isnan(s.ci_lo) && isnan(s.ci_hi));
}

static void test_unknown_sample(void **state) {
    (void)state;
    const double x[] = { 1, 2, NAN, 4, 5, 6, 7 };
    lb_stats s;
    lb_stats_of(x, 7, &s);
    assert_int_equal(s.n, 7);
    assert_true(isnan(s.median) && isnan(s.mean) && isnan(s.max));
}

static void test_quantiles(void **state) {
    (void)state;
    double x[501];
    for (int i = 0; i < 501; i++) x[(i * 7) % 501] = i;      /* 7 and 501 share no factor: a permutation */
    lb_stats s;
    lb_stats_of(x, 501, &s);
    near(s.p10, 50, 1e-9);
    near(s.p25, 125, 1e-9);
    near(s.median, 250, 1e-9);
    near(s.p75, 375, 1e-9);
    near(s.p90, 450, 1e-9);
    near(s.p95, 475, 1e-9);
    near(s.p99, 495, 1e-9);
    lb_stats_of(x, 499, &s);
    assert_true(isnan(s.p99));       /* needs 500 */
    assert_false(isnan(s.p95));
    lb_stats_of(x, 20, &s);
    assert_false(isnan(s.p25));      /* 20 is enough for quartiles, 50 for tenths */
    assert_true(isnan(s.p10));
    lb_stats_of(x, 50, &s);
    assert_false(isnan(s.p90));
}

/* P(Bin(n, 1/2) < k) by adding up Pascal's triangle. */
static double below(int n, int k) {
    double row[80] = { 1 }, sum = 0;
    for (int i = 1; i <= n; i++) {
        for (int j = i; j > 0; j--) row[j] += row[j - 1];
    }
    for (int j = 0; j < k; j++) sum += row[j];
    return sum / ldexp(1, n);
}

static void test_ranks(void **state) {
    (void)state;
    int64_t lo, hi;
    for (int n = 1; n <= 60; n++) {
        int want = 0;
        while (below(n, want + 1) <= 0.025) want++;
        lb_stats_median_ranks(n, 0.95, &lo, &hi);
        assert_int_equal(lo, want);
        assert_int_equal(hi, want ? n + 1 - want : 0);
    }
    lb_stats_median_ranks(5, 0.95, &lo, &hi);
    assert_int_equal(lo, 0);
    lb_stats_median_ranks(6, 0.95, &lo, &hi);
    assert_int_equal(lo, 1);
    assert_int_equal(hi, 6);
    lb_stats_median_ranks(100, 0.95, &lo, &hi);       /* the textbook's ranks 40 and 61 */
    assert_int_equal(lo, 40);
    assert_int_equal(hi, 61);
    lb_stats_median_ranks(1000000, 0.95, &lo, &hi);   /* the normal approximation: n/2 -+ 1.96 sqrt(n)/2 */
    near((double)lo, 500000 - 980, 2);
    near((double)hi, 500001 + 980, 2);
    lb_stats_median_ranks(0, 0.95, &lo, &hi);
    assert_int_equal(lo, 0);
    lb_stats_median_ranks(100, 1.0, &lo, &hi);
    assert_int_equal(lo, 0);
}

/* Of many small data sets, the interval must hold the true median in at least 95 %. */
static void test_coverage(void **state) {
    (void)state;
    uint64_t seed = 12345;
    int trials = 4000, covered = 0;
    for (int t = 0; t < trials; t++) {
        double x[23];
        for (int i = 0; i < 23; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            x[i] = exp((double)(seed >> 11) / 9007199254740992.0);     /* median exp(1/2), skewed */
        }
        lb_stats s;
        lb_stats_of(x, 23, &s);
        covered += s.ci_lo <= exp(0.5) && exp(0.5) <= s.ci_hi;
    }
    assert_in_range(covered, (int)(0.945 * trials), (int)(0.985 * trials));
}

/* The same for the tails, whose interval is not in the middle. */
static void test_tail_coverage(void **state) {
    (void)state;
    uint64_t seed = 54321;
    int trials = 4000, p10 = 0, p90 = 0;
    double q10 = exp(0.1), q90 = exp(0.9);
    for (int t = 0; t < trials; t++) {
        double x[80];
        for (int i = 0; i < 80; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            x[i] = exp((double)(seed >> 11) / 9007199254740992.0);
        }
        lb_stats s;
        lb_stats_of(x, 80, &s);
        p10 += s.percentile_ci[0][0] <= q10 && q10 <= s.percentile_ci[0][1];
        p90 += s.percentile_ci[3][0] <= q90 && q90 <= s.percentile_ci[3][1];
        assert_true(s.percentile_ci[3][0] <= s.p90 && s.p90 <= s.percentile_ci[3][1]);
        assert_true(isnan(s.p99) && isnan(s.percentile_ci[5][0]) && isnan(s.percentile_ci[5][1]));
    }
    assert_in_range(p10, (int)(0.945 * trials), (int)(0.99 * trials));
    assert_in_range(p90, (int)(0.945 * trials), (int)(0.99 * trials));
}

static void test_tail_ranks(void **state) {
    (void)state;
    int64_t lo, hi, other;
    lb_stats_quantile_ranks(500, 0.99, 0.95, &lo, &hi);
    assert_true(lo >= 488 && lo <= 491 && hi >= 498 && hi <= 500);
    /* P(Bin(100, 0.9) < 84) = 0.0206, P(< 85) = 0.0399; P(>= 96) = 0.0237 */
    lb_stats_quantile_ranks(100, 0.9, 0.95, &lo, &hi);
    assert_int_equal(lo, 84);
    assert_int_equal(hi, 96);
    lb_stats_quantile_ranks(100, 0.1, 0.95, &other, &hi);    /* the mirror image */
    assert_int_equal(other, 101 - 96);
    assert_int_equal(hi, 101 - 84);
    lb_stats_quantile_ranks(300, 0.99, 0.95, &lo, &hi);      /* 0.99^300 = 0.049: the largest may lie below p99 */
    assert_int_equal(lo, 0);
    lb_stats_quantile_ranks(100, 0, 0.95, &lo, &hi);
    assert_int_equal(lo, 0);
}

static void test_clock(void **state) {
    (void)state;
    const lb_clock_info *c = lb_clock_info_get();
    assert_non_null(c->name);
    assert_true(c->resolution_ns > 0 && c->resolution_ns < 1e6);
    assert_true(c->cost_ns > 0 && c->cost_ns < 1e5);
    uint64_t last = lb_now_ns();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = lb_now_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_ptr_equal(c, lb_clock_info_get());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),  cmocka_unit_test(test_small),    cmocka_unit_test(test_unknown_sample),
        cmocka_unit_test(test_quantiles), cmocka_unit_test(test_ranks),   cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_clock),    cmocka_unit_test(test_tail_coverage), cmocka_unit_test(test_tail_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
