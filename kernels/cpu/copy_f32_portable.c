/* copy_f32_portable.c: out = x, by the C library's copy. */
#include <string.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_COPY_X);
    int64_t begin, end;
    lb_split(lb_tensor_numel(x), 1024, l->part, l->parts, &begin, &end);
    memcpy((float *)lb_tensor_data(lb_arg(a, LB_COPY_OUT)) + begin, lb_tensor_f32(x) + begin,
           (size_t)(end - begin) * 4);
}

const lb_kernel lb_kernel_copy_f32_portable = {
    .name = "copy.f32.portable", .op = "copy", .device = "cpu", .about = "one share a part, by the C library's memcpy",
    .source = "luabench", .isa = LB_ISA_PORTABLE, .format = "f32", .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30, .tolerance_why = "bytes", .priority = 1, .launch = launch,
};
