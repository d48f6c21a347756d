/* op_common.h: shape and dtype checks that the operations share. */
#pragma once
#include "../op.h"

/* "operand x of gemm: expected f32[M, K], got q4_k[3, 4]" and the like; each returns LB_EINVAL through lb_fail. */
lb_status lb_op_bad(const lb_args *a, int slot, const char *expected);

/* Operand `slot` is a dense tensor of this dtype and rank (rank -1 = any). */
lb_status lb_op_want(const lb_args *a, int slot, lb_dtype dtype, int rank, const char *expected);

/* Every item of a weight operand is [n, k] (n or k -1 = take it from the first item), of any float dtype or format. */
lb_status lb_op_want_weights(const lb_args *a, int slot, int64_t *n, int64_t *k);

/* Parameter `i` is a whole number in [lo, hi]. */
lb_status lb_op_want_integer(const lb_args *a, int i, int64_t lo, int64_t hi);

/* Bytes of a tensor as stored; 0 for NULL. */
double lb_op_bytes(const lb_tensor *t);

/* The item of a list operand that a launch uses. */
static inline lb_tensor *lb_op_item(const lb_args *a, int slot, int32_t pick) {
    return a->t[slot].count > 1 ? a->t[slot].items[pick] : lb_arg(a, slot);
}

static inline const int32_t *lb_op_i32(const lb_args *a, int slot) {
    return (const int32_t *)lb_tensor_data(lb_arg(a, slot));
}
static inline const float *lb_op_f32(const lb_args *a, int slot) { return lb_tensor_f32(lb_arg(a, slot)); }

/* The parts that the checked launch had: all threads of the operand's device; one for a serial kernel. */
int lb_op_parts(const lb_oracle_in *in, int slot);

/* Allocates `count` doubles for out[*n], names it, and counts it; LB_ENOMEM if there is no room. */
lb_status lb_op_expect(lb_expected *out, int *n, const char *what, int slot, int64_t count, bool with_mask);

/* SwiGLU in f64, in place of up: silu(gate) * up. */
void lb_op_swiglu_f64(const double *gate, const double *up, int64_t n, double *out);
