/* precision_plugin.c: the function of precision.lua as a kernel of luabench. */
#include "kernel.h"
#include "ops/slots.h"

void add_scaled(const float *restrict x, float scale, float *restrict y, long n);

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_AXPY_X);
    (void)l;
    add_scaled(lb_tensor_f32(x), lb_tensor_f32(lb_arg(a, LB_AXPY_SCALE))[0], lb_tensor_data(lb_arg(a, LB_AXPY_Y)),
               (long)lb_tensor_numel(x));
}
static const lb_kernel one = { .name = "axpy.f32.precision", .op = "axpy", .device = "cpu", .format = "f32",
                               .about = "a plain loop", .source = "luabench", .act = LB_ACT_F32, .acc = LB_ACC_F32,
                               .compute = LB_COMPUTE_F32, .tolerance = 1e-12, .tolerance_why = "f32 rounding",
                               .serial = true, .launch = launch };
const lb_kernel *const luabench_kernels[] = { &one, 0 };
const int luabench_abi = LB_KERNEL_ABI;
