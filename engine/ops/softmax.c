/* softmax.c: out = softmax(scale * x) over the last dimension. */
#include <math.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    return lb_op_infer_like(a, LB_SOFTMAX_X, LB_F32, dtype, rank, dims);
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want_rows(a, LB_SOFTMAX_X, -1, "f32 rows [.., K]");
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_SOFTMAX_X);
    if ((s = lb_op_want_rows(a, LB_SOFTMAX_OUT, lb_row_length(x), "f32, x's shape"))) return s;
    if (!lb_op_same_shape(x, lb_arg(a, LB_SOFTMAX_OUT))) return lb_op_bad(a, LB_SOFTMAX_OUT, "f32, x's shape");
    return isfinite(a->p[LB_SOFTMAX_P_SCALE]) ? LB_OK : lb_fail(LB_EINVAL, "softmax: parameter 'scale' must be finite");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_SOFTMAX_X));
    *w = (lb_work){ .flops = 5 * n, .bytes = 8 * n, .items = (double)lb_row_count(lb_arg(a, LB_SOFTMAX_X)),
                    .item = "row" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_SOFTMAX_X);
    int64_t k = lb_row_length(x), rows = lb_row_count(x);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_SOFTMAX_OUT, rows * k, false);
    for (int64_t r = 0; !s && r < rows; r++) {
        const float *row = lb_row_f32(x, r);
        double most = -INFINITY, sum = 0, *o = out[0].values + r * k, scale = a->p[LB_SOFTMAX_P_SCALE];
        for (int64_t i = 0; i < k; i++) most = fmax(most, scale * (double)row[i]);
        for (int64_t i = 0; i < k; i++) sum += o[i] = exp(scale * (double)row[i] - most);
        for (int64_t i = 0; i < k; i++) o[i] /= sum;
    }
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "rows [.., K] f32" },
    { "out", LB_WRITE, true, false, "f32, x's shape" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "scale", false, 1, "factor on x" },
    { .name = NULL },
};

const lb_op lb_op_softmax = {
    .name = "softmax",
    .about = "out = exp(scale * x - max) / sum, row by row",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
