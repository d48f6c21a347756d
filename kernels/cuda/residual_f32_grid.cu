/* residual_f32_grid.cu: y += scale * x, in place. 12 bytes an element. */
#include "rows.cuh"

namespace {

struct scaled {
    float scale;
    __device__ float operator()(float x, float y) const { return y + scale * x; }
};

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_RESIDUAL_X), *y = lb_arg(a, LB_RESIDUAL_Y);
    bool join = lb_tensor_is_dense(x) && lb_tensor_is_dense(y);
    lb_rows to = lb_rows_of(y, join);
    lb_map(lb_rows_of(x, join), to, to, scaled{ (float)a->p[LB_RESIDUAL_P_SCALE] }, l);
}

} // namespace

LB_CUDA_KERNEL(residual_f32_grid) = {
    .name = "residual.f32.grid", .op = "residual", .device = "cuda",
    .about = "four elements a thread in 16-byte loads; rows of any strides", .source = "luabench", .isa = LB_ISA_SM80,
    .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "the scale as f32, and a product and a sum rounded once or twice", .priority = 1, .launch = launch,
};
