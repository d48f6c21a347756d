/* fill.c: sets every element to one value, so that a sum can start. */
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)dtype, (void)rank, (void)dims;
    return lb_op_bad(a, slot, "the tensor to fill");
}

static lb_status check(const lb_args *a) { return lb_op_want(a, LB_FILL_OUT, LB_F32, -1, "dense f32"); }

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *out = lb_arg(a, LB_FILL_OUT);
    *w = (lb_work){ .bytes = lb_op_bytes(out), .items = (double)lb_tensor_numel(out), .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    int64_t n = lb_tensor_numel(lb_arg(in->args, LB_FILL_OUT));
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_FILL_OUT, n, false);
    for (int64_t i = 0; !s && i < n; i++) out[0].values[i] = (float)in->args->p[LB_FILL_P_VALUE];
    return s;
}

static const lb_operand_spec operands[] = {
    { "out", LB_WRITE, false, false, "f32, any shape" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "value", false, 0, "the value" },
    { .name = NULL },
};

const lb_op lb_op_fill = {
    .name = "fill",
    .about = "out[i] = value",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
