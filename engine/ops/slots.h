/* slots.h: where each operand and parameter of an operation stands in lb_args, for kernels and ops. */
#pragma once

/* gemm: out[m][n] = sum_k x[m][k] * w[n][k].  x [M,K] f32 dense; w [N,K] any format (a list is indexed by `pick`);
 * out [M,N] f32. M == 1 is a GEMV. */
enum { LB_GEMM_X, LB_GEMM_W, LB_GEMM_OUT };

/* swiglu: out = silu(gate) * up, silu(g) = g / (1 + exp(-g)).  f32 rows (see below) of one shape: gate and up may be
 * the halves of one product; out dense. */
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
 * grouped [classes] i32: 1 if class_rows >= threshold and > 0;  rare [T*k] i32: 1 if the slot's class is not
 * grouped. */
enum { LB_GROUP_IDS, LB_GROUP_CLASS, LB_GROUP_OFFSETS, LB_GROUP_ROWS, LB_GROUP_CLASS_ROWS, LB_GROUP_GROUPED,
       LB_GROUP_RARE };
enum { LB_GROUP_P_CLASSES, LB_GROUP_P_THRESHOLD };

/* moe_ffn: one grouped, fused dispatch over the experts of one class (or of all: class = -1).
 * For every slot r = rows[i] with offsets[e] <= i < offsets[e+1], token t = r / k, k = numel(rows) / T:
 *   g = gate[e] x[t] + gate_bias[e], u = up[e] x[t] + up_bias[e];
 *   h[r] = silu(g) * u, or with limit > 0 as swiglu_clamped;   y[r] = down[e] h[r] + down_bias[e].
 * x [T,H] f32; gate, up: lists of E [I,H]; down: list of E [H,I]; biases optional: [E,I], [E,I], [E,H] f32;
 * h [T*k,I] f32, y [T*k,H] f32 (LB_PARTIAL: only the rows of this class are written). */
enum { LB_FFN_X, LB_FFN_GATE, LB_FFN_UP, LB_FFN_DOWN, LB_FFN_OFFSETS, LB_FFN_ROWS, LB_FFN_CLASS /* [E] i32 */, LB_FFN_H,
       LB_FFN_Y, LB_FFN_GATE_BIAS, LB_FFN_UP_BIAS, LB_FFN_DOWN_BIAS };
enum { LB_FFN_P_CLASS, LB_FFN_P_ALPHA, LB_FFN_P_LIMIT };

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

/* ==== whole models ===========================================================================================
 * Rows. "rows [.., K]" is a tensor of any rank >= 1 and any strides whose last dimension is dense, so that parts of a
 * fused QKV product are used where they lie. T counts token rows of all sequences of a batch.
 *
 * Batches. What changes from token to token is read from i32 tensors, so that a plan is recorded once and replayed for
 * each token:
 *   lengths [B]    positions that sequence b has in the cache, the rows of this launch included: row j of the n rows of
 *                  sequence b is at position lengths[b] - n + j.
 *   starts [B+1]   optional: the rows starts[b] .. starts[b+1] are sequence b's, ascending; without it each sequence
 *                  has T / B rows. Sequences without rows are fine (ragged batches); rows of no sequence are padding.
 * `advance` moves lengths on and gives the rows' positions (for rope); models that feed their own tensors need it not.
 *
 * Caches. A cache is a tensor [B, H, S, D] with any strides but a dense D, so that its layout in memory is a view:
 *   BHSD dense; BSHD [B,S,H,D]:transpose(2,3); HBSD [H,B,S,D]:transpose(1,2); LBHSD one layer's slice of [L,B,H,S,D].
 *   Paged: [P, H, page, D] and pages [B, M] i32: position s of sequence b is row s % page of page pages[b][s / page].
 * dtype f32, f16, bf16 or f8e4m3; or u8 with packed = q8_0 | q4_0, where a row is the D / 32 blocks of that format
 * (34 or 18 bytes each) and the last dimension counts bytes. Positions past the capacity, or past the first page whose
 * number is out of range, do not exist: nothing is written or read there. See kv.h. */
enum { LB_PACKED_NONE, LB_PACKED_Q8_0, LB_PACKED_Q4_0 };

/* rms_norm: out = x / sqrt(mean(x^2) + eps) * weight.  x rows [.., K] f32; weight [K] f32 optional; out rows, x's
 * shape. */
enum { LB_RMS_NORM_X, LB_RMS_NORM_WEIGHT, LB_RMS_NORM_OUT };
enum { LB_RMS_NORM_P_EPS };

/* add_rms_norm: h += x; out = rms_norm(h) * weight (the residual and the norm after it, in one pass). */
enum { LB_ADD_RMS_NORM_X, LB_ADD_RMS_NORM_H, LB_ADD_RMS_NORM_WEIGHT, LB_ADD_RMS_NORM_OUT };

