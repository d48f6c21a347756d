/* slots.h: where each operand and parameter of an operation stands in lb_args, for kernels and ops. */
#pragma once

/* gemm: out[m][n] = sum_k x[m][k] * w[n][k].  x [M,K] f32 dense; w [N,K] any format (a list is indexed by `pick`);
 * out [M,N] f32. M == 1 is a GEMV. */
enum { LB_GEMM_X, LB_GEMM_W, LB_GEMM_OUT };

/* swiglu: out = silu(gate) * up, silu(g) = g / (1 + exp(-g)).  f32, equal shapes, dense. */
enum { LB_SWIGLU_GATE, LB_SWIGLU_UP, LB_SWIGLU_OUT };

/* axpy: y[i] += scale[at] * x[i].  x, y f32 with equal numel; scale f32 [S]. */
enum { LB_AXPY_X, LB_AXPY_SCALE, LB_AXPY_Y };
enum { LB_AXPY_P_AT };

/* topk (the router): ids [T,k] i32 and weights [T,k] f32 from logits [T,E] f32.
 * sigmoid = 0: p = softmax(logits); selects the k largest logits + bias.
 * sigmoid = 1: p = sigmoid(logits); selects the k largest p + bias (bias selects only, it never weighs).
 * Slots are in falling order of the selection score, ties to the lower id. weights = p of the selected,
 * divided by their sum if renormalize, times scale. */
enum { LB_TOPK_LOGITS, LB_TOPK_BIAS /* optional [E] f32 */, LB_TOPK_IDS, LB_TOPK_WEIGHTS };
enum { LB_TOPK_P_K, LB_TOPK_P_SIGMOID, LB_TOPK_P_RENORMALIZE, LB_TOPK_P_SCALE };

/* moe_group: sorts the T*k slots (slot = t*k + s) by expert, stably.
 * ids [T,k] i32; cls [E] i32 class (bits tuple) of each expert, 0 <= cls < classes.
 * offsets [E+1] i32: slots of expert e are rows[offsets[e] .. offsets[e+1]);  rows [T*k] i32.
 * class_rows [classes] i32: rows of each class in this batch.
 * grouped [classes] i32: 1 if class_rows >= threshold and > 0;  rare [T*k] i32: 1 if the slot's class is not grouped. */
enum { LB_GROUP_IDS, LB_GROUP_CLASS, LB_GROUP_OFFSETS, LB_GROUP_ROWS, LB_GROUP_CLASS_ROWS, LB_GROUP_GROUPED,
       LB_GROUP_RARE };
enum { LB_GROUP_P_CLASSES, LB_GROUP_P_THRESHOLD };

/* moe_ffn: one grouped, fused dispatch over the experts of one class (or of all: class = -1).
 * For every slot r = rows[i] with offsets[e] <= i < offsets[e+1], token t = r / k, k = numel(rows) / T:
 *   h[r] = silu(gate[e] x[t]) * (up[e] x[t]);   y[r] = down[e] h[r].
 * x [T,H] f32; gate, up: lists of E [I,H]; down: list of E [H,I]; h [T*k,I] f32, y [T*k,H] f32 (LB_PARTIAL: only the
 * rows of this class are written). */
enum { LB_FFN_X, LB_FFN_GATE, LB_FFN_UP, LB_FFN_DOWN, LB_FFN_OFFSETS, LB_FFN_ROWS, LB_FFN_CLASS /* [E] i32 */, LB_FFN_H,
       LB_FFN_Y };
enum { LB_FFN_P_CLASS };

/* combine: out[t] = (shared ? shared[t] : 0) + sum over s in slot order of weights[t][s] * y[t*k + s].
 * y [T*k,H] f32; weights [T,k] f32; shared [T,H] f32 optional; out [T,H] f32. */
enum { LB_COMBINE_Y, LB_COMBINE_WEIGHTS, LB_COMBINE_SHARED, LB_COMBINE_OUT };

/* choose (auto): flags [S] i32 one-hot of the candidate with the least predicted cost, ties to the lower index.
 * offsets [E+1] i32 gives rows = offsets[E] and distinct = experts with any row; costs [S,3] f32:
 * cost = c[0] + c[1] * rows + c[2] * distinct. */
enum { LB_CHOOSE_OFFSETS, LB_CHOOSE_COSTS, LB_CHOOSE_FLAGS };

/* empty: does nothing, for the cost of a launch. No operands. */

/* peak_read: reads all bytes of x (f32, dense) `rounds` times and writes a checksum: sink [64] f32; sink[part] = sum of
 * all x in the part's share (lb_split by 1024 elements) in the last round, f32 with at least 8 accumulators. Only its
 * speed matters: x holds zeros. */
enum { LB_PEAK_READ_X, LB_PEAK_READ_SINK };
enum { LB_PEAK_READ_P_ROUNDS };

/* peak_copy: out = x, f32, dense, equal shapes, through the caches. peak_write: out[i] = 1, f32, dense, past them where
 * the machine has such stores. Only their speed matters. */
enum { LB_PEAK_COPY_X, LB_PEAK_COPY_OUT };
enum { LB_PEAK_WRITE_OUT };

/* peak: `rounds` rounds of independent multiply-accumulate chains of the kernel's compute type on every part;
 * sink [64] f32 gets one value per part. Ops of one round: the kernel's `about` and lb_peak_ops() say. */
enum { LB_PEAK_SINK };
enum { LB_PEAK_P_ROUNDS };
/* Every peak kernel does exactly this many operations (multiply and add are two) per round and part. */
#define LB_PEAK_OPS_PER_ROUND 1048576.0

/* fill: out[i] = value, f32. */
enum { LB_FILL_OUT };
enum { LB_FILL_P_VALUE };
