/* axpy_f32_grid.cu: y += scale[at] * x, the scale read by the device. 12 bytes an element. */
#include "rows.cuh"

namespace {

struct scaled_by {
    const float *scale;
    __device__ float operator()(float x, float y) const { return y + *scale * x; }
};

static void launch(const lb_args *a, const lb_launch *l) {
    lb_rows x = lb_rows_of(lb_arg(a, LB_AXPY_X), true), y = lb_rows_of(lb_arg(a, LB_AXPY_Y), true);
    const float *scale = (const float *)lb_tensor_data(lb_arg(a, LB_AXPY_SCALE));
    lb_map(x, y, y, scaled_by{ scale + (int64_t)a->p[LB_AXPY_P_AT] }, l);
}

} // namespace

LB_CUDA_KERNEL(axpy_f32_grid) = {
    .name = "axpy.f32.grid", .op = "axpy", .device = "cuda",
    .about = "four elements a thread in 16-byte loads", .source = "luabench", .isa = LB_ISA_SM80, .act = LB_ACT_F32,
    .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "a product and a sum in f32, about 1e-15, and room for sums that cancel", .priority = 1,
    .launch = launch,
};
