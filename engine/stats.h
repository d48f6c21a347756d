/* stats.h: robust statistics of samples. NaN = unknown (null in a result). */
#pragma once
#include <stdbool.h>
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

/* Sampling until an interval is narrow ends too early where it happens to look narrow: such intervals hold the truth in
 * 93 % of cases, not 95. So the width that is wanted has to be seen twice: with n values, and with at least twice as
 * many; once is enough only at the first look, far inside. Call it with *end = 0 at first, whenever the half-width of
 * the interval of n values is known (NaN: there is none yet); true: enough. Else *end > 0 says when to look again at
 * the latest. tests/c/test_stats.c has the simulation. */
bool lb_stats_enough(int64_t n, double half_width, double wanted, int64_t *end);
