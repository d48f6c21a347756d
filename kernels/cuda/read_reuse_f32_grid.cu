/* read_reuse_f32_grid.cu: blocks of x read `times` times each. The whole grid shares a block, each of its own blocks a
 * slice, past L1 (ld.cg): a block of up to L2's size shows the bandwidth of L2, a larger one that of memory. */
#include "reads.cuh"

namespace {

enum { AHEAD = 4 };

__device__ static float slice(const float *x, int64_t begin, int64_t end) {
    float4 s[AHEAD] = {};
    int64_t i = begin + threadIdx.x * 4;
    for (; i + (AHEAD - 1) * LB_READ_THREADS * 4 + 4 <= end; i += AHEAD * LB_READ_THREADS * 4) {
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            float4 v = __ldcg((const float4 *)(x + i + j * LB_READ_THREADS * 4));
            s[j].x += v.x, s[j].y += v.y, s[j].z += v.z, s[j].w += v.w;
        }
    }
    float sum = 0;
    for (; i < end; i += LB_READ_THREADS * 4)
        for (int64_t k = i; k < i + 4 && k < end; k++) sum += __ldcg(x + k);
    for (int j = 0; j < AHEAD; j++) sum += (s[j].x + s[j].y) + (s[j].z + s[j].w);
    return sum;
}

__global__ void __launch_bounds__(LB_READ_THREADS) read_reuse_kernel(const float *x, int64_t n, int64_t block,
                                                                     int times,
                                                                     double *partial, unsigned *ticket, float *sink) {
    double total = 0;
    for (int64_t at = 0; at < n; at += block) {
        int64_t end = at + block < n ? at + block : n;
        /* slices of whole float4s, counted from the start of x, so that all loads are aligned */
        int64_t first = at / 4, count = (end + 3) / 4 - first;
        int64_t b = (first + count * blockIdx.x / gridDim.x) * 4,
            e = (first + count * (blockIdx.x + 1) / gridDim.x) * 4;
        bool whole = b >= at && e <= end;
        for (int i = 0; i < times; i++) {
            if (whole) {
                total += (double)slice(x, b, e);
            } else {
                for (int64_t k = (b < at ? at : b) + threadIdx.x; k < (e < end ? e : end); k += LB_READ_THREADS)
                    total += (double)__ldcg(x + k);
            }
            __threadfence_block(); /* read it again, do not remember the sum */
        }
    }
    lb_read_finish(total, partial, ticket, sink);
}

static bool supports(const lb_args *a, const char **why) {
    *why = "x does not begin at an address of 16 bytes";
    return (uintptr_t)lb_tensor_data(lb_arg(a, LB_READ_REUSE_X)) % 16 == 0;
}
static size_t workspace_bytes(const lb_args *, int) { return lb_read_workspace(); }

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_READ_REUSE_X);
    LB_CUDA_LAUNCH(read_reuse_kernel, (unsigned)lb_read_blocks(), LB_READ_THREADS, 0, lb_cuda_stream(l),
                   (const float *)lb_tensor_data(x), lb_tensor_numel(x), (int64_t)a->p[LB_READ_REUSE_P_BLOCK],
                   (int)a->p[LB_READ_REUSE_P_TIMES], (double *)l->workspace, lb_cuda_tickets(l),
                   (float *)lb_tensor_data(lb_arg(a, LB_READ_REUSE_SINK)));
}

} // namespace

LB_CUDA_KERNEL(read_reuse_f32_grid) = {
    .name = "read_reuse.f32.grid", .op = "read_reuse", .device = "cuda",
    .about = "each block of x shared by the whole grid, past L1, four 16-byte loads a thread under way",
    .source = "luabench", .isa = LB_ISA_SM80, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_NONE, .tolerance = 1e-10, .tolerance_why = "f32 sums of each thread's share of a block",
    .priority = 1, .supports = supports, .workspace_bytes = workspace_bytes, .launch = launch,
};
