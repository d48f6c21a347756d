/* swiglu_f32_grid.cu: out = silu(gate) * up. 12 bytes an element. */
#include "act.cuh"
#include "rows.cuh"

namespace {

struct silu_times {
    __device__ float operator()(float g, float u) const { return lb_silu(g) * u; }
};

static void launch(const lb_args *a, const lb_launch *l) {
    lb_map(lb_rows_of(lb_arg(a, LB_SWIGLU_GATE), true), lb_rows_of(lb_arg(a, LB_SWIGLU_UP), true),
           lb_rows_of(lb_arg(a, LB_SWIGLU_OUT), true), silu_times(), l);
}

} // namespace

LB_CUDA_KERNEL(swiglu_f32_grid) = {
    .name = "swiglu.f32.grid", .op = "swiglu", .device = "cuda",
    .about = "four elements a thread in 16-byte loads", .source = "luabench", .isa = LB_ISA_SM80,
    .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32, .tolerance = 1e-11,
    .tolerance_why = "an f32 exponential to 2 ulp and three roundings, NMSE about 1e-14", .priority = 1,
    .launch = launch,
};
