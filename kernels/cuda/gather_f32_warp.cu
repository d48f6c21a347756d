/* gather_f32_warp.cu: out[i] = x[ids[i]], zeros for ids out of range. 8 bytes a value and 4 an id. */
#include "move.cuh"

namespace {

__global__ void __launch_bounds__(LB_MOVE_WARPS * 32) gather_kernel(const float *x, int64_t sources, const int32_t *ids,
                                                                    int64_t rows, int64_t k, float *out) {
    int64_t t = (int64_t)blockIdx.x * LB_MOVE_WARPS + threadIdx.x / 32;
    if (t >= rows) return;
    int64_t id = ids[t];
    lb_move_row(id >= 0 && id < sources ? x + id * k : nullptr, out + t * k, k, (int64_t)blockIdx.y * LB_MOVE_SPAN,
                threadIdx.x % 32);
}

static bool supports(const lb_args *a, const char **why) {
    *why = "rows of more than 67 million values";
    return lb_move_fits(lb_arg(a, LB_GATHER_X)->dims[1]);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_GATHER_X), *o = lb_arg(a, LB_GATHER_OUT);
    int64_t k = x->dims[1], rows = o->dims[0];
    if (rows == 0 || k == 0) return;
    LB_CUDA_LAUNCH(gather_kernel, lb_move_grid(rows, k), LB_MOVE_WARPS * 32, 0, lb_cuda_stream(l),
                   (const float *)lb_tensor_data(x), x->dims[0],
                   (const int32_t *)lb_tensor_data(lb_arg(a, LB_GATHER_IDS)), rows, k, (float *)lb_tensor_data(o));
}

} // namespace

LB_CUDA_KERNEL(gather_f32_warp) = {
    .name = "gather.f32.warp", .op = "gather", .device = "cuda",
    .about = "a warp for 1024 values of a row, eight 16-byte loads a lane", .source = "luabench", .isa = LB_ISA_SM80,
    .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "bytes", .priority = 1, .supports = supports, .launch = launch,
};
