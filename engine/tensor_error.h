/* tensor_error.h: how far one tensor is from another, in one pass over both, on all threads. */
#pragma once
#include <stdint.h>
#include "tensor.h"

typedef struct lb_tensor_error_sums {
    double error2;      /* sum (got - want)^2 */
    double want2;       /* sum want^2 */
    double got2, cross; /* sum got^2, sum got * want: for the cosine */
    double max_abs;
} lb_tensor_error_sums;

/* Both of equal shape, of any dtype or quantizer, dense or not. f64 sums in chunks added in order, so that the result
 * does not depend on the number of threads. A NaN in either makes the sums NaN. */
lb_status lb_tensor_error(const lb_tensor *got, const lb_tensor *want, lb_tensor_error_sums *out);
