/* contrast.c: paired and unpaired contrasts of log times, sign-flip permutation, Holm. */
#include "contrast.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "rng.h"
#include "stats.h"

#define POWER 0.8
#define EXACT_FLIPS 20
#define EXACT_RANKS 60

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const double *sorted, int64_t n) {
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* P(Bin(n, q) <= k). */
static double binomial_below(int64_t n, double q, int64_t k) {
    if (k < 0) return 0;
    if (k >= n || q <= 0) return 1;
    if (q >= 1) return 0;
    double sum = 0, lq = log(q), lr = log1p(-q);
    int sign;
    double all = lgamma_r((double)n + 1, &sign);
    for (int64_t i = 0; i <= k; i++) {
        sum += exp(all - lgamma_r((double)i + 1, &sign) - lgamma_r((double)(n - i) + 1, &sign) + (double)i * lq +
                   (double)(n - i) * lr);
    }
    return fmin(sum, 1);
}

/* The q with P(Bin(n, q) <= k) = p: the left side falls with q. */
static double binomial_solve(int64_t n, int64_t k, double p) {
    double lo = 0, hi = 1;
    for (int i = 0; i < 60; i++) {
        double q = (lo + hi) / 2;
        if (binomial_below(n, q, k) > p) lo = q;
        else hi = q;
    }
    return (lo + hi) / 2;
}

static lb_status begin(double limit, double confidence, lb_contrast *out) {
    *out = (lb_contrast){ 0, 0, NAN, NAN, NAN, 1, 1, 1, NAN };
    if (!(confidence > 0 && confidence < 1))
        return lb_fail(LB_EINVAL, "contrast: the confidence is %g; it must lie between 0 and 1", confidence);
    if (!(limit >= 0 && limit < INFINITY))
        return lb_fail(LB_EINVAL, "contrast: the limit is %g; it must be 0 or more", limit);
    return LB_OK;
}

static bool any_nan(const double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i])) return true;
    }
    return false;
}

static double *sorted_copy(const double *x, int64_t n) {
    double *copy = malloc((size_t)(n > 0 ? n : 1) * sizeof *copy);
    if (!copy) return NULL;
    memcpy(copy, x, (size_t)n * sizeof *copy);
    qsort(copy, (size_t)n, sizeof *copy, compare);
    return copy;
}

/* ---- paired ---------------------------------------------------------------------------------------------------- */

