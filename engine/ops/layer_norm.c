/* layer_norm.c: out = (x - mean) / sqrt(variance + eps) * weight + bias, row by row. */
#include <math.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    return lb_op_infer_like(a, LB_LAYER_NORM_X, LB_F32, dtype, rank, dims);
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want_rows(a, LB_LAYER_NORM_X, -1, "f32 rows [.., K]");
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_LAYER_NORM_X);
    int64_t k = lb_row_length(x);
    for (int i = LB_LAYER_NORM_WEIGHT; i <= LB_LAYER_NORM_BIAS; i++)
        if (lb_arg(a, i) && (s = lb_op_want_vector(a, i, LB_F32, k, "f32[K]"))) return s;
    if ((s = lb_op_want_rows(a, LB_LAYER_NORM_OUT, k, "f32, x's shape"))) return s;
    if (!lb_op_same_shape(x, lb_arg(a, LB_LAYER_NORM_OUT))) return lb_op_bad(a, LB_LAYER_NORM_OUT, "f32, x's shape");
    return a->p[LB_RMS_NORM_P_EPS] >= 0 ? LB_OK : lb_fail(LB_EINVAL, "layer_norm: eps must not be negative");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_LAYER_NORM_X));
    *w = (lb_work){ .flops = 7 * n, .items = (double)lb_row_count(lb_arg(a, LB_LAYER_NORM_X)), .item = "row" };
    for (int i = LB_LAYER_NORM_X; i <= LB_LAYER_NORM_OUT; i++) w->bytes += lb_op_bytes(lb_arg(a, i));
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_LAYER_NORM_X), *weight = lb_arg(a, LB_LAYER_NORM_WEIGHT);
    const lb_tensor *bias = lb_arg(a, LB_LAYER_NORM_BIAS);
    int64_t k = lb_row_length(x), rows = lb_row_count(x);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_LAYER_NORM_OUT, rows * k, false);
    for (int64_t r = 0; !s && r < rows; r++) {
        const float *row = lb_row_f32(x, r);
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < k; i++) mean += (double)row[i] / (double)k;
        for (int64_t i = 0; i < k; i++) variance += ((double)row[i] - mean) * ((double)row[i] - mean) / (double)k;
        double scale = 1 / sqrt(variance + a->p[LB_RMS_NORM_P_EPS]);
        for (int64_t i = 0; i < k; i++)
            out[0].values[r * k + i] = ((double)row[i] - mean) * scale * (weight ? (double)lb_tensor_f32(weight)[i]
                    : 1) +
                                       (bias ? (double)lb_tensor_f32(bias)[i] : 0);
    }
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "rows [.., K] f32" },
    { "weight", LB_READ, true, false, "[K] f32" },
    { "bias", LB_READ, true, false, "[K] f32" },
    { "out", LB_WRITE, true, false, "f32, x's shape" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "eps", false, 1e-5, "added to the variance" },
    { .name = NULL },
};

const lb_op lb_op_layer_norm = {
    .name = "layer_norm",
    .about = "out = (x - mean) / sqrt(variance + eps) * weight + bias, row by row",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
