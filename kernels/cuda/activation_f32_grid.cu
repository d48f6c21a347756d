/* activation_f32_grid.cu: out = f(x), four elements a thread. 8 bytes an element: on an H200 no more than 0.6 elements
 * a picosecond, 4.5 in each SM a nanosecond, for which erfc's 40 instructions leave room. */
#include "act.cuh"
#include "rows.cuh"

namespace {

static void launch(const lb_args *a, const lb_launch *l) {
    lb_rows x = lb_rows_of(lb_arg(a, LB_ACTIVATION_X), true), out = lb_rows_of(lb_arg(a, LB_ACTIVATION_OUT), true);
    lb_activate f = { (int)a->p[LB_ACTIVATION_P_KIND], (float)a->p[LB_ACTIVATION_P_SLOPE] };
    lb_map(x, x, out, f, l);
}

} // namespace

LB_CUDA_KERNEL(activation_f32_grid) = {
    .name = "activation.f32.grid", .op = "activation", .device = "cuda",
    .about = "four elements a thread in one 16-byte load and store", .source = "luabench", .isa = LB_ISA_SM80,
    .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "f32 exponentials to 2 ulp, NMSE about 1e-14; erfc's argument is rounded once",
    .priority = 1, .launch = launch,
};
