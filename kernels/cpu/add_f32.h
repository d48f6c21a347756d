/* add_f32.h: the add kernels. */
#include "vec.h"

static void add(const float *restrict x, const float *restrict y, int64_t n, float *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = x[i] + y[i];
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_ADD_A), *b = lb_arg(a, LB_ADD_B), *o = lb_arg(a, LB_ADD_OUT);
    int64_t k = lb_row_length(x), rows = lb_row_count(x), pieces = row_pieces(rows, k, l->parts), begin, end;
    my_rows(l, rows * pieces, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t r = i / pieces, from = k * (i % pieces) / pieces, to = k * (i % pieces + 1) / pieces;
        add(lb_row_f32(x, r) + from, lb_row_f32(b, b->rank == 1 ? 0 : r) + from, to - from, lb_row_f32(o, r) + from);
    }
}

const lb_kernel KERNEL_SYMBOL(add_f32) = {
    .name = "add.f32." ISA_TEXT, .op = "add", .device = "cpu",
    .about = "one vectorised loop; rows, or pieces of rows, split over the parts", .source = "luabench",
    .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-12, .tolerance_why = "one f32 rounding, about 1e-15, and room for sums that cancel",
    .priority = ISA_PRIORITY, .launch = launch,
};
