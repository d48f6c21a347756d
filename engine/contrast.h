/* contrast.h: is B faster than A, slower, or the same? Exact statistics of log ratios, paired and unpaired.
 *
 * A contrast works on ln(time of b / time of a). `limit` = ln(1 + epsilon) is what counts as a difference. No
 * distribution is assumed: paired, the sign test and the order-statistic interval of the median that it inverts to;
 * unpaired, the rank-sum test and the Hodges-Lehmann interval. The tests and the interval say the same: at confidence
 * c the interval clears +limit exactly when 2 p_above <= 1 - c, clears -limit when 2 p_below <= 1 - c, and lies inside
 * when 2 p_inside <= 1 - c. */
#pragma once
#include <stdint.h>
#include "status.h"

typedef struct lb_contrast {
    int64_t n, m;               /* paired: n pairs, m = n; unpaired: n of a, m of b */
    double shift;               /* median of the log ratios; unpaired: median of all differences of logs */
    double lo, hi;              /* its interval; NaN where n is too small for the confidence */
    double p_below;             /* one-sided: chance of so many ratios below, were the median at -limit or above */
    double p_above;             /* the same above +limit */
    double p_inside;            /* the greater of two one-sided tests that the median lies within +-limit */
    double detectable;          /* least |shift| that so many pairs with this scatter would call different with 80 %
                                   power; NaN where no interval exists */
} lb_contrast;

/* Of n log ratios. Does not change `d`. NaN or too few values: fields are NaN, p values 1. LB_EINVAL for a confidence
 * outside (0, 1) or a limit below 0. */
lb_status lb_contrast_paired(const double *d, int64_t n, double limit, double confidence, lb_contrast *out);
/* Of n logs of a and m logs of b that have nothing to do with one another. `detectable` is an estimate from the
 * interval's width. Ranks are exact up to 60 values a side, normal with continuity correction beyond. */
lb_status lb_contrast_unpaired(const double *a, int64_t n, const double *b, int64_t m, double limit, double confidence,
                               lb_contrast *out);

/* Two-sided p of the sign-flip permutation test that the mean of d is 0 (d symmetric about it): all 2^n signs up to
 * n = 20, beyond that `draws` seeded ones with p = (hits + 1) / (draws + 1). NaN for n < 1 or NaN in d. */
double lb_sign_flip_p(const double *d, int64_t n, int64_t draws, uint64_t seed);

/* Holm's step-down: adjusted[i] <= alpha rejects hypothesis i with a family-wise error of alpha. NaN stays NaN and is
 * not counted. May work in place. */
lb_status lb_holm(const double *p, int64_t n, double *adjusted);
