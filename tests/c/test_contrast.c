/* test_contrast.c: verdict statistics against brute force, hand-made cases, and simulations with known truth. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "contrast.h"
#include "rng.h"
#include "stats.h"

static void near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.17g, expected %.17g within %g", got, want, tolerance);
}

static double uniform(uint64_t seed, uint64_t i) { return (double)(lb_rng_u64(seed, i) >> 11) * 0x1p-53; }

/* Scatter as timings have it: skewed to the right, median 0. */
static double skewed(uint64_t seed, uint64_t i) { return -log(1 - uniform(seed, i)) - M_LN2; }

/* ---- paired ---------------------------------------------------------------------------------------------------- */

static void test_paired_by_hand(void **state) {
    (void)state;
    const double d[] = { 0.03, 0.01, 0.05, -0.01, 0.02, 0.04, 0.06, 0.07, 0.08, 0.09 };
    lb_contrast c;
    assert_int_equal(lb_contrast_paired(d, 10, 0.015, 0.95, &c), LB_OK);
    assert_int_equal(c.n, 10);
    near(c.shift, 0.045, 1e-15);
    near(c.lo, 0.01, 0);                    /* ranks 2 and 9 of ten */
    near(c.hi, 0.08, 0);
    near(c.p_above, 56.0 / 1024, 1e-12);    /* two of ten are not above: P(Bin(10, 1/2) <= 2) */
    near(c.p_below, 1, 1e-12);              /* none is below -0.015 */
    near(c.p_inside, 1013.0 / 1024, 1e-12); /* eight are at or above it: P(Bin <= 8) */
}

static void test_few_or_unknown(void **state) {
    (void)state;
    const double d[] = { 1, 1, 1, 1, 1, NAN };
    lb_contrast c;
    assert_int_equal(lb_contrast_paired(d, 5, 0.01, 0.95, &c), LB_OK);
    assert_true(isnan(c.lo) && isnan(c.hi) && isnan(c.detectable));
    near(c.shift, 1, 0);
    near(c.p_above, 1.0 / 32, 1e-15);       /* twice that is over 5 %: five pairs cannot decide */
    assert_int_equal(lb_contrast_paired(d, 6, 0.01, 0.95, &c), LB_OK);
    assert_true(isnan(c.shift) && isnan(c.lo));
    near(c.p_above, 1, 0);
    assert_int_equal(lb_contrast_paired(NULL, 0, 0.01, 0.95, &c), LB_OK);
    assert_true(isnan(c.shift));
    assert_int_equal(lb_contrast_paired(d, 5, -1, 0.95, &c), LB_EINVAL);
    assert_int_equal(lb_contrast_paired(d, 5, 0.01, 1, &c), LB_EINVAL);
    assert_int_equal(lb_contrast_paired(d, 5, NAN, 0.95, &c), LB_EINVAL);
}

/* What the interval says and what the p values say must be one. */
static void same_verdicts(const lb_contrast *c, double limit) {
    bool known = !isnan(c->lo);
    assert_int_equal(known && c->lo > limit, 2 * c->p_above <= 0.05);
    assert_int_equal(known && c->hi < -limit, 2 * c->p_below <= 0.05);
    assert_int_equal(known && c->lo > -limit && c->hi < limit, 2 * c->p_inside <= 0.05);
}

static void test_interval_and_tests_agree(void **state) {
    (void)state;
    double a[40], b[40];
    int decided = 0;
    lb_contrast c;
    for (int t = 0; t < 3000; t++) {
        int n = 1 + t % 37, m = 1 + t % 11;
        double shift = 0.1 * (t % 7 - 3), scale = t % 3 ? 0.1 : 0.02;
        for (int i = 0; i < n; i++) {
            a[i] = shift + scale * skewed(7, (uint64_t)(t * 100 + i));
            if (t % 2) a[i] = round(a[i] * 50) / 50;            /* ties, and values on the limit */
        }
        assert_int_equal(lb_contrast_paired(a, n, 0.1, 0.95, &c), LB_OK);
        same_verdicts(&c, 0.1);
        decided += 2 * fmin(c.p_inside, fmin(c.p_above, c.p_below)) <= 0.05;
        for (int i = 0; i < m; i++) b[i] = scale * skewed(8, (uint64_t)(t * 100 + i));
        assert_int_equal(lb_contrast_unpaired(b, m, a, n, 0.1, 0.95, &c), LB_OK);
        same_verdicts(&c, 0.1);
        decided += 2 * fmin(c.p_inside, fmin(c.p_above, c.p_below)) <= 0.05;
    }
    assert_in_range(decided, 1000, 5000);       /* the loop has seen both */
}