static double quantile(const double *sorted, int64_t n, double p) {
    double at = (double)(n - 1) * p;
    int64_t i = (int64_t)floor(at);
    if (i >= n - 1) return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

/* The least true shift that is called different with 80 % power, taking the scatter about the median as it is: the
 * interval's lower end clears the limit when at most k - 1 of n values lie at or below it, so that each may do so with
 * probability q at most; the quantile q of the scatter then says how far its centre must be. The worse direction. */
static double detectable(const double *sorted, int64_t n, double median, int64_t k, double limit) {
    double q = binomial_solve(n, k - 1, POWER);
    double up = limit - (quantile(sorted, n, q) - median);
    double down = limit + (quantile(sorted, n, 1 - q) - median);
    return fmax(up, down);
}

lb_status lb_contrast_paired(const double *d, int64_t n, double limit, double confidence, lb_contrast *out) {
    lb_status s = begin(limit, confidence, out);
    if (s != LB_OK) return s;
    out->n = out->m = n < 0 ? 0 : n;
    if (n < 1 || any_nan(d, n)) return LB_OK;
    double *sorted = sorted_copy(d, n);
    if (!sorted) return lb_fail(LB_ENOMEM, "contrast: no memory for %lld ratios", (long long)n);
    /* counts that speak against each claim; a value on the limit speaks against all */
    int64_t not_above = 0, not_below = 0, at_least = 0, at_most = 0, lo, hi;
    for (int64_t i = 0; i < n; i++) {
        not_above += d[i] <= limit;
        not_below += d[i] >= -limit;
        at_least += d[i] >= limit;
        at_most += d[i] <= -limit;
    }
    out->p_above = binomial_below(n, 0.5, not_above);
    out->p_below = binomial_below(n, 0.5, not_below);
    out->p_inside = binomial_below(n, 0.5, at_least > at_most ? at_least : at_most);
    out->shift = median_of(sorted, n);
    lb_stats_median_ranks(n, confidence, &lo, &hi);
    if (lo > 0) {
        out->lo = sorted[lo - 1];
        out->hi = sorted[hi - 1];
        out->detectable = detectable(sorted, n, out->shift, lo, limit);
    }
    free(sorted);
    return LB_OK;
}

/* ---- unpaired -------------------------------------------------------------------------------------------------- */

/* below[u] = P(U <= u) of the rank-sum statistic for n against m values without ties, u = 0 ... n m. NULL: no memory.
 * count[j][u]: ways to choose j of the ranks seen so far so that they exceed the least possible sum by u. */
static double *rank_sum_below(int64_t n, int64_t m) {
    int64_t top = n * m, width = top + 1;
    double *count = calloc((size_t)((n + 1) * width), sizeof *count);
    double *below = malloc((size_t)width * sizeof *below);
    if (!count || !below) {
        free(count);
        free(below);
        return NULL;
    }
    count[0] = 1;
    for (int64_t rank = 1; rank <= n + m; rank++) {
        for (int64_t j = rank < n ? rank : n; j >= 1; j--) {
            double *to = count + j * width, *from = count + (j - 1) * width;
            int64_t step = rank - j;
            for (int64_t u = top; u >= step; u--) to[u] += from[u - step];
        }
    }
    double all = 0, sum = 0;
    for (int64_t u = 0; u <= top; u++) all += count[n * width + u];
    for (int64_t u = 0; u <= top; u++) below[u] = (sum += count[n * width + u]) / all;
    free(count);
    return below;
}

static double rank_sum_p(const double *below, int64_t n, int64_t m, int64_t u) {
    if (u < 0) return 0;
    if (below) return below[u < n * m ? u : n * m];
    double nm = (double)n * (double)m, sigma = sqrt(nm * (double)(n + m + 1) / 12);
    return 0.5 * erfc(-((double)u + 0.5 - nm / 2) / sigma / M_SQRT2);
}

/* diffs: all n m differences, sorted. A difference on the limit counts against every claim, as in the paired test. */
static void unpaired_of(const double *diffs, const double *below, int64_t n, int64_t m, double limit, double confidence,
                        lb_contrast *out) {
    int64_t nm = n * m, not_above = 0, not_below = 0, at_least = 0, at_most = 0, k = 0;
    for (int64_t i = 0; i < nm; i++) {
        not_above += diffs[i] <= limit;
        not_below += diffs[i] >= -limit;
        at_least += diffs[i] >= limit;
        at_most += diffs[i] <= -limit;
    }
    out->p_above = rank_sum_p(below, n, m, not_above);
    out->p_below = rank_sum_p(below, n, m, not_below);
    out->p_inside = rank_sum_p(below, n, m, at_least > at_most ? at_least : at_most);
    out->shift = median_of(diffs, nm);
    while (k < nm / 2 && rank_sum_p(below, n, m, k) <= (1 - confidence) / 2) k++;
    if (k < 1) return;
    out->lo = diffs[k - 1];
    out->hi = diffs[nm - k];
    /* half the width is z(97.5 %) standard errors of the shift; power needs z(80 %) more */
    out->detectable = limit + (out->hi - out->lo) / 2 * (1 + 0.8416 / 1.96);
}

lb_status lb_contrast_unpaired(const double *a, int64_t n, const double *b, int64_t m, double limit, double confidence,
                               lb_contrast *out) {
    lb_status s = begin(limit, confidence, out);
    if (s != LB_OK) return s;
    out->n = n < 0 ? 0 : n;
    out->m = m < 0 ? 0 : m;
    if (n < 1 || m < 1 || any_nan(a, n) || any_nan(b, m)) return LB_OK;
    if (n > (1 << 13) || m > (1 << 13))
        return lb_fail(LB_EINVAL, "contrast: %lld against %lld values; at most %d a side", (long long)n, (long long)m,
                       1 << 13);
    bool exact = n <= EXACT_RANKS && m <= EXACT_RANKS;
    double *below = exact ? rank_sum_below(n, m) : NULL;
    double *diffs = malloc((size_t)(n * m) * sizeof *diffs);
    if (!diffs || (exact && !below)) {
        free(below);
        free(diffs);
        return lb_fail(LB_ENOMEM, "contrast: no memory for %lld against %lld values", (long long)n, (long long)m);
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < m; j++) diffs[i * m + j] = b[j] - a[i];
    }
    qsort(diffs, (size_t)(n * m), sizeof *diffs, compare);
    unpaired_of(diffs, below, n, m, limit, confidence, out);
    free(below);
    free(diffs);
    return LB_OK;
}

