/* swiglu_clamped_f32_grid.cu: gpt-oss's gate, clamped on both sides. 12 bytes an element. */
#include "act.cuh"
#include "rows.cuh"

namespace {

struct clamped {
    float alpha, limit;
    /* comparisons, not fminf: NaN must stay */
    __device__ float operator()(float gate, float up) const {
        float g = gate > limit ? limit : gate, u = up > limit ? limit : up < -limit ? -limit : up;
        return (u + 1.0f) * g * lb_sigmoid(alpha * g);
    }
};

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *g = lb_arg(a, LB_SWIGLU_CLAMPED_GATE), *u = lb_arg(a, LB_SWIGLU_CLAMPED_UP);
    const lb_tensor *o = lb_arg(a, LB_SWIGLU_CLAMPED_OUT);
    bool join = lb_tensor_is_dense(g) && lb_tensor_is_dense(u) && lb_tensor_is_dense(o);
    clamped f = { (float)a->p[LB_SWIGLU_CLAMPED_P_ALPHA], (float)a->p[LB_SWIGLU_CLAMPED_P_LIMIT] };
    lb_map(lb_rows_of(g, join), lb_rows_of(u, join), lb_rows_of(o, join), f, l);
}

} // namespace

LB_CUDA_KERNEL(swiglu_clamped_f32_grid) = {
    .name = "swiglu_clamped.f32.grid", .op = "swiglu_clamped", .device = "cuda",
    .about = "four elements a thread in 16-byte loads; rows of any strides", .source = "luabench", .isa = LB_ISA_SM80,
    .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32, .tolerance = 1e-11,
    .tolerance_why = "an f32 exponential to 2 ulp and four roundings, NMSE about 1e-14", .priority = 1,
    .launch = launch,
};
