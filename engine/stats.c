/* stats.c: robust statistics of samples. */
#include "stats.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Type 7: linear between the order statistics at rank 1 + (n - 1) p. */
static double quantile(const double *sorted, int64_t n, double p) {
    double at = (double)(n - 1) * p;
    int64_t i = (int64_t)floor(at);
    if (i >= n - 1) return sorted[n - 1];
    double share = at - (double)i;
    return share == 0 ? sorted[i] : sorted[i] + share * (sorted[i + 1] - sorted[i]);
}

/* A tail quantile needs about five samples beyond it to say anything, and carries its own interval. */
static double supported(const double *sorted, int64_t n, double p, double ci[2]) {
    double tail = p < 0.5 ? p : 1 - p;
    int64_t lo, hi;
    if ((double)n * tail < 5 - 1e-9) return NAN;
    lb_stats_quantile_ranks(n, p, 0.95, &lo, &hi);
    if (lo < 1) return NAN;
    ci[0] = sorted[lo - 1];
    ci[1] = sorted[hi - 1];
    return quantile(sorted, n, p);
}

/* The largest k with P(Bin(n, p) < k) <= limit. */
static int64_t lower_rank(int64_t n, double p, double limit) {
    /* Everything below the mean less 10 sqrt(n), 20 sigma or more, weighs less than 1e-80: the sum may start there. */
    double sum = 0, mean = (double)n * p;
    int64_t start = (int64_t)(mean - 10 * sqrt((double)n)) - 1;
    if (start < 0) start = 0;
    int sign;
    double log_p = lgamma_r((double)n + 1, &sign) - lgamma_r((double)start + 1, &sign) -
                   lgamma_r((double)(n - start) + 1, &sign) + (double)start * log(p) + (double)(n - start) * log1p(-p);
    int64_t k = start;
    for (; k < n; k++) {                     /* here sum = P(Bin < k) */
        double next = sum + exp(log_p);      /* P(Bin < k + 1) */
        if (next > limit) break;
        sum = next;
        log_p += log((double)(n - k)) - log((double)(k + 1)) + log(p) - log1p(-p);
    }
    return k;
}

void lb_stats_quantile_ranks(int64_t n, double p, double confidence, int64_t *lo, int64_t *hi) {
    *lo = *hi = 0;
    if (n < 1 || !(confidence > 0 && confidence < 1) || !(p > 0 && p < 1)) return;
    int64_t below = lower_rank(n, p, (1 - confidence) / 2), above = lower_rank(n, 1 - p, (1 - confidence) / 2);
    if (below < 1 || above < 1) return;
    *lo = below;
    *hi = n + 1 - above;
}

void lb_stats_median_ranks(int64_t n, double confidence, int64_t *lo, int64_t *hi) {
    lb_stats_quantile_ranks(n, 0.5, confidence, lo, hi);
}

static void moments(const double *x, int64_t n, lb_stats *out) {
    /* Two passes: times are large numbers with small differences. */
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    out->mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - out->mean) * (x[i] - out->mean);
    out->std = n > 1 ? sqrt(squares / (double)(n - 1)) : NAN;
}

static void orders(const double *sorted, int64_t n, lb_stats *out) {
    out->min = sorted[0];
    out->max = sorted[n - 1];
    out->median = quantile(sorted, n, 0.5);
    out->p10 = supported(sorted, n, 0.10, out->percentile_ci[0]);
    out->p25 = supported(sorted, n, 0.25, out->percentile_ci[1]);
    out->p75 = supported(sorted, n, 0.75, out->percentile_ci[2]);
    out->p90 = supported(sorted, n, 0.90, out->percentile_ci[3]);
    out->p95 = supported(sorted, n, 0.95, out->percentile_ci[4]);
    out->p99 = supported(sorted, n, 0.99, out->percentile_ci[5]);
    int64_t lo, hi;
    lb_stats_median_ranks(n, 0.95, &lo, &hi);
    if (lo > 0) {
        out->ci_lo = sorted[lo - 1];
        out->ci_hi = sorted[hi - 1];
    }
}

void lb_stats_of(const double *x, int64_t n, lb_stats *out) {
    *out = (lb_stats){ n < 0 ? 0 : n, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, { { 0 } } };
    for (int i = 0; i < 6; i++) out->percentile_ci[i][0] = out->percentile_ci[i][1] = NAN;
    if (n <= 0) return;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i])) return;             /* an unknown sample makes all of it unknown */
    }
    double *sorted = malloc((size_t)n * sizeof *sorted);
    if (!sorted) return;
    memcpy(sorted, x, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    moments(x, n, out);
    orders(sorted, n, out);
    for (int64_t i = 0; i < n; i++) sorted[i] = fabs(x[i] - out->median);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    out->mad = quantile(sorted, n, 0.5);
    free(sorted);
}

#define FAR_INSIDE 0.4              /* of the width that is wanted */

bool lb_stats_enough(int64_t n, double half_width, double wanted, int64_t *end) {
    bool first = *end == 0, narrow = half_width <= wanted;      /* false for NaN */
    if (first && half_width <= FAR_INSIDE * wanted) return true;
    if (narrow && *end <= 0) *end = 2 * n;
    else if (first) *end = -1;
    return narrow && n >= *end;
}