/* The true median is in the interval in at least 95 % of many small skewed data sets, and not in all. */
static void test_paired_coverage(void **state) {
    (void)state;
    static const int sizes[] = { 6, 10, 15, 30 };
    for (int k = 0; k < 4; k++) {
        int n = sizes[k], trials = 4000, covered = 0, wrong = 0;
        for (int t = 0; t < trials; t++) {
            double d[30];
            lb_contrast c;
            for (int i = 0; i < n; i++) d[i] = 0.02 + 0.01 * skewed(11, (uint64_t)((k * trials + t) * 30 + i));
            lb_contrast_paired(d, n, 0.02, 0.95, &c);
            covered += c.lo <= 0.02 && 0.02 <= c.hi;
            wrong += 2 * fmin(c.p_above, c.p_below) <= 0.05;     /* the truth is on the limit: no difference */
        }
        assert_in_range(covered, (int)(0.943 * trials), (int)(0.985 * trials));
        assert_in_range(wrong, 1, (int)(0.03 * trials));         /* one-sided: at most 2.5 % and some luck */
    }
}

/* The effect that is said to be found with 80 % power is found in about 80 %, and half of its excess far less often. */
static void test_detectable(void **state) {
    (void)state;
    static const int sizes[] = { 15, 40 };
    for (int k = 0; k < 2; k++) {
        int n = sizes[k], trials = 1500;
        double d[40], effect = 0;
        lb_contrast c;
        for (int t = 0; t < trials; t++) {
            for (int i = 0; i < n; i++) d[i] = 0.01 * (uniform(13, (uint64_t)(t * 40 + i)) - 0.5);
            lb_contrast_paired(d, n, 0.01, 0.95, &c);
            assert_true(c.detectable > 0.01);
            effect += c.detectable / trials;
        }
        int found = 0, half = 0, other_way = 0;
        for (int t = 0; t < trials; t++) {
            double e[40], h[40];
            for (int i = 0; i < n; i++) {
                double noise = 0.01 * (uniform(17, (uint64_t)(t * 40 + i)) - 0.5);
                d[i] = effect + noise;
                e[i] = -d[i];
                h[i] = 0.01 + (effect - 0.01) / 2 + noise;
            }
            lb_contrast_paired(d, n, 0.01, 0.95, &c);
            found += 2 * c.p_above <= 0.05;
            lb_contrast_paired(e, n, 0.01, 0.95, &c);
            other_way += 2 * c.p_below <= 0.05;
            lb_contrast_paired(h, n, 0.01, 0.95, &c);
            half += 2 * c.p_above <= 0.05;
        }
        assert_in_range(found, (int)(0.72 * trials), (int)(0.92 * trials));
        assert_int_equal(found, other_way);
        assert_true(half < found * 6 / 10);
    }
}

/* ---- unpaired -------------------------------------------------------------------------------------------------- */

/* P(U <= u) by walking through all ways to choose n of n + m ranks. */
static double brute_rank_sum(int n, int m, int u) {
    int below = 0, all = 0;
    for (unsigned set = 0; set < 1u << (n + m); set++) {
        if (__builtin_popcount(set) != n) continue;
        int sum = 0;
        for (int r = 0; r < n + m; r++) {
            if (set >> r & 1) sum += r + 1;
        }
        all++;
        below += sum - n * (n + 1) / 2 <= u;
    }
    return (double)below / all;
}

static void test_unpaired_ranks(void **state) {
    (void)state;
    for (int n = 1; n <= 6; n++) {
        for (int m = 1; m <= 6; m++) {
            double a[6], b[6];
            for (int u = 0; u <= n * m; u++) {
                /* b's values sit so that u of the differences b - a are not above the limit of 0 */
                for (int i = 0; i < n; i++) a[i] = i;
                int left = u;
                for (int j = 0; j < m; j++) {
                    int under = left < n ? left : n;        /* this value of b lies above n - under of a's */
                    b[j] = n - under - 0.5;
                    left -= under;
                }
                lb_contrast c;
                assert_int_equal(lb_contrast_unpaired(a, n, b, m, 0, 0.95, &c), LB_OK);
                near(c.p_above, brute_rank_sum(n, m, u), 1e-12);
            }
        }
    }
}

static void test_unpaired_by_hand(void **state) {
    (void)state;
    const double a[] = { 1, 2, 3, 4, 5 }, b[] = { 11, 12, 13, 14, 15 };
    lb_contrast c;
    assert_int_equal(lb_contrast_unpaired(a, 5, b, 5, 0.5, 0.95, &c), LB_OK);
    near(c.shift, 10, 0);
    near(c.p_above, 1.0 / 252, 1e-12);
    /* 2.5 % of 252 are 6.3 arrangements; 1, 2, 4, 7 have U <= 0, 1, 2, 3: the third difference from each end */
    near(c.lo, 7, 0);
    near(c.hi, 13, 0);
    assert_int_equal(lb_contrast_unpaired(a, 3, b, 3, 0.5, 0.95, &c), LB_OK);
    assert_true(isnan(c.lo));           /* 2 of 20 is 10 % */
    near(c.p_above, 1.0 / 20, 1e-12);
    assert_int_equal(lb_contrast_unpaired(a, 1, b, 1, 0.5, 0.95, &c), LB_OK);
    assert_true(isnan(c.lo) && c.p_above == 0.5);     /* one process each proves nothing */
}

