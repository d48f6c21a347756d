/* stats.h: robust statistics of samples. NaN = unknown (null in a result). */
#pragma once
#include <stdint.h>

typedef struct lb_stats {
    int64_t n;
    double median, mean, std, min, max, mad;
    double ci_lo, ci_hi;                    /* exact order-statistic interval of the median, 95 %; NaN below n = 6 */
    double p10, p25, p75, p90, p95, p99;    /* NaN where n cannot support them: p needs n >= 5 / min(p, 1 - p) */
    /* of each of these six, in that order: exact order-statistic interval, 95 %; NaN where the percentile is */
    double percentile_ci[6][2];
} lb_stats;

/* Does not change `x`. n == 0: all NaN. std has n - 1 (NaN for n == 1). Quantiles interpolate linearly (type 7). */
void lb_stats_of(const double *x, int64_t n, lb_stats *out);
/* Ranks (1-based) of samples between which the quantile p lies at `confidence`; 0 if n is too small. */
void lb_stats_quantile_ranks(int64_t n, double p, double confidence, int64_t *lo, int64_t *hi);
/* The same for the median: ranks (1-based lo, hi) of its order-statistic interval. */
void lb_stats_median_ranks(int64_t n, double confidence, int64_t *lo, int64_t *hi);
