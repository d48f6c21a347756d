/* scatter_f32_portable.c: out[ids[i]] = x[i], whole rows. Parts own rows of out, so that the last of equal ids wins. */
#include <string.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_SCATTER_X), *o = lb_arg(a, LB_SCATTER_OUT);
    const int32_t *ids = lb_tensor_data(lb_arg(a, LB_SCATTER_IDS));
    int64_t k = x->dims[1], tokens = x->dims[0];
    for (int64_t t = 0; t < tokens; t++) {
        int64_t id = ids[t];
        if (id < 0 || id >= o->dims[0] || id % l->parts != l->part) continue;
        memcpy((float *)lb_tensor_data(o) + id * k, lb_tensor_f32(x) + t * k, (size_t)k * 4);
    }
}

const lb_kernel lb_kernel_scatter_f32_portable = {
    .name = "scatter.f32.portable", .op = "scatter", .device = "cpu",
    .about = "a memcpy a row; a part writes the rows whose number it owns", .source = "luabench",
    .isa = LB_ISA_PORTABLE, .format = "f32", .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "bytes", .priority = 1, .launch = launch,
};
