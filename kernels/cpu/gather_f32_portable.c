/* gather_f32_portable.c: out[i] = x[ids[i]], whole rows. */
#include <string.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_GATHER_X), *o = lb_arg(a, LB_GATHER_OUT);
    const int32_t *ids = lb_tensor_data(lb_arg(a, LB_GATHER_IDS));
    int64_t k = x->dims[1], begin, end;
    size_t bytes = (size_t)k * 4;
    lb_split(o->dims[0], 1, l->part, l->parts, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *out = (float *)lb_tensor_data(o) + t * k;
        if (ids[t] >= 0 && ids[t] < x->dims[0]) memcpy(out, lb_tensor_f32(x) + ids[t] * k, bytes);
        else memset(out, 0, bytes);
    }
}

const lb_kernel lb_kernel_gather_f32_portable = {
    .name = "gather.f32.portable", .op = "gather", .device = "cpu",
    .about = "a memcpy a row; rows split over the parts",
    .source = "luabench", .isa = LB_ISA_PORTABLE, .format = "f32", .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30, .tolerance_why = "bytes", .priority = 1, .launch = launch,
};
