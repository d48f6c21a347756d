/* activation_f32.h: the activation kernels: one loop a function, which the compiler vectorises. */
#include "activate.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const float *x = lb_tensor_f32(lb_arg(a, LB_ACTIVATION_X));
    float *out = lb_tensor_data(lb_arg(a, LB_ACTIVATION_OUT));
    int64_t begin, end;
    lb_split(lb_tensor_numel(lb_arg(a, LB_ACTIVATION_X)), 64, l->part, l->parts, &begin, &end);
    activate((int)a->p[LB_ACTIVATION_P_KIND], (float)a->p[LB_ACTIVATION_P_SLOPE], x + begin, end - begin, out + begin);
}

const lb_kernel KERNEL_SYMBOL(activation_f32) = {
    .name = "activation.f32." ISA_TEXT, .op = "activation", .device = "cpu",
    .about = "one vectorised loop for each function over the part's share; gelu's erfc by a fitted rational of 1 / x",
    .source = "luabench; erfc: W. J. Cody's method as in Numerical Recipes' erfcc", .isa = ISA_BITS, .format = "f32",
    .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-11,
    .tolerance_why = "exponentials within 2e-7 and erfc within 1.2e-7, squared",
    .priority = ISA_PRIORITY, .launch = launch,
};
