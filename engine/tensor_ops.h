/* tensor_ops.h: arithmetic on tensors for exploring and for preparing data; not what is benchmarked (see ops/).
 *
 * Operands may be of any dtype, strided views, or quantized (then they are dequantized first); they live in the
 * processor's memory. All arithmetic is in f64, rounded once into the result. A result is a new dense tensor on the
 * first operand's device: f64 if an operand is f64, else f32, unless said otherwise. Large tensors are worked on by all
 * threads of the device, and the result never depends on how many there are. Errors name the operation and shapes. */
#pragma once
#include "tensor.h"

typedef enum lb_binary { LB_ADD, LB_SUB, LB_MUL, LB_DIV, LB_MINIMUM, LB_MAXIMUM, LB_BINARY_COUNT } lb_binary;
typedef enum lb_unary { LB_NEG, LB_ABS, LB_SQRT, LB_EXP, LB_LOG, LB_UNARY_COUNT } lb_unary;
typedef enum lb_reduce { LB_SUM, LB_MEAN, LB_MIN, LB_MAX, LB_ARGMAX, LB_NORM, LB_REDUCE_COUNT } lb_reduce;

const char *lb_binary_name(lb_binary op); /* "add", "sub", "mul", "div", "minimum", "maximum" */
const char *lb_unary_name(lb_unary op);   /* "neg", "abs", "sqrt", "exp", "log" */
const char *lb_reduce_name(lb_reduce op); /* "sum", "mean", "min", "max", "argmax", "norm" */

/* a op b, shapes broadcast by NumPy's rules: aligned at the last dimension, a missing dimension or one of size 1
 * repeats. Division by zero gives Inf or NaN; minimum and maximum give NaN if either is. */
lb_status lb_tensor_binary(lb_binary op, const lb_tensor *a, const lb_tensor *b, lb_tensor **out);
/* t op v; with `scalar_first`, v op t. */
lb_status lb_tensor_binary_scalar(lb_binary op, const lb_tensor *t, double v, bool scalar_first, lb_tensor **out);
lb_status lb_tensor_unary(lb_unary op, const lb_tensor *t, lb_tensor **out);

/* Over one dimension (0 to rank - 1), which disappears. sum and norm (Euclidean) of nothing are 0; mean, min, max and
 * argmax of nothing are errors. A NaN makes min and max NaN, and is what argmax finds; ties go to the lower index.
 * argmax gives i64. */
lb_status lb_tensor_reduce(lb_reduce op, const lb_tensor *t, int dim, lb_tensor **out);
/* Over all elements; argmax counts them in row-major order. */
lb_status lb_tensor_reduce_all(lb_reduce op, const lb_tensor *t, double *out);

/* a [.., K] times b [K, N] = [.., N]; with `transposed`, b is [N, K] as weights are stored, and may be quantized at no
 * cost but its rows' expansion. f64 accumulation in a fixed order. */
lb_status lb_tensor_matmul(const lb_tensor *a, const lb_tensor *b, bool transposed, lb_tensor **out);

/* Same shape and equal values (+0 = -0; NaN equals nothing). Integers of any width compare exactly. */
lb_status lb_tensor_equal(const lb_tensor *a, const lb_tensor *b, bool *out);
/* Same shape and |a - b| <= atol + rtol * |b| everywhere; equal infinities are close, NaN is close to nothing. */
lb_status lb_tensor_allclose(const lb_tensor *a, const lb_tensor *b, double rtol, double atol, bool *out);

/* In place, dense or not, converting as lb_tensor_to_dtype does; not for quantized tensors. */
lb_status lb_tensor_fill(lb_tensor *t, double v);
/* dst = src, broadcast to dst's shape. They may overlap. */
lb_status lb_tensor_copy_into(lb_tensor *dst, const lb_tensor *src);
/* Element i (row-major) gets element i of the stream `seed` (see rng.h), whatever the dtype, view and threads. Float
 * tensors only. `uniform` is in [lo, hi). */
lb_status lb_tensor_fill_randn(lb_tensor *t, uint64_t seed, float mean, float std);
lb_status lb_tensor_fill_uniform(lb_tensor *t, uint64_t seed, float lo, float hi);

/* start + i * step while that is before `stop`; [n] of `dtype`. */
lb_status lb_tensor_arange(lb_device *d, double start, double stop, double step, lb_dtype dtype, lb_tensor **out);
/* Joins `count` >= 1 tensors of one dtype along a dimension that they have (cat) or along a new one (stack, dim 0 to
 * rank). Not for quantized tensors. */
lb_status lb_tensor_cat(const lb_tensor *const *tensors, int count, int dim, lb_tensor **out);
lb_status lb_tensor_stack(const lb_tensor *const *tensors, int count, int dim, lb_tensor **out);
