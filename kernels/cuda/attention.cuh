/* attention.cuh: what the attention kernels share: operands, the rows that go together, and where each row looks.
 *
 * Rows. The heads of a group read the same keys, so that a row of work is a token and one head of a group: row r of
 * sequence b and cache head g is token begin + r / group, head g * group + r % group. */
#pragma once
#include "cells.cuh"
#include "rows.cuh"

struct lb_attention {
    lb_rows q;
    lb_kv k, v;
    lb_batch batch;
    const float *sinks;
    float *out;
    int64_t heads, dim, values, window;
    int group;
    bool causal;
    float scale;
};

static inline lb_attention lb_attention_of(const lb_args *a) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V);
    const lb_tensor *pages = lb_arg(a, LB_ATTENTION_PAGES), *o = lb_arg(a, LB_ATTENTION_OUT);
    const lb_tensor *sinks = lb_arg(a, LB_ATTENTION_SINKS);
    int packed = (int)a->p[LB_ATTENTION_P_PACKED];
    lb_attention j = {};
    j.q = lb_rows_of(q);
    j.k = lb_kv_of(k, pages, packed), j.v = lb_kv_of(v ? v : k, pages, packed);
    j.batch = lb_batch_of(q->dims[0], pages ? pages->dims[0] : k->dims[0], lb_arg(a, LB_ATTENTION_STARTS),
                          lb_arg(a, LB_ATTENTION_LENGTHS));
    j.sinks = sinks ? (const float *)lb_tensor_data(sinks) : nullptr;
    j.out = (float *)lb_tensor_data(o);
    j.heads = q->dims[1], j.dim = q->dims[2], j.values = o->dims[2];
    j.window = (int64_t)a->p[LB_ATTENTION_P_WINDOW];
    j.group = (int)(j.heads / j.k.heads);
    j.causal = a->p[LB_ATTENTION_P_CAUSAL] != 0;
    j.scale = (float)a->p[LB_ATTENTION_P_SCALE];
    if (j.scale == 0) j.scale = 1.0f / sqrtf((float)j.dim);
    return j;
}

/* Positions of sequence b, and how many of them there are; all lanes of a warp together. */
__device__ static inline int64_t lb_attention_length(const lb_attention &j, int64_t b, int64_t *raw) {
    *raw = j.batch.lengths ? j.batch.lengths[b] : j.k.capacity;
    return lb_warp_kv_length(j.k, b, *raw, threadIdx.x % 32);
}
/* What the row of token t sees. */
__device__ static inline void lb_attention_row(const lb_attention &j, int64_t t, int64_t end, int64_t raw,
                                               int64_t length,
                                               int64_t *lo, int64_t *hi) {
    lb_span(j.causal, j.window, raw - (end - t), length, lo, hi);
}

/* e^x as 2^(x log2 e): scores and sinks are kept in this unit. */
#define LB_LOG2E 1.4426950408889634f

#ifdef LB_CUDA_EMULATED
__device__ static inline float lb_exp2(float x) { return exp2f(x); }
#else
__device__ static inline float lb_exp2(float x) { /* 2 ulp, and 0 of -Inf */
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif
/* A sink's part of the sum relative to `most`; an infinite one makes it NaN, as softmax does. */
__device__ static inline float lb_sink(float sink, float most) {
    return sink > 3.4028235e38f ? sink - sink : lb_exp2(sink * LB_LOG2E - most);
}

/* Rows that belong to no sequence become zeros: block `at` of `blocks` has some of them. */
static inline bool lb_attention_pads(const lb_batch &b) {
    return b.starts || b.sequences == 0 || b.rows % b.sequences != 0;
}
__device__ static inline void lb_attention_padding(const lb_attention &j, int64_t at, int64_t blocks) {
    int64_t width = j.heads * j.values;
    for (int64_t t = at; t < j.batch.rows; t += blocks) {
        if (lb_owner(j.batch, t) >= 0) continue;
        for (int64_t i = threadIdx.x; i < width; i += blockDim.x) j.out[t * width + i] = 0;
    }
}

/* Blocks of many rows, in the order in which they begin, which is that of their numbers. Causal rows see the more the
 * later they are, and what takes longest is to begin first: the last tiles of all heads, then those before them. Of 8
 * heads with 64 tiles on 132 multiprocessors that takes 0.3 % longer than an even share of the work, one head after the
 * other 23 % (counted). Heads that are under way together should find their keys and values in L2: they are no more
 * than fill half of it, but as many as make four blocks a multiprocessor. */
struct lb_attention_order { uint32_t tiles, pairs, together; int64_t blocks, padding; };

static inline lb_attention_order lb_attention_order_of(const lb_attention &j, int rows_of_block) {
    const lb_cuda_info *d = lb_cuda_info_now();
    const int64_t sequences = j.batch.sequences, pairs = sequences * j.k.heads;
    const int64_t most = j.batch.starts ? j.batch.rows : sequences ? j.batch.rows / sequences : 0;
    const int64_t tiles = (most * j.group + rows_of_block - 1) / rows_of_block;
    const int64_t bytes = j.k.capacity * (j.dim + j.values) * 2, padding = j.batch.rows < d->sm_count ? j.batch.rows :
        d->sm_count;
    int64_t together = bytes ? d->l2_bytes / 2 / bytes : pairs, least = tiles ? 4 * d->sm_count / tiles + 1 : 1;
    together = together < least ? least : together;
    together = together > pairs ? pairs : together;
    return { (uint32_t)tiles, (uint32_t)pairs, (uint32_t)together, tiles * pairs,
             lb_attention_pads(j.batch) ? padding : 0 };
}
/* Which head of which sequence, and how many tiles before its last, block `block` has. */
__device__ static inline void lb_attention_place(const lb_attention_order &o, uint32_t heads, uint32_t block,
                                                 int64_t *b, int64_t *g, int64_t *before_last) {
    const uint32_t each = o.tiles * o.together, from = block / each * o.together, left = block % each;
    const uint32_t width = o.pairs - from < o.together ? o.pairs - from : o.together, pair = from + left % width;
    *b = pair / heads, *g = pair % heads, *before_last = left / width;
}
