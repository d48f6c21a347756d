/* tensor_spread.h: how the magnitudes of a tensor's elements are spread: what says whether a few bits can hold them. */
#pragma once
#include "tensor.h"

typedef struct lb_spread {
    double mean_abs, max_abs;
    double quantile; /* the least magnitude that the asked share of the elements does not exceed */
} lb_spread;

/* Of any dtype or quantizer, dense or not; `share` in (0, 1]. NaN elements count as 0. LB_EINVAL for a tensor without
 * elements or another share. */
lb_status lb_tensor_spread(const lb_tensor *t, double share, lb_spread *out);
