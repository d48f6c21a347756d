/* swiglu_clamped.c: gpt-oss's gate: out = (clamp(up) + 1) * g * sigmoid(alpha * g), g = min(gate, limit). */
#include <math.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    return lb_op_infer_like(a, LB_SWIGLU_CLAMPED_GATE, LB_F32, dtype, rank, dims);
}

static lb_status check(const lb_args *a) {
    lb_status s;
    const lb_tensor *g = lb_arg(a, LB_SWIGLU_CLAMPED_GATE);
    for (int slot = LB_SWIGLU_CLAMPED_GATE; slot <= LB_SWIGLU_CLAMPED_OUT; slot++) {
        if ((s = lb_op_want_rows(a, slot, -1, "f32 rows [.., K]"))) return s;
        if (!lb_op_same_shape(g, lb_arg(a, slot))) return lb_op_bad(a, slot, "the shape of 'gate'");
    }
    for (int i = LB_SWIGLU_CLAMPED_P_ALPHA; i <= LB_SWIGLU_CLAMPED_P_LIMIT; i++)
        if (!isfinite(a->p[i]) || a->p[i] < 0)
            return lb_fail(LB_EINVAL, "swiglu_clamped: parameter '%s' must be finite and not negative",
                           a->op->params[i].name);
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_SWIGLU_CLAMPED_GATE));
    *w = (lb_work){ .flops = 6 * n, .bytes = 12 * n, .items = n, .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *gate = lb_arg(a, LB_SWIGLU_CLAMPED_GATE), *up = lb_arg(a, LB_SWIGLU_CLAMPED_UP);
    int64_t k = lb_row_length(gate), rows = lb_row_count(gate);
    double alpha = a->p[LB_SWIGLU_CLAMPED_P_ALPHA], limit = a->p[LB_SWIGLU_CLAMPED_P_LIMIT];
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_SWIGLU_CLAMPED_OUT, rows * k, false);
    for (int64_t i = 0; !s && i < rows * k; i++) {
        double g = lb_row_f32(gate, i / k)[i % k], u = lb_row_f32(up, i / k)[i % k];
        lb_op_swiglu_clamped_f64(&g, &u, 1, alpha, limit, &out[0].values[i]);
    }
    return s;
}

static const lb_operand_spec operands[] = {
    { "gate", LB_READ, false, false, "rows [.., K] f32" },
    { "up", LB_READ, false, false, "rows, the same shape" },
    { "out", LB_WRITE, true, false, "f32, the same shape" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "alpha", false, 1.702, "factor in the sigmoid" },
    { "limit", false, 7, "gate is cut above, up on both sides" },
    { .name = NULL },
};

const lb_op lb_op_swiglu_clamped = {
    .name = "swiglu_clamped",
    .about = "g = min(gate, limit); out = (clamp(up, -limit, limit) + 1) * g * sigmoid(alpha * g)",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
