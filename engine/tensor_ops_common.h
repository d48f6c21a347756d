/* tensor_ops_common.h: what the tensor_ops_*.c files share. */
#pragma once
#include "tensor_convert.h"
#include "tensor_ops.h"

enum { LB_OPS_CHUNK = 2048, LB_OPS_GRAIN = 1 << 15 };

/* An operand that can be read in strides: `t` itself, or a dequantized copy that `owned` holds. */
typedef struct lb_operand_view {
    lb_tensor t;          /* a header of its own, not refcounted */
    lb_tensor *owned;     /* released by lb_view_done; NULL = none */
} lb_operand_view;

/* Fails, naming `what`, if the operand is not in the processor's memory or is repacked. */
lb_status lb_view_open(const char *what, const lb_tensor *t, lb_operand_view *out);
void lb_view_done(lb_operand_view *v);
/* Repeats the view to `rank` and `dims`, which it must broadcast to. */
void lb_view_broadcast(lb_operand_view *v, int rank, const int64_t *dims);

/* NumPy's common shape of two tensors. */
lb_status lb_broadcast_shape(const char *what, const lb_tensor *a, const lb_tensor *b, int *rank, int64_t *dims);
/* dims of t fit into (rank, dims)? */
bool lb_broadcasts_to(const lb_tensor *t, int rank, const int64_t *dims);

/* Elements [start, start + n) as f64; t is not quantized. */
void lb_view_read(const lb_tensor *t, int64_t start, int64_t n, double *out);
