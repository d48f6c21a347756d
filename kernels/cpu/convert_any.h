/* convert_any.h: the convert kernels: a few hundred values at a time through f32, which all of them fit exactly. */
#include "cells.h"

enum { CHUNK = 512 };

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_CONVERT_X), *o = lb_arg(a, LB_CONVERT_OUT);
    size_t from = lb_dtype_size(x->dtype), to = lb_dtype_size(o->dtype);
    const char *src = lb_tensor_data(x);
    char *dst = lb_tensor_data(o);
    int64_t begin, end;
    float wide[CHUNK];
    lb_split(lb_tensor_numel(x), 64, l->part, l->parts, &begin, &end);
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        load_cells(x->dtype, LB_PACKED_NONE, src + (size_t)i * from, n, wide);
        store_cells(o->dtype, NULL, wide, n, dst + (size_t)i * to);
    }
}

const lb_kernel KERNEL_SYMBOL(convert_any) = {
    .name = "convert.any." ISA_TEXT, .op = "convert", .device = "cpu",
    .about = "blocks of 512 values through f32 in L1, loops that the compiler vectorises", .source = "luabench",
    .isa = ISA_BITS, .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "every conversion is one rounding to nearest even, compared exactly", .priority = ISA_PRIORITY,
    .launch = launch,
};
