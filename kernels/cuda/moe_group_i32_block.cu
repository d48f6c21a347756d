/* moe_group_i32_block.cu: the slots sorted by expert, stably, by one block: counts, a scan, then 512 slots at a time
 * find their rank among equals within their warp (match) and among warps (a column of counts an expert). 8 bytes a
 * slot; 256 tokens of 8 experts are four turns. */
#include "engine/kernel_cuda.h"

namespace {

enum { THREADS = 512, WARPS = THREADS / 32 };

struct grouping {
    const int32_t *ids, *cls;
    int32_t *offsets, *rows, *class_rows, *grouped, *rare;
    int64_t slots;
    int experts, classes;
    double threshold;
};

__device__ static bool within(int32_t i, int n) { return (uint32_t)i < (uint32_t)n; }

/* offsets[e] from the counts in next[e], which become each expert's first row. */
__device__ static void scan(const grouping &g, int32_t *next) {
    if (threadIdx.x < 32) {
        int32_t before = 0;
        for (int e = 0; e < g.experts; e += 32) {
            int lane = threadIdx.x, at = e + lane;
            int32_t own = at < g.experts ? next[at] : 0, sum = own;
            for (int o = 1; o < 32; o *= 2) {
                int32_t left = __shfl_up_sync(0xffffffffu, sum, (unsigned)o);
                if (lane >= o) sum += left;
            }
            if (at < g.experts) next[at] = g.offsets[at] = before + sum - own;
            before += __shfl_sync(0xffffffffu, sum, 31);
        }
        if (threadIdx.x == 0) g.offsets[g.experts] = before;
    }
    __syncthreads();
}

/* One turn: count[warp][e] says how many slots of expert e the warp has, then how many come before its own. */
__device__ static void place(const grouping &g, int64_t first, int32_t *next, int32_t *count) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int64_t i = first + threadIdx.x;
    int32_t e = i < g.slots ? g.ids[i] : -1;
    if (!within(e, g.experts)) e = -1;
    for (int j = threadIdx.x; j < g.experts * WARPS; j += THREADS) count[j] = 0;
    __syncthreads();
    unsigned equals = __match_any_sync(0xffffffffu, e);
    int rank = __popc(equals & ((1u << lane) - 1));
    if (e >= 0 && rank == 0) count[warp * g.experts + e] = __popc(equals);
    __syncthreads();
    for (int j = threadIdx.x; j < g.experts; j += THREADS) {
        int32_t at = next[j];
        for (int w = 0; w < WARPS; w++) {
            int32_t n = count[w * g.experts + j];
            count[w * g.experts + j] = at;
            at += n;
        }
        next[j] = at;
    }
    __syncthreads();
    if (e >= 0) g.rows[count[warp * g.experts + e] + rank] = (int32_t)i;
    __syncthreads();
}

__global__ void __launch_bounds__(THREADS) moe_group_kernel(grouping g) {
    LB_CUDA_SHARED(shared);
    int32_t *next = (int32_t *)shared, *count = next + g.experts;
    for (int e = threadIdx.x; e < g.experts; e += THREADS) next[e] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < g.slots; i += THREADS)
        if (within(g.ids[i], g.experts)) atomicAdd(&next[g.ids[i]], 1);
    __syncthreads();
    scan(g, next);
    for (int64_t i = g.offsets[g.experts] + (int64_t)threadIdx.x; i < g.slots; i += THREADS) g.rows[i] = -1;
    for (int64_t i = 0; i < g.slots; i += THREADS) place(g, i, next, count);
    for (int c = threadIdx.x; c < g.classes; c += THREADS) {
        int32_t n = 0;
        for (int e = 0; e < g.experts; e++)
            if (g.cls[e] == c) n += g.offsets[e + 1] - g.offsets[e];
        g.class_rows[c] = n;
        g.grouped[c] = n > 0 && n >= g.threshold;
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < g.slots; i += THREADS) {
        int32_t c = within(g.ids[i], g.experts) ? g.cls[g.ids[i]] : -1;
        g.rare[i] = !(within(c, g.classes) && g.grouped[c]);
    }
}

static size_t shared_bytes(int64_t experts) { return (size_t)experts * (WARPS + 1) * 4; }

static bool supports(const lb_args *a, const char **why) {
    int64_t experts = lb_arg(a, LB_GROUP_CLASS)->dims[0];
    *why = "more than 3400 experts, or than this device's shared memory holds";
    return experts <= 3400 && lb_cuda_smem_fits(shared_bytes(experts));
}

static void launch(const lb_args *a, const lb_launch *l) {
    int32_t *p[7];
    for (int i = 0; i < 7; i++) p[i] = (int32_t *)lb_tensor_data(lb_arg(a, LB_GROUP_IDS + i));
    grouping g = { p[LB_GROUP_IDS], p[LB_GROUP_CLASS], p[LB_GROUP_OFFSETS], p[LB_GROUP_ROWS], p[LB_GROUP_CLASS_ROWS],
                   p[LB_GROUP_GROUPED], p[LB_GROUP_RARE], lb_tensor_numel(lb_arg(a, LB_GROUP_IDS)),
                   (int)lb_arg(a, LB_GROUP_CLASS)->dims[0], (int)a->p[LB_GROUP_P_CLASSES], a->p[LB_GROUP_P_THRESHOLD] };
    size_t bytes = shared_bytes(g.experts);
    lb_cuda_smem(moe_group_kernel, bytes);
    LB_CUDA_LAUNCH(moe_group_kernel, 1, THREADS, bytes, lb_cuda_stream(l), g);
}

} // namespace

LB_CUDA_KERNEL(moe_group_i32_block) = {
    .name = "moe_group.i32.block", .op = "moe_group", .device = "cuda",
    .about = "a stable counting sort by one block, 512 slots at a time", .source = "luabench", .isa = LB_ISA_SM80,
    .format = "i32", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "integers must be equal", .priority = 1, .supports = supports, .launch = launch,
};
