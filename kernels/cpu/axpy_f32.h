/* axpy_f32.h: the axpy kernels. */
#include "engine/ops/slots.h"
#include "vec.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_AXPY_X), *y = lb_arg(a, LB_AXPY_Y);
    float scale = lb_tensor_f32(lb_arg(a, LB_AXPY_SCALE))[(int64_t)a->p[LB_AXPY_P_AT]];
    int64_t begin, end;
    lb_split(lb_tensor_numel(x), 16, l->part, l->parts, &begin, &end);
    add_scaled(scale, lb_tensor_f32(x) + begin, (float *)lb_tensor_data(y) + begin, end - begin);
}

const lb_kernel KERNEL_SYMBOL(axpy_f32) = {
    .name = "axpy.f32." ISA_TEXT,
    .op = "axpy",
    .device = "cpu",
    .about = "one multiply and one add an element, split over the threads by whole cache lines",
    .source = "luabench",
    .isa = ISA_BITS,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-12,
    .tolerance_why = "two f32 roundings an element, about 1e-15, and room for sums that cancel",
    .priority = ISA_PRIORITY,
    .launch = launch,
};
