/* op_common.h: shape and dtype checks that the operations share. */
#pragma once
#include "../op.h"
#include "kv.h"

/* "operand x of gemm: expected f32[M, K], got q4_k[3, 4]" and the like; each returns LB_EINVAL through lb_fail. */
lb_status lb_op_bad(const lb_args *a, int slot, const char *expected);

/* Operand `slot` is a dense tensor of this dtype and rank (rank -1 = any). */
lb_status lb_op_want(const lb_args *a, int slot, lb_dtype dtype, int rank, const char *expected);

/* Every item of a weight operand is [n, k] (n or k -1 = take it from the first item), of any float dtype or format. */
lb_status lb_op_want_weights(const lb_args *a, int slot, int64_t *n, int64_t *k);

/* Parameter `i` is a whole number in [lo, hi]. */
lb_status lb_op_want_integer(const lb_args *a, int i, int64_t lo, int64_t hi);

/* Operand `slot` is f32 rows: rank >= 1, any strides, the last dimension dense and `cols` long (-1 = any). */
lb_status lb_op_want_rows(const lb_args *a, int slot, int64_t cols, const char *expected);

/* Operand `slot` is a dense f32 vector of n elements, or an i32 one. */
lb_status lb_op_want_vector(const lb_args *a, int slot, lb_dtype dtype, int64_t n, const char *expected);

bool lb_op_same_shape(const lb_tensor *a, const lb_tensor *b);

/* infer() of an output that looks like another operand, in a dtype. */
lb_status lb_op_infer_like(const lb_args *a, int from, lb_dtype as, lb_dtype *dtype, int *rank, int64_t *dims);

/* The batch operands that attention and caches share: lengths [B] (may be absent where `optional`), starts [B+1] and
 * pages [B, M] where present. `sequences` -1 = the first that is there says; then T must be a multiple of it. */
lb_status lb_op_want_batch(const lb_args *a, int lengths, int starts, int64_t rows, int64_t sequences);

/* A cache [B, H, S, D] of a type that caches have, its last dimension dense, `packed` as its dtype wants it; with pages
 * [B, M] i32 a pool of pages. */
lb_status lb_op_want_cache(const lb_args *a, int slot, int pages, int packed);

/* n values of a cache's row in f64. */
lb_status lb_op_cache_row(const lb_tensor *cache, int packed, const void *row, int64_t n, double *out);

/* Products that one row of x takes with weights [N, K]: N K, less those of blocks that a format leaves out as wholes
 * (block-sparse; scattered zeros count: that kernels may skip them is not the rule). */
double lb_op_products(const lb_tensor *w);

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

/* gpt-oss's gate in f64: g = min(gate, limit), (clamp(up, -limit, limit) + 1) * g * sigmoid(alpha g). */
void lb_op_swiglu_clamped_f64(const double *gate, const double *up, int64_t n, double alpha, double limit, double *out);

/* x / sqrt(mean(x^2) + eps) * weight of one row in f64; weight may be NULL. */
void lb_op_rms_norm_f64(const float *x, const float *weight, int64_t k, double eps, double *out);

/* One activation (LB_ACTIVATION_*) in f64, and their names. */
double lb_op_activation_f64(int kind, double slope, double x);
extern const char *const lb_op_activations[];

/* "none", "q8_0", "q4_0". */
extern const char *const lb_op_packings[];
