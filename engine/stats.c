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

/* A tail quantile needs about five samples beyond it to say anything. */
static double supported(const double *sorted, int64_t n, double p) {
    double tail = p < 0.5 ? p : 1 - p;
    return (double)n * tail >= 5 - 1e-9 ? quantile(sorted, n, p) : NAN;
}

void lb_stats_median_ranks(int64_t n, double confidence, int64_t *lo, int64_t *hi) {
    *lo = *hi = 0;
    if (n < 1 || !(confidence > 0 && confidence < 1)) return;
    /* k = the largest with P(Bin(n, 1/2) < k) <= alpha / 2. Everything below n/2 - 20 sigma (sigma = sqrt(n) / 2)
     * weighs less than 1e-80, so the sum may start there. */
    double limit = (1 - confidence) / 2, sum = 0;
    int64_t start = n / 2 - (int64_t)(10 * sqrt((double)n)) - 1;
    if (start < 0) start = 0;
    int sign;
    double log_p = lgamma_r((double)n + 1, &sign) - lgamma_r((double)start + 1, &sign) -
                   lgamma_r((double)(n - start) + 1, &sign) - (double)n * M_LN2;
    int64_t k = start;
    for (; k <= n / 2; k++) {                /* here sum = P(Bin < k) */
        double next = sum + exp(log_p);      /* P(Bin < k + 1) */
        if (next > limit) break;
        sum = next;
        log_p += log((double)(n - k)) - log((double)(k + 1));
    }
    if (k < 1) return;
    *lo = k;
    *hi = n + 1 - k;
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
    out->p10 = supported(sorted, n, 0.10);
    out->p25 = supported(sorted, n, 0.25);
    out->p75 = supported(sorted, n, 0.75);
    out->p90 = supported(sorted, n, 0.90);
    out->p95 = supported(sorted, n, 0.95);
    out->p99 = supported(sorted, n, 0.99);
    int64_t lo, hi;
    lb_stats_median_ranks(n, 0.95, &lo, &hi);
    if (lo > 0) {
        out->ci_lo = sorted[lo - 1];
        out->ci_hi = sorted[hi - 1];
    }
}

void lb_stats_of(const double *x, int64_t n, lb_stats *out) {
    *out = (lb_stats){ n < 0 ? 0 : n, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
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
