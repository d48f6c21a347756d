/* scatter_f32_warp.cu: out[ids[i]] = x[i]; the last of equal ids wins, so that each row first looks for its id further
 * on: 4 bytes for each pair of rows, from L2, beside 8 bytes a value. */
#include "move.cuh"

namespace {

__global__ void __launch_bounds__(LB_MOVE_WARPS * 32) scatter_kernel(const float *x, const int32_t *ids, int64_t rows,
                                                                     int64_t k, float *out, int64_t targets) {
    int64_t t = (int64_t)blockIdx.x * LB_MOVE_WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (t >= rows) return;
    int32_t id = ids[t];
    if (id < 0 || id >= targets) return;
    for (int64_t i = t + 1; i < rows; i += 32)
        if (__any_sync(0xffffffffu, i + lane < rows && ids[i + lane] == id)) return;
    lb_move_row(x + t * k, out + id * k, k, (int64_t)blockIdx.y * LB_MOVE_SPAN, lane);
}

static bool supports(const lb_args *a, const char **why) {
    *why = "rows of more than 67 million values";
    return lb_move_fits(lb_arg(a, LB_SCATTER_X)->dims[1]);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_SCATTER_X), *o = lb_arg(a, LB_SCATTER_OUT);
    int64_t k = x->dims[1], rows = x->dims[0];
    if (rows == 0 || k == 0) return;
    LB_CUDA_LAUNCH(scatter_kernel, lb_move_grid(rows, k), LB_MOVE_WARPS * 32, 0, lb_cuda_stream(l),
                   (const float *)lb_tensor_data(x), (const int32_t *)lb_tensor_data(lb_arg(a, LB_SCATTER_IDS)), rows,
                       k,
                   (float *)lb_tensor_data(o), o->dims[0]);
}

} // namespace

LB_CUDA_KERNEL(scatter_f32_warp) = {
    .name = "scatter.f32.warp", .op = "scatter", .device = "cuda",
    .about = "a warp for 1024 values of a row, if no later row has its id", .source = "luabench", .isa = LB_ISA_SM80,
    .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "bytes", .priority = 1, .supports = supports, .launch = launch,
};
