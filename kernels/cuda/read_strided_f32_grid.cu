/* read_strided_f32_grid.cu: elements a stride apart, offset after offset: each block has a share of 4096 elements at a
 * time and walks it by the stride. With strides of 8 elements or more each sector of 32 bytes is fetched for 4 of them,
 * from L2 or L1 the next time round: what the figure shows. */
#include "reads.cuh"

namespace {

enum { SHARE = 4096 };

__global__ void __launch_bounds__(LB_READ_THREADS) read_strided_kernel(const float *x, int64_t n, int64_t stride,
                                                                       double *partial, unsigned *ticket, float *sink) {
    double total = 0;
    for (int64_t share = blockIdx.x; share * SHARE < n; share += gridDim.x) {
        int64_t begin = share * SHARE, length = n - begin < SHARE ? n - begin : SHARE;
        int64_t rounds = stride < length ? stride : length;
        int64_t each = (length + rounds - 1) / rounds; /* elements of an offset, at most */
        float sum = 0;
        for (int64_t i = threadIdx.x; i < rounds * each; i += LB_READ_THREADS) {
            int64_t at = i / each + i % each * rounds;
            if (at < length) sum += x[begin + at];
        }
        total += (double)sum;
    }
    lb_read_finish(total, partial, ticket, sink);
}

static size_t workspace_bytes(const lb_args *, int) { return lb_read_workspace(); }

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_READ_STRIDED_X);
    LB_CUDA_LAUNCH(read_strided_kernel, (unsigned)lb_read_blocks(), LB_READ_THREADS, 0, lb_cuda_stream(l),
                   (const float *)lb_tensor_data(x), lb_tensor_numel(x), (int64_t)a->p[LB_READ_STRIDED_P_STRIDE],
                   (double *)l->workspace, lb_cuda_tickets(l), (float *)lb_tensor_data(lb_arg(a,
                                                                                              LB_READ_STRIDED_SINK)));
}

} // namespace

LB_CUDA_KERNEL(read_strided_f32_grid) = {
    .name = "read_strided.f32.grid", .op = "read_strided", .device = "cuda",
    .about = "shares of 4096 elements a block, walked by the stride; strides above are walked as 4096",
    .source = "luabench", .isa = LB_ISA_SM80, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_NONE, .tolerance = 1e-10, .tolerance_why = "f32 sums of each thread's share of a block",
    .priority = 1, .workspace_bytes = workspace_bytes, .launch = launch,
};
