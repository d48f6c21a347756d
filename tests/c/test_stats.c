/* test_stats.c: statistics and the clock against values worked out by hand or by brute force. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "clock.h"
#include "rng.h"
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

enum { LONGEST = 400 };

/* ---- stopping --------------------------------------------------------------------------------------------------- */

/* Scatter of two shapes with median 0: even, skewed to the right. Of two humps the median lies where no value does, and
 * an interval is narrow where it lies in one of them: no rule helps there, and none of such data is promised. */
static double shaped(int shape, uint64_t seed, uint64_t i) {
    double u = (double)(lb_rng_u64(seed, 2 * i) >> 11) * 0x1p-53,
        v = (double)(lb_rng_u64(seed, 2 * i + 1) >> 11) * 0x1p-53;
    return shape == 0 ? sqrt(-2 * log(1 - u)) * cos(2 * M_PI * v) : -log(1 - u) - M_LN2;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Only the interval of lb_stats_of: the rest would take most of the test's time. */
static lb_stats interval(const double *x, int64_t n) {
    double sorted[LONGEST];
    int64_t lo, hi;
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    lb_stats_median_ranks(n, 0.95, &lo, &hi);
    return (lb_stats){ .ci_lo = sorted[lo - 1], .ci_hi = sorted[hi - 1] };
}

/* Samples until the interval of the median is as narrow as wanted, as a measurement does; true: it holds the truth. */
static bool stopped_holds(int shape, uint64_t seed, int64_t least, int64_t most, double wanted, bool once,
                          int64_t *used) {
    double x[LONGEST];
    int64_t end = 0, n = least;
    for (int64_t i = 0; i < most; i++) x[i] = shaped(shape, seed, (uint64_t)i);
    for (;; n = end > n && end < n + n / 16 + 1 ? end : n + n / 16 + 1) {
        lb_stats s;
        if (n > most) n = most;
        s = interval(x, n);
        double half = (s.ci_hi - s.ci_lo) / 2;
        if (n < most && !(once ? half <= wanted : lb_stats_enough(n, half, wanted, &end))) continue;
        *used += n;
        return s.ci_lo <= 0 && 0 <= s.ci_hi;
    }
}

/* The share over widths that 8 to 80 values need, and shapes; *least: that of the worst. */
static double stopped_coverage(int64_t least_n, int64_t most, bool once, double *least, double *used) {
    enum { TRIALS = 1500, WIDTHS = 5 };
    int64_t all = 0, held_all = 0;
    *least = 1;
    for (int shape = 0; shape < 2; shape++) {
        for (int width = 0; width < WIDTHS; width++) {
            double wanted = 2.456 / sqrt(8 * pow(1.78, width));      /* of a normal's median: 1.96 * 1.2533 / sqrt(n) */
            int held = 0;
            for (uint64_t t = 0; t < TRIALS; t++)
                held += stopped_holds(shape, 1000003 * (uint64_t)width + t, least_n, most, wanted, once, &all);
            held_all += held;
            if ((double)held / TRIALS < *least) *least = (double)held / TRIALS;
        }
    }
    *used = (double)all / (2.0 * WIDTHS * TRIALS);
    return (double)held_all / (2.0 * WIDTHS * TRIALS);
}

/* The rule keeps what the interval promises; ending when it first looks narrow does not. */
static void test_stopping(void **state) {
    (void)state;
    double used, once_used, least, once_least;
    double kept = stopped_coverage(24, LONGEST, false, &least, &used);
    double once = stopped_coverage(24, LONGEST, true, &once_least, &once_used);
    if (kept < 0.95 || least < 0.94) fail_msg("coverage %g, at least %g", kept, least);  /* 0.94: of 1500 trials */
    assert_true(once < kept && once_least < 0.945);
    assert_true(used < 2 * once_used);
    kept = stopped_coverage(10, 60, false, &least, &used);      /* pairs of processes */
    if (kept < 0.95 || least < 0.94) fail_msg("coverage %g of pairs, at least %g", kept, least);
}

static void test_enough(void **state) {
    (void)state;
    int64_t end = 0;
    assert_false(lb_stats_enough(20, NAN, 0.01, &end));
    assert_int_equal(end, -1);                               /* looked at, and not narrow yet */
    assert_false(lb_stats_enough(21, 0.001, 0.01, &end));    /* no first look any more */
    assert_int_equal(end, 42);
    assert_false(lb_stats_enough(41, 0.009, 0.01, &end));
    assert_false(lb_stats_enough(42, 0.011, 0.01, &end));    /* there, but wide again */
    assert_true(lb_stats_enough(45, 0.0099, 0.01, &end));
    end = 0;
    assert_true(lb_stats_enough(24, 0.004, 0.01, &end));     /* far inside at once */
    end = 0;
    assert_false(lb_stats_enough(24, 0.009, 0.01, &end));
    assert_int_equal(end, 48);
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
        cmocka_unit_test(test_enough),   cmocka_unit_test(test_stopping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
