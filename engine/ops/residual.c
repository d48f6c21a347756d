/* residual.c: y += scale * x, in place. */
#include <math.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)dtype, (void)rank, (void)dims;
    return lb_op_bad(a, slot, "the tensor to add to (it is updated in place)");
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want_rows(a, LB_RESIDUAL_X, -1, "f32 rows [.., K]");
    if (s) return s;
    if ((s = lb_op_want_rows(a, LB_RESIDUAL_Y, -1, "f32, x's shape"))) return s;
    if (!lb_op_same_shape(lb_arg(a, LB_RESIDUAL_X), lb_arg(a, LB_RESIDUAL_Y)))
        return lb_op_bad(a, LB_RESIDUAL_Y, "f32, x's shape");
    return isfinite(a->p[LB_RESIDUAL_P_SCALE]) ? LB_OK : lb_fail(LB_EINVAL, "residual: 'scale' must be finite");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_RESIDUAL_X));
    *w = (lb_work){ .flops = 2 * n, .bytes = 12 * n, .items = n, .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_tensor *x = lb_arg(in->args, LB_RESIDUAL_X), *y = in->before[LB_RESIDUAL_Y];
    int64_t k = lb_row_length(x), rows = lb_row_count(x);
    double scale = (double)(float)in->args->p[LB_RESIDUAL_P_SCALE];
    *count = 0;
    lb_status s = lb_op_expect(out, count, "y", LB_RESIDUAL_Y, rows * k, false);
    for (int64_t r = 0; !s && r < rows; r++)
        for (int64_t i = 0; i < k; i++)
            out[0].values[r * k + i] = (double)lb_row_f32(y, r)[i] + scale * (double)lb_row_f32(x, r)[i];
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "rows [.., K] f32" },
    { "y", LB_UPDATE, false, false, "f32, x's shape; updated in place" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "scale", false, 1, "factor on x" },
    { .name = NULL },
};

const lb_op lb_op_residual = {
    .name = "residual",
    .about = "y += scale * x, in place",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
