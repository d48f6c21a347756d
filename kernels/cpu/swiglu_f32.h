/* swiglu_f32.h: the swiglu kernels of vectors: gate.h's form, as the fused FFNs have it, so that a model gives the same
 * bits with and without them. */
#include "gate.h"
#include "vec.h"

static void swiglu(const float *gate, const float *up, float *out, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += GATE_LANES) {
        gate_some m = gate_lanes(end - i);
        gate_store(out + i, m, gate_swiglu(gate_load(m, gate + i), gate_load(m, up + i)));
    }
}

/* Dense operands are one long row. */
static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *gate = lb_arg(a, LB_SWIGLU_GATE), *up = lb_arg(a, LB_SWIGLU_UP), *out = lb_arg(a, LB_SWIGLU_OUT);
    bool dense = lb_tensor_is_dense(gate) && lb_tensor_is_dense(up);
    int64_t n = lb_tensor_numel(out), k = dense ? n : lb_row_length(out), rows = dense ? n > 0 : lb_row_count(out);
    int64_t begin, end;
    lb_split(k, 16, l->part, l->parts, &begin, &end);
    for (int64_t r = 0; r < rows; r++) swiglu(lb_row_f32(gate, r), lb_row_f32(up, r), lb_row_f32(out, r), begin, end);
}

const lb_kernel KERNEL_SYMBOL(swiglu_f32) = {
    .name = "swiglu.f32." ISA_TEXT, .op = "swiglu", .device = "cpu",
    .about = "vectors; e^x = 2^n * Taylor polynomial of degree 7, exact division", .source = "luabench",
    .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-12,
    .tolerance_why = "the exponential is within 2e-7, and three more f32 roundings: NMSE of 1e-14 to 1e-13",
    .priority = ISA_PRIORITY, .launch = launch,
};
