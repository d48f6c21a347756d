/* topk_f32_warp.cu: the router: a warp a token, its scores in shared memory; k rounds of the best that is left. 4 E
 * bytes a token; with 64 to 256 experts a round is 2 to 8 comparisons a lane and five shuffles, some 60 ns. */
#include "engine/kernel_cuda.h"
#include "engine/ops/topk.h"

namespace {

enum { WARPS = 4 };

struct router {
    const float *logits, *bias;
    int32_t *ids;
    float *weights;
    int64_t tokens;
    int experts, k;
    bool sigmoid, renormalize;
    float scale;
    int groups, top_groups;
    bool two; /* a group counts as its best two */
};

__device__ static float sigmoid_(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ static float warp_sum(float v) {
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
__device__ static float warp_max(float v) {
    for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}

/* Experts of groups that are not among the best never win; a lane a group. `group`: a float a group. */
__device__ static void leave_groups(const router &r, float *score, float *group, int lane) {
    int each = r.experts / r.groups;
    for (int g = lane; g < r.groups; g += 32) {
        float first = -INFINITY, second = -INFINITY;
        for (int e = g * each; e < (g + 1) * each; e++) {
            second = fmaxf(second, fminf(first, score[e]));
            first = fmaxf(first, score[e]);
        }
        group[g] = r.two ? first + second : first;
    }
    __syncwarp();
    for (int g = lane; g < r.groups; g += 32) {
        int before = 0;
        for (int o = 0; o < r.groups; o++) before += group[o] > group[g] || (group[o] == group[g] && o < g);
        for (int e = g * each; e < (g + 1) * each && before >= r.top_groups; e++) score[e] = -INFINITY;
    }
    __syncwarp();
}

/* The k best: falling scores, ties to the lower id. Taken scores become NaN, which nothing else is. */
__device__ static void select(const router &r, float *score, int32_t *ids, int lane) {
    for (int s = 0; s < r.k; s++) {
        float most = -INFINITY;
        int best = 0x7fffffff;
        for (int e = lane; e < r.experts; e += 32)
            if (score[e] > most || (score[e] == most && e < best)) most = score[e], best = e;
        for (int o = 16; o; o >>= 1) {
            float m = __shfl_xor_sync(0xffffffffu, most, o);
            int b = __shfl_xor_sync(0xffffffffu, best, o);
            if (m > most || (m == most && b < best)) most = m, best = b;
        }
        if (lane == 0) ids[s] = best, score[best] = __int_as_float(0x7fc00000);
        __syncwarp();
    }
}

/* The probabilities of the selected; as on the CPU, a renormalised softmax is that of the selected alone. */
__device__ static void weigh(const router &r, const float *logits, const int32_t *ids, float *weights, int lane) {
    float most = -INFINITY, sum = 0;
    if (!r.sigmoid && !r.renormalize) {
        for (int e = lane; e < r.experts; e += 32) most = fmaxf(most, logits[e]);
        most = warp_max(most);
        for (int e = lane; e < r.experts; e += 32) sum += expf(logits[e] - most);
        sum = warp_sum(sum);
        for (int s = lane; s < r.k; s += 32) weights[s] = expf(logits[ids[s]] - most) / sum * r.scale;
        return;
    }
    for (int s = lane; s < r.k && r.sigmoid; s += 32) sum += sigmoid_(logits[ids[s]]);
    sum = warp_sum(sum);
    /* sigmoids too small for f32 approach e^x */
    bool softmax = r.renormalize && sum < 1e-30f;
    for (int s = lane; s < r.k && softmax; s += 32) most = fmaxf(most, logits[ids[s]]);
    most = warp_max(most);
    float e_sum = 0;
    for (int s = lane; s < r.k && softmax; s += 32) e_sum += expf(logits[ids[s]] - most);
    e_sum = warp_sum(e_sum);
    float factor = r.renormalize ? r.scale / (softmax ? e_sum : sum) : r.scale;
    for (int s = lane; s < r.k; s += 32)
        weights[s] = (softmax ? expf(logits[ids[s]] - most) : sigmoid_(logits[ids[s]])) * factor;
}

__global__ void __launch_bounds__(WARPS * 32) topk_kernel(router r) {
    LB_CUDA_SHARED(shared);
    int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (t >= r.tokens) return;
    float *score = (float *)shared + (int64_t)(threadIdx.x / 32) * (r.experts + r.groups);
    const float *logits = r.logits + t * r.experts;
    for (int e = lane; e < r.experts; e += 32) {
        float v = (r.sigmoid ? sigmoid_(logits[e]) : logits[e]) + (r.bias ? r.bias[e] : 0.0f);
        score[e] = v == v ? v : -INFINITY;
    }
    __syncwarp();
    if (r.groups > 1 && r.top_groups < r.groups) leave_groups(r, score, score + r.experts, lane);
    select(r, score, r.ids + t * r.k, lane);
    weigh(r, logits, r.ids + t * r.k, r.weights + t * r.k, lane);
}

static bool supports(const lb_args *a, const char **why) {
    const double all = (double)lb_arg(a, LB_TOPK_LOGITS)->dims[1] + a->p[LB_TOPK_P_GROUPS];
    *why = "more than 12288 experts and groups, or than this device's shared memory holds";
    return all <= 12288 && lb_cuda_smem_fits((size_t)WARPS * (size_t)all * sizeof(float));
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *logits = lb_arg(a, LB_TOPK_LOGITS), *bias = lb_arg(a, LB_TOPK_BIAS);
    router r = { (const float *)lb_tensor_data(logits), bias ? (const float *)lb_tensor_data(bias) : nullptr,
                 (int32_t *)lb_tensor_data(lb_arg(a, LB_TOPK_IDS)), (float *)lb_tensor_data(lb_arg(a, LB_TOPK_WEIGHTS)),
                 logits->dims[0], (int)logits->dims[1], (int)a->p[LB_TOPK_P_K], a->p[LB_TOPK_P_SIGMOID] != 0,
                 a->p[LB_TOPK_P_RENORMALIZE] != 0, (float)a->p[LB_TOPK_P_SCALE], (int)a->p[LB_TOPK_P_GROUPS],
                 (int)a->p[LB_TOPK_P_TOP_GROUPS], a->p[LB_TOPK_P_GROUP_SUM] > 1 };
    size_t bytes = (size_t)WARPS * (size_t)(r.experts + r.groups) * sizeof(float);
    if (r.tokens == 0) return;
    lb_cuda_smem(topk_kernel, bytes);
    LB_CUDA_LAUNCH(topk_kernel, (unsigned)((r.tokens + WARPS - 1) / WARPS), WARPS * 32, bytes, lb_cuda_stream(l), r);
}

} // namespace

LB_CUDA_KERNEL(topk_f32_warp) = {
    .name = "topk.f32.warp", .op = "topk", .device = "cuda",
    .about = "a warp a token, scores in shared memory, k rounds of the best that is left", .source = "luabench",
    .isa = LB_ISA_SM80, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-11,
    .tolerance_why = "f32 exponentials within 2e-7 and their sum, about 1e-13; ids are equal wherever f32 can tell"
                     " scores apart",
    .priority = 1, .supports = supports, .launch = launch,
};