/* ---- sign flips ------------------------------------------------------------------------------------------------ */

/* All signs by a Gray code: one flip from each to the next. The first sign stays: the other half mirrors this one. */
static double flips_exact(const double *d, int64_t n, double observed, double slack) {
    bool minus[EXACT_FLIPS] = { false };
    int64_t hits = 0, half = (int64_t)1 << (n - 1);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += d[i];
    for (int64_t code = 0;;) {
        hits += fabs(sum) >= observed - slack;
        if (++code == half) return (double)hits / (double)half;
        int bit = __builtin_ctzll((unsigned long long)code) + 1;
        minus[bit] = !minus[bit];
        sum += minus[bit] ? -2 * d[bit] : 2 * d[bit];
    }
}

double lb_sign_flip_p(const double *d, int64_t n, int64_t draws, uint64_t seed) {
    if (n < 1 || any_nan(d, n)) return NAN;
    double sum = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += d[i];
        size += fabs(d[i]);
    }
    double observed = fabs(sum), slack = 1e-9 * size;      /* the sums round; equal ones must count as equal */
    if (n <= EXACT_FLIPS) return flips_exact(d, n, observed, slack);
    int64_t hits = 0;
    uint64_t word = 0, index = 0;
    for (int64_t t = 0; t < draws; t++) {
        double s = 0;
        for (int64_t i = 0; i < n; i++) {
            if (i % 64 == 0) word = lb_rng_u64(seed, index++);
            s += word >> (i % 64) & 1 ? d[i] : -d[i];
        }
        hits += fabs(s) >= observed - slack;
    }
    return (double)(hits + 1) / (double)(draws + 1);
}

/* ---- Holm ------------------------------------------------------------------------------------------------------ */

typedef struct ranked { double p; int64_t at; } ranked;

static int compare_ranked(const void *a, const void *b) {
    double x = ((const ranked *)a)->p, y = ((const ranked *)b)->p;
    return (x > y) - (x < y);
}

lb_status lb_holm(const double *p, int64_t n, double *adjusted) {
    if (n < 1) return LB_OK;
    ranked *list = malloc((size_t)n * sizeof *list);
    if (!list) return lb_fail(LB_ENOMEM, "holm: no memory for %lld values", (long long)n);
    int64_t known = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isnan(p[i])) list[known++] = (ranked){ p[i], i };
        else adjusted[i] = NAN;
    }
    qsort(list, (size_t)known, sizeof *list, compare_ranked);
    double most = 0;
    for (int64_t i = 0; i < known; i++) {
        most = fmax(most, fmin(1, (double)(known - i) * list[i].p));
        adjusted[list[i].at] = most;
    }
    free(list);
    return LB_OK;
}