static void test_unpaired_coverage(void **state) {
    (void)state;
    static const int sizes[][2] = { { 5, 5 }, { 10, 7 }, { 61, 20 } };       /* the last by the normal approximation */
    for (int k = 0; k < 3; k++) {
        int n = sizes[k][0], m = sizes[k][1], trials = k == 2 ? 1000 : 4000, covered = 0;
        double a[61], b[61];
        for (int t = 0; t < trials; t++) {
            lb_contrast c;
            for (int i = 0; i < n; i++) a[i] = skewed(19, (uint64_t)((k * 4000 + t) * 128 + i));
            for (int i = 0; i < m; i++) b[i] = 0.3 + skewed(19, (uint64_t)((k * 4000 + t) * 128 + 64 + i));
            lb_contrast_unpaired(a, n, b, m, 0, 0.95, &c);
            covered += c.lo <= 0.3 && 0.3 <= c.hi;
        }
        assert_in_range(covered, (int)(0.938 * trials), (int)(0.985 * trials));
    }
}

/* ---- sign flips, Holm ------------------------------------------------------------------------------------------ */

static double brute_flips(const double *d, int n) {
    double sum = 0;
    int hits = 0;
    for (int i = 0; i < n; i++) sum += d[i];
    for (unsigned set = 0; set < 1u << n; set++) {
        double s = 0;
        for (int i = 0; i < n; i++) s += set >> i & 1 ? -d[i] : d[i];
        hits += fabs(s) >= fabs(sum) - 1e-12;
    }
    return hits / ldexp(1, n);
}

static void test_sign_flips(void **state) {
    (void)state;
    double d[30];
    for (int n = 1; n <= 12; n++) {
        for (int i = 0; i < n; i++) d[i] = 0.3 + (uniform(23, (uint64_t)(n * 16 + i)) - 0.5);
        near(lb_sign_flip_p(d, n, 100, 1), brute_flips(d, n), 1e-12);
    }
    for (int i = 0; i < 10; i++) d[i] = 0.1;               /* equal sums must count as equal */
    near(lb_sign_flip_p(d, 10, 100, 1), 2.0 / 1024, 1e-15);
    for (int i = 0; i < 30; i++) d[i] = i % 2 ? 1 : -1;
    near(lb_sign_flip_p(d, 30, 999, 1), 1, 0);
    for (int i = 0; i < 30; i++) d[i] = 1;
    near(lb_sign_flip_p(d, 30, 999, 1), 1.0 / 1000, 1e-12);
    /* Drawn and exact p of the same kind of data agree. */
    for (int i = 0; i < 21; i++) d[i] = 0.16 + uniform(29, (uint64_t)i) - 0.5;
    near(lb_sign_flip_p(d, 21, 40000, 3), brute_flips(d, 21), 0.01);
    assert_true(isnan(lb_sign_flip_p(d, 0, 99, 1)));
    d[3] = NAN;
    assert_true(isnan(lb_sign_flip_p(d, 10, 99, 1)));
}

/* Without an effect the p is below 5 % in 5 %. */
static void test_sign_flip_level(void **state) {
    (void)state;
    static const int sizes[] = { 10, 25 };
    for (int k = 0; k < 2; k++) {
        int hits = 0, trials = 2000;
        for (int t = 0; t < trials; t++) {
            double d[25];
            for (int i = 0; i < sizes[k]; i++) d[i] = uniform(31, (uint64_t)((k * trials + t) * 32 + i)) - 0.5;
            hits += lb_sign_flip_p(d, sizes[k], 199, (uint64_t)t) <= 0.05;
        }
        assert_in_range(hits, (int)(0.035 * trials), (int)(0.065 * trials));
    }
}

static void test_holm(void **state) {
    (void)state;
    const double p[] = { 0.04, 0.01, NAN, 0.03, 0.005 };
    double q[5];
    assert_int_equal(lb_holm(p, 5, q), LB_OK);
    near(q[4], 0.02, 1e-15);        /* 4 x 0.005 */
    near(q[1], 0.03, 1e-15);        /* 3 x 0.01 */
    near(q[3], 0.06, 1e-15);        /* 2 x 0.03 */
    near(q[0], 0.06, 1e-15);        /* 1 x 0.04, not below its forerunner */
    assert_true(isnan(q[2]));
    double ones[] = { 0.9, 0.8 };
    assert_int_equal(lb_holm(ones, 2, ones), LB_OK);
    near(ones[0], 1, 0);
    near(ones[1], 1, 0);
    assert_int_equal(lb_holm(NULL, 0, NULL), LB_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paired_by_hand),   cmocka_unit_test(test_few_or_unknown),
        cmocka_unit_test(test_interval_and_tests_agree), cmocka_unit_test(test_paired_coverage),
        cmocka_unit_test(test_detectable),       cmocka_unit_test(test_unpaired_ranks),
        cmocka_unit_test(test_unpaired_by_hand), cmocka_unit_test(test_unpaired_coverage),
        cmocka_unit_test(test_sign_flips),       cmocka_unit_test(test_sign_flip_level),
        cmocka_unit_test(test_holm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
