/* swiglu.c: out = silu(gate) * up. */
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    const lb_tensor *g = lb_arg(a, LB_SWIGLU_GATE);
    *dtype = LB_F32;
    *rank = g->rank;
    for (int i = 0; i < g->rank; i++) dims[i] = g->dims[i];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    const lb_tensor *g = lb_arg(a, LB_SWIGLU_GATE);
    for (int slot = LB_SWIGLU_GATE; slot <= LB_SWIGLU_OUT; slot++) {
        lb_status s = slot == LB_SWIGLU_OUT ? lb_op_want(a, slot, LB_F32, -1, "dense f32")
                                            : lb_op_want_rows(a, slot, -1, "f32 rows [.., K]");
        if (s) return s;
        if (!lb_op_same_shape(g, lb_arg(a, slot))) return lb_op_bad(a, slot, "the shape of 'gate'");
    }
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_SWIGLU_GATE));
    w->flops = 4.0 * n; /* the exponential counted as one */
    w->bytes = 12.0 * n;
    w->items = n;
    w->item = "element";
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *gate = lb_arg(a, LB_SWIGLU_GATE), *up = lb_arg(a, LB_SWIGLU_UP);
    int64_t k = lb_row_length(gate), n = lb_row_count(gate) * k;
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_SWIGLU_OUT, n, false);
    if (s) return s;
    for (int64_t i = 0; i < n; i++) {
        double g = lb_row_f32(gate, i / k)[i % k], u = lb_row_f32(up, i / k)[i % k];
        lb_op_swiglu_f64(&g, &u, 1, &out[0].values[i]);
    }
    return LB_OK;
}

static const lb_operand_spec operands[] = {
    { "gate", LB_READ, false, false, "rows [.., K] f32" },
    { "up", LB_READ, false, false, "rows, the same shape" },
    { "out", LB_WRITE, true, false, "f32, the same shape, dense" },
    { .name = NULL },
};

const lb_op lb_op_swiglu = {
    .name = "swiglu",
    .about = "out = silu(gate) * up, silu(g) = g / (1 + exp(-g))",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
