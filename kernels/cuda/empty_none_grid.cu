/* empty_none_grid.cu: one warp that does nothing, for the cost of a launch. */
#include "engine/kernel_cuda.h"

__global__ void empty_kernel() {}

static void launch(const lb_args *a, const lb_launch *l) {
    (void)a;
    LB_CUDA_LAUNCH(empty_kernel, 1, 32, 0, lb_cuda_stream(l));
}

LB_CUDA_KERNEL(empty_none_grid) = {
    .name = "empty.none.grid",
    .op = "empty",
    .device = "cuda",
    .about = "a launch of one warp",
    .source = "luabench",
    .isa = LB_ISA_SM80,
    .acc = LB_ACC_NONE,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 0,
    .tolerance_why = "nothing is written",
    .priority = 1,
    .launch = launch,
};
