/* advance_i32_block.cu: positions of a launch's rows, then the sequences' new lengths; one block, since the lengths
 * that the positions are counted from are overwritten. */
#include "cells.cuh"

namespace {

enum { THREADS = 1024 };

__global__ void __launch_bounds__(THREADS) advance_kernel(lb_batch batch, int32_t *positions, int32_t *lengths) {
    for (int64_t r = threadIdx.x; r < batch.rows; r += THREADS) {
        int64_t b = lb_owner(batch, r), begin, end;
        if (b >= 0) lb_batch_rows(&batch, b, &begin, &end);
        positions[r] = b >= 0 ? (int32_t)(lengths[b] + (r - begin)) : 0;
    }
    __syncthreads();
    for (int64_t b = threadIdx.x; b < batch.sequences; b += THREADS) {
        int64_t begin, end;
        lb_batch_rows(&batch, b, &begin, &end);
        lengths[b] = (int32_t)((uint32_t)lengths[b] + (uint32_t)(end - begin));
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *p = lb_arg(a, LB_ADVANCE_POSITIONS), *n = lb_arg(a, LB_ADVANCE_LENGTHS);
    lb_batch batch = lb_batch_of(p->dims[0], n->dims[0], lb_arg(a, LB_ADVANCE_STARTS), NULL);
    if (batch.rows == 0 && batch.sequences == 0) return;
    LB_CUDA_LAUNCH(advance_kernel, 1, THREADS, 0, lb_cuda_stream(l), batch, (int32_t *)lb_tensor_data(p),
                   (int32_t *)lb_tensor_data(n));
}

} // namespace

LB_CUDA_KERNEL(advance_i32_block) = {
    .name = "advance.i32.block", .op = "advance", .device = "cuda", .about = "one block: positions, then lengths",
    .source = "luabench", .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30, .tolerance_why = "integers", .priority = 1, .launch = launch,
};
