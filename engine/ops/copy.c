/* copy.c: out = x. */
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    return lb_op_infer_like(a, LB_COPY_X, LB_F32, dtype, rank, dims);
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_COPY_X, LB_F32, -1, "dense f32"))) return s;
    if ((s = lb_op_want(a, LB_COPY_OUT, LB_F32, -1, "dense f32, x's shape"))) return s;
    bool fits = lb_op_same_shape(lb_arg(a, LB_COPY_X), lb_arg(a, LB_COPY_OUT));
    return fits ? LB_OK : lb_op_bad(a, LB_COPY_OUT, "x's shape");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_COPY_X));
    *w = (lb_work){ .bytes = 8 * n, .items = n, .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    int64_t n = lb_tensor_numel(lb_arg(in->args, LB_COPY_X));
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_COPY_OUT, n, false);
    for (int64_t i = 0; i < n && !s; i++) out[0].values[i] = (double)lb_op_f32(in->args, LB_COPY_X)[i];
    if (!s) out[0].exact = true;
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_WEIGHT, false, false, "f32, dense" },
    { "out", LB_WRITE, true, false, "f32, x's shape" },
    { .name = NULL },
};

const lb_op lb_op_copy = {
    .name = "copy",
    .about = "out = x: reads and writes every byte once",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
