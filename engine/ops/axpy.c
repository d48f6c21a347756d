/* axpy.c: y += scale[at] * x. */
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot, (void)dtype, (void)rank, (void)dims;
    return lb_op_bad(a, LB_AXPY_Y, "the tensor to add to (it is updated in place)");
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_AXPY_X, LB_F32, -1, "dense f32"))) return s;
    if ((s = lb_op_want(a, LB_AXPY_SCALE, LB_F32, -1, "dense f32"))) return s;
    if ((s = lb_op_want(a, LB_AXPY_Y, LB_F32, -1, "dense f32"))) return s;
    if (lb_tensor_numel(lb_arg(a, LB_AXPY_X)) != lb_tensor_numel(lb_arg(a, LB_AXPY_Y)))
        return lb_op_bad(a, LB_AXPY_Y, "as many elements as 'x'");
    return lb_op_want_integer(a, LB_AXPY_P_AT, 0, lb_tensor_numel(lb_arg(a, LB_AXPY_SCALE)) - 1);
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_AXPY_X));
    *w = (lb_work){ .flops = 2.0 * n, .bytes = 12.0 * n, .items = n, .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    int64_t n = lb_tensor_numel(lb_arg(a, LB_AXPY_X));
    const float *x = lb_op_f32(a, LB_AXPY_X), *before = lb_tensor_f32(in->before[LB_AXPY_Y]);
    double scale = lb_op_f32(a, LB_AXPY_SCALE)[(int64_t)a->p[LB_AXPY_P_AT]];
    *count = 0;
    lb_status s = lb_op_expect(out, count, "y", LB_AXPY_Y, n, false);
    if (s) return s;
    for (int64_t i = 0; i < n; i++) out[0].values[i] = (double)before[i] + scale * (double)x[i];
    return LB_OK;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "f32" },
    { "scale", LB_READ, false, false, "f32; element `at` is the factor" },
    { "y", LB_UPDATE, false, false, "f32, as many elements as x; updated in place" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "at", false, 0, "which element of scale, from 0" },
    { .name = NULL },
};

const lb_op lb_op_axpy = {
    .name = "axpy",
    .about = "y[i] += scale[at] * x[i]",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