/* rms_norm_quantize: q = codes of rms_norm(x) * weight, d = scales, in blocks of 32 as LB_ACT_Q8_32 (activation.h).
 * x rows [.., K]; codes [T, K] i8; scales [T, ceil(K / 32)] f32.
 * A block without a value of 1e-36 or more is zeros: its scale would be subnormal. */
enum { LB_RMS_NORM_Q_X, LB_RMS_NORM_Q_WEIGHT, LB_RMS_NORM_Q_CODES, LB_RMS_NORM_Q_SCALES };

/* layer_norm: out = (x - mean) / sqrt(variance + eps) * weight + bias; variance over K, not K - 1. */
enum { LB_LAYER_NORM_X, LB_LAYER_NORM_WEIGHT, LB_LAYER_NORM_BIAS, LB_LAYER_NORM_OUT };

/* rope: rotates pairs of the first 2n values of each head in place, n = numel(frequencies), angle = position *
 * frequencies[i]; pairs (i, i + n), or (2i, 2i + 1) if interleaved; cos and sin are multiplied by `scale` (YaRN).
 * x rows [T, H, D] f32 (a view may name a part of D); positions [T] i32. lb.rope_frequencies makes the plain, llama3
 * and
 * YaRN frequencies. */
enum { LB_ROPE_X, LB_ROPE_POSITIONS, LB_ROPE_FREQUENCIES };
enum { LB_ROPE_P_INTERLEAVED, LB_ROPE_P_SCALE };

/* softmax: out = softmax(scale * x) over the last dimension.  rows. A row of -inf only gives NaN. */
enum { LB_SOFTMAX_X, LB_SOFTMAX_OUT };
enum { LB_SOFTMAX_P_SCALE };

/* activation: out = f(x), element by element; f32 of any shape, dense. */
enum { LB_ACTIVATION_X, LB_ACTIVATION_OUT };
enum { LB_ACTIVATION_P_KIND, LB_ACTIVATION_P_SLOPE /* of leaky_relu */ };
enum { LB_ACTIVATION_NONE, LB_ACTIVATION_RELU, LB_ACTIVATION_SIGMOID, LB_ACTIVATION_LEAKY_RELU, LB_ACTIVATION_RELU6,
       LB_ACTIVATION_GELU /* by erf */, LB_ACTIVATION_GELU_TANH, LB_ACTIVATION_SILU, LB_ACTIVATION_HARDSWISH,
       LB_ACTIVATION_COUNT };

/* swiglu_clamped (gpt-oss): g = min(gate, limit), u = clamp(up, -limit, limit); out = (u + 1) * g * sigmoid(alpha g).
 * gate, up rows of one shape; out dense. */
enum { LB_SWIGLU_CLAMPED_GATE, LB_SWIGLU_CLAMPED_UP, LB_SWIGLU_CLAMPED_OUT };
enum { LB_SWIGLU_CLAMPED_P_ALPHA, LB_SWIGLU_CLAMPED_P_LIMIT };

/* add: out = a + b; b has a's shape, or is [K] and added to every row.  rows. */
enum { LB_ADD_A, LB_ADD_B, LB_ADD_OUT };

/* residual: y += scale * x, in place.  rows of one shape. */
enum { LB_RESIDUAL_X, LB_RESIDUAL_Y };
enum { LB_RESIDUAL_P_SCALE };

/* embedding: out[t] = scale * table[ids[t]].  table [V, K] of any float type or format; an id out of range gives a row
 * of NaN, which a check finds. */
enum { LB_EMBEDDING_IDS, LB_EMBEDDING_TABLE, LB_EMBEDDING_OUT };
enum { LB_EMBEDDING_P_SCALE };

/* advance: lengths[b] += rows of sequence b (`starts`; without it `step` each); positions [T] optional: where each
 * row of
 * the launch now is (padding: 0). */
enum { LB_ADVANCE_STARTS, LB_ADVANCE_LENGTHS, LB_ADVANCE_POSITIONS };
enum { LB_ADVANCE_P_STEP };

/* kv_write: writes row t of x, converted to the cache's type, at its position in its sequence's cache.
 * x rows [T, H, D] f32; cache, lengths, starts, pages as above. f8e4m3 saturates; q8_0 and q4_0 as their quantizers,
 * but blocks with NaN or Inf have NaN as their factor. */
enum { LB_KV_WRITE_X, LB_KV_WRITE_LENGTHS, LB_KV_WRITE_STARTS, LB_KV_WRITE_PAGES, LB_KV_WRITE_CACHE };
enum { LB_KV_WRITE_P_PACKED };

