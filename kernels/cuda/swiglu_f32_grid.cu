/* swiglu_f32_grid.cu: out = silu(gate) * up. 12 bytes an element. */
#include "act.cuh"
#include "rows.cuh"

namespace {

struct silu_times {
    __device__ float operator()(float g, float u) const { return lb_silu(g) * u; }
};

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *g = lb_arg(a, LB_SWIGLU_GATE), *u = lb_arg(a, LB_SWIGLU_UP), *o = lb_arg(a, LB_SWIGLU_OUT);
    bool join = lb_tensor_is_dense(g) && lb_tensor_is_dense(u) && lb_tensor_is_dense(o);
    lb_map(lb_rows_of(g, join), lb_rows_of(u, join), lb_rows_of(o, join), silu_times(), l);
}

} // namespace

LB_CUDA_KERNEL(swiglu_f32_grid) = {
    .name = "swiglu.f32.grid", .op = "swiglu", .device = "cuda",
    .about = "four elements a thread in 16-byte loads; rows of any strides", .source = "luabench", .isa = LB_ISA_SM80,
    .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32, .tolerance = 1e-11,
    .tolerance_why = "an f32 exponential to 2 ulp and three roundings, NMSE about 1e-14", .priority = 1,
    .launch = launch,
};
