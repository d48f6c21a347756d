/* fill_f32_portable.c: out[i] = value. */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

static void launch(const lb_args *a, const lb_launch *l) {
    lb_tensor *out = lb_arg(a, LB_FILL_OUT);
    float *p = lb_tensor_data(out), value = (float)a->p[LB_FILL_P_VALUE];
    int64_t begin, end;
    lb_split(lb_tensor_numel(out), 16, l->part, l->parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) p[i] = value;
}

const lb_kernel lb_kernel_fill_f32_portable = {
    .name = "fill.f32.portable",
    .op = "fill",
    .device = "cpu",
    .about = "a loop of stores, split over the threads",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "f32",
    .acc = LB_ACC_NONE,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30,
    .tolerance_why = "a store is exact",
    .priority = 1,
    .launch = launch,
};