/* kv_read: out [B, H, S, D] f32 = the cache's values at positions below lengths[b] (without lengths: all), 0 after
 * them. */
enum { LB_KV_READ_CACHE, LB_KV_READ_LENGTHS, LB_KV_READ_PAGES, LB_KV_READ_OUT };
enum { LB_KV_READ_P_PACKED };

/* attention: out[t,h] = softmax(scale * q[t,h] . k[s,g]) v[s,g], g = h / (H / G), over the positions s that row t sees:
 *   s < lengths[b] (without lengths: the capacity), and if causal s <= position of t, and if window > 0
 *   s > position - window (and, not causal, s < position + window).
 * sinks [H]: exp(sink) is added to the sum of exponentials (gpt-oss). A row that sees nothing, and padding, gives 0.
 * q rows [T, H, D] f32; k cache [B, G, S, D], v cache [B, G, S, V]; out [T, H, V] dense f32. H is a multiple of G:
 * GQA, with
 * G = 1 MQA. Without v, the first `value_dim` values of k's rows are the values: MLA, absorbed, whose cache holds each
 * latent once. scale 0 = 1 / sqrt(D). */
enum { LB_ATTENTION_Q, LB_ATTENTION_K, LB_ATTENTION_V, LB_ATTENTION_LENGTHS, LB_ATTENTION_STARTS, LB_ATTENTION_PAGES,
       LB_ATTENTION_SINKS, LB_ATTENTION_OUT };
enum { LB_ATTENTION_P_CAUSAL, LB_ATTENTION_P_SCALE, LB_ATTENTION_P_WINDOW, LB_ATTENTION_P_VALUE_DIM,
       LB_ATTENTION_P_PACKED };

/* head_gemm: out[t,h] = w[h] x[t,h], a product for each head (MLA's absorbed projections).
 * x rows [T, H, K] f32; w [H, N, K] of any float type or format; out rows [T, H, N] (a view may name a part of the rows
 * that attention reads). */
enum { LB_HEAD_GEMM_X, LB_HEAD_GEMM_W, LB_HEAD_GEMM_OUT };

/* linear: out = f(w x + bias), w a matrix [N, K] or a list of them, one below the other (Q, K and V of one input; gate
 * and up): one dispatch. x [T, K]; bias [N total]; out [T, N total]; f as in activation. */
enum { LB_LINEAR_X, LB_LINEAR_W, LB_LINEAR_BIAS, LB_LINEAR_OUT };
enum { LB_LINEAR_P_ACTIVATION };

/* sample: ids[b] from logits [B, V]. temperature 0: the largest, ties to the lower id. Else p = softmax(logits /
 * temperature); of the top_k largest (0 = all) the least prefix with a share >= top_p of theirs, without those below
 * min_p times the largest; drawn by walking these in order of id, with a random number that depends on seed, b and
 * state[b] alone; then state[b] += 1.
 * state [B] i32 counts draws; it is needed unless temperature is 0. */
enum { LB_SAMPLE_LOGITS, LB_SAMPLE_STATE, LB_SAMPLE_IDS };
enum { LB_SAMPLE_P_TEMPERATURE, LB_SAMPLE_P_TOP_K, LB_SAMPLE_P_TOP_P, LB_SAMPLE_P_MIN_P, LB_SAMPLE_P_SEED };

/* convert: out = x in another float type (f32, f16, bf16, f8e4m3), nearest even; f8e4m3 saturates. Dense. */
enum { LB_CONVERT_X, LB_CONVERT_OUT };
enum { LB_CONVERT_P_TO };

/* copy: out = x, bytes, dense.  gather: out[i] = x[ids[i]].  scatter: out[ids[i]] = x[i], the other rows stay (the
 * last of
 * equal ids wins).  Ids out of range: gather gives 0, scatter does nothing. x, out [.., K] f32, ids i32. */
enum { LB_COPY_X, LB_COPY_OUT };
enum { LB_GATHER_X, LB_GATHER_IDS, LB_GATHER_OUT };
enum { LB_SCATTER_X, LB_SCATTER_IDS, LB_SCATTER_OUT };

/* read_strided: sink[part] = sum of x[i] for i = 0, stride, 2 stride, ... (in order of phase: offset 0, then 1, ... so
 * that all elements are read once).  read_reuse: sums x `times` times, by blocks of `block` elements that are read
 * `times` times before the next.  x f32 dense; sink [64] as in peak_read. */
enum { LB_READ_STRIDED_X, LB_READ_STRIDED_SINK };
enum { LB_READ_STRIDED_P_STRIDE };
enum { LB_READ_REUSE_X, LB_READ_REUSE_SINK };
enum { LB_READ_REUSE_P_BLOCK, LB_READ_REUSE_P_TIMES };
