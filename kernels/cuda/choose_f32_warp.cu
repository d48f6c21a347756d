/* choose_f32_warp.cu: flags the candidate with the least predicted cost; one warp counts, one lane compares, in f64. */
#include "engine/kernel_cuda.h"

namespace {

__global__ void __launch_bounds__(32) choose_kernel(const int32_t *offsets, int64_t experts, const float *costs,
                                                    int64_t candidates, int32_t *flags) {
    int distinct = 0;
    for (int64_t e = threadIdx.x; e < experts; e += 32) distinct += offsets[e + 1] > offsets[e];
    distinct = __reduce_add_sync(0xffffffffu, distinct);
    if (threadIdx.x) return;
    double rows = offsets[experts], least = 0;
    int64_t best = 0;
    for (int64_t i = 0; i < candidates; i++) {
        const float *c = costs + 3 * i;
        /* each operation rounded, so that near ties fall as they do on the CPU */
        double cost = __dadd_rn(__dadd_rn(c[0], __dmul_rn(c[1], rows)), __dmul_rn(c[2], distinct));
        if (i == 0 || cost < least) least = cost, best = i;
        flags[i] = 0;
    }
    flags[best] = 1;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *offsets = lb_arg(a, LB_CHOOSE_OFFSETS), *costs = lb_arg(a, LB_CHOOSE_COSTS);
    LB_CUDA_LAUNCH(choose_kernel, 1, 32, 0, lb_cuda_stream(l), (const int32_t *)lb_tensor_data(offsets),
                   offsets->dims[0] - 1, (const float *)lb_tensor_data(costs), costs->dims[0],
                   (int32_t *)lb_tensor_data(lb_arg(a, LB_CHOOSE_FLAGS)));
}

} // namespace

LB_CUDA_KERNEL(choose_f32_warp) = {
    .name = "choose.f32.warp", .op = "choose", .device = "cuda", .about = "a warp counts experts, one lane compares",
    .source = "luabench", .isa = LB_ISA_SM80, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_NONE, .tolerance = 1e-30, .tolerance_why = "flags are 0 or 1 and must be equal",
        .priority = 1,
    .launch = launch,
};
