/* swiglu_clamped_f32.h: the swiglu_clamped kernels. */
#include "activate.h"

static void row(const float *restrict g, const float *restrict u, int64_t n, float alpha, float limit,
                float *restrict out) {
    for (int64_t i = 0; i < n; i++) {
        float gate = g[i] > limit ? limit : g[i], up = u[i] > limit ? limit : u[i];
        up = up < -limit ? -limit : up;
        out[i] = (up + 1.0f) * gate * sigmoid(alpha * gate);
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *g = lb_arg(a, LB_SWIGLU_CLAMPED_GATE), *u = lb_arg(a, LB_SWIGLU_CLAMPED_UP);
    const lb_tensor *o = lb_arg(a, LB_SWIGLU_CLAMPED_OUT);
    int64_t k = lb_row_length(g), rows = lb_row_count(g), pieces = row_pieces(rows, k, l->parts), begin, end;
    my_rows(l, rows * pieces, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t r = i / pieces, from = k * (i % pieces) / pieces, to = k * (i % pieces + 1) / pieces;
        row(lb_row_f32(g, r) + from, lb_row_f32(u, r) + from, to - from, (float)a->p[LB_SWIGLU_CLAMPED_P_ALPHA],
            (float)a->p[LB_SWIGLU_CLAMPED_P_LIMIT], lb_row_f32(o, r) + from);
    }
}

const lb_kernel KERNEL_SYMBOL(swiglu_clamped_f32) = {
    .name = "swiglu_clamped.f32." ISA_TEXT, .op = "swiglu_clamped", .device = "cpu",
    .about = "one vectorised loop; rows, or pieces of rows, split over the parts",
    .source = "luabench; gpt-oss's reference", .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-11,
    .tolerance_why = "alpha * gate is rounded before an exponential that is within 2e-7",
    .priority = ISA_PRIORITY, .launch = launch,
};
