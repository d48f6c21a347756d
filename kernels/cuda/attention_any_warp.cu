/* attention_any_warp.cu: attention of every type, size and layout in f32: a block a row of a head, its four warps each
 * a quarter of the positions, a lane a position for the scores and a run of columns for the values. Caches are read
 * once for each head, without sharing among the heads of a group: correct everywhere, fast nowhere. What the matrix
 * units can do is in the other kernels. */
#include "attention.cuh"

namespace {

enum { WARPS = 4, COLUMNS_MOST = 32, VALUES_MOST = 32 * COLUMNS_MOST };

struct partial { float most, sum; };

/* One warp: 32 positions at a time, a running softmax. */
template <int COLUMNS>
__device__ static partial walk(const lb_attention &j, const float *q, int64_t b, int64_t g, int64_t lo, int64_t hi,
                               float *weights, float acc[COLUMNS]) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    partial p = { -INFINITY, 0 };
    for (int64_t at = lo + warp * 32; at < hi; at += WARPS * 32) {
        float score = -INFINITY;
        if (at + lane < hi) {
            const char *row = lb_kv_row(&j.k, b, g, at + lane);
            float s = 0;
            for (int64_t d = 0; d < j.dim; d++) s = fmaf(q[d], lb_cell(j.k.dtype, j.k.packed, row, d), s);
            score = s * j.scale;
        }
        float most = fmaxf(p.most, lb_warp_max(score));
        float e = score == -INFINITY ? 0.0f : expf(score - most),
            keep = p.most == -INFINITY ? 0.0f : expf(p.most - most);
        p.sum = p.sum * keep + e;
        p.most = most;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) acc[c] *= keep;
        __syncwarp(); /* the weights before these have been used */
        weights[lane] = e;
        __syncwarp();
        for (int i = 0; i < 32 && at + i < hi; i++) {
            float weight = weights[i];
            const char *row = lb_kv_row(&j.v, b, g, at + i);
#pragma unroll
            for (int c = 0; c < COLUMNS; c++)
                if (c * 32 + lane < j.values)
                    acc[c] = fmaf(weight, lb_cell(j.v.dtype, j.v.packed, row, c * 32 + lane), acc[c]);
        }
    }
    for (int o = 16; o; o >>= 1) p.sum += __shfl_xor_sync(LB_FULL, p.sum, o);
    return p;
}

template <int COLUMNS> __global__ void __launch_bounds__(WARPS * 32) attention_any_kernel(lb_attention j) {
    LB_CUDA_SHARED(shared);
    __shared__ partial parts[WARPS];
    __shared__ float weights[WARPS][32];
    float *values = (float *)shared; /* [WARPS][values] */
    int64_t t = blockIdx.x, h = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int64_t b = lb_owner(j.batch, t), lo = 0, hi = 0, begin, end, raw;
    if (b >= 0) {
        lb_batch_rows(&j.batch, b, &begin, &end);
        int64_t length = lb_attention_length(j, b, &raw);
        lb_attention_row(j, t, end, raw, length, &lo, &hi);
    }
    float acc[COLUMNS] = {};
    partial p = walk<COLUMNS>(j, lb_row(j.q, t * j.heads + h), b, h / j.group, lo, hi, weights[warp], acc);
    if (lane == 0) parts[warp] = p;
#pragma unroll
    for (int c = 0; c < COLUMNS; c++)
        if (c * 32 + lane < j.values) values[warp * j.values + c * 32 + lane] = acc[c];
    __syncthreads();
    float most = j.sinks && hi > lo ? j.sinks[h] : -INFINITY;
    for (int w = 0; w < WARPS; w++) most = fmaxf(most, parts[w].most);
    float sum = j.sinks && hi > lo ? expf(j.sinks[h] - most) : 0.0f, factor[WARPS];
    for (int w = 0; w < WARPS; w++) {
        factor[w] = parts[w].most == -INFINITY ? 0.0f : expf(parts[w].most - most);
        sum += parts[w].sum * factor[w];
    }
    for (int64_t i = threadIdx.x; i < j.values; i += WARPS * 32) {
        float v = 0;
        for (int w = 0; w < WARPS; w++) v += values[w * j.values + i] * factor[w];
        j.out[(t * j.heads + h) * j.values + i] = hi > lo ? v / sum : 0.0f;
    }
}

static bool supports(const lb_args *a, const char **why) {
    *why = "more than 1024 values or 65535 heads";
    return lb_arg(a, LB_ATTENTION_OUT)->dims[2] <= VALUES_MOST && lb_arg(a, LB_ATTENTION_Q)->dims[1] < 65536;
}

template <int COLUMNS> static void run(const lb_attention &j, const lb_launch *l) {
    LB_CUDA_LAUNCH_IF_ANY(attention_any_kernel<COLUMNS>, dim3((unsigned)j.batch.rows, (unsigned)j.heads), WARPS * 32,
                          (size_t)j.values * WARPS * 4, lb_cuda_stream(l), j);
}

static void launch(const lb_args *a, const lb_launch *l) {
    lb_attention j = lb_attention_of(a);
    if (j.batch.rows == 0 || j.heads == 0 || j.values == 0) return;
    if (j.values <= 128) run<4>(j, l);
    else if (j.values <= 512) run<16>(j, l);
    else run<COLUMNS_MOST>(j, l);
}

} // namespace

LB_CUDA_KERNEL(attention_any_warp) = {
    .name = "attention.any.warp", .op = "attention", .device = "cuda",
    .about = "a block a row of a head, four warps that each take a quarter of the positions, f32 throughout; "
             "for what the"
             " kernels of the matrix units do not take",
    .source = "luabench", .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-10,
    .tolerance_why = "a score's f32 rounding, 6e-8 of its size, is an error of its exponential as large", .priority = 0,
    .supports = supports, .launch = launch,
};
