/* add_rms_norm.c: h += x; out = rms_norm(h) * weight: a residual and the norm after it, in one pass. */
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    return lb_op_infer_like(a, LB_ADD_RMS_NORM_X, LB_F32, dtype, rank, dims);
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want_rows(a, LB_ADD_RMS_NORM_X, -1, "f32 rows [.., K]");
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_ADD_RMS_NORM_X);
    int64_t k = lb_row_length(x);
    static const int like_x[] = { LB_ADD_RMS_NORM_H, LB_ADD_RMS_NORM_OUT };
    for (int i = 0; i < 2; i++) {
        if ((s = lb_op_want_rows(a, like_x[i], k, "f32, x's shape"))) return s;
        if (!lb_op_same_shape(x, lb_arg(a, like_x[i]))) return lb_op_bad(a, like_x[i], "f32, x's shape");
    }
    if (lb_arg(a, LB_ADD_RMS_NORM_WEIGHT) &&
        (s = lb_op_want_vector(a, LB_ADD_RMS_NORM_WEIGHT, LB_F32, k, "f32[K]"))) return s;
    return a->p[LB_RMS_NORM_P_EPS] >= 0 ? LB_OK : lb_fail(LB_EINVAL, "add_rms_norm: eps must not be negative");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_ADD_RMS_NORM_X));
    *w = (lb_work){ .flops = 5 * n, .bytes = 16 * n + lb_op_bytes(lb_arg(a, LB_ADD_RMS_NORM_WEIGHT)),
                    .items = (double)lb_row_count(lb_arg(a, LB_ADD_RMS_NORM_X)), .item = "row" };
}

/* The norm is of the sums that the kernel really stored. */
static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_ADD_RMS_NORM_X), *weight = lb_arg(a, LB_ADD_RMS_NORM_WEIGHT);
    const lb_tensor *h = lb_arg(a, LB_ADD_RMS_NORM_H), *before = in->before[LB_ADD_RMS_NORM_H];
    int64_t k = lb_row_length(x), rows = lb_row_count(x);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "h", LB_ADD_RMS_NORM_H, rows * k, false);
    if (!s) s = lb_op_expect(out, count, "out", LB_ADD_RMS_NORM_OUT, rows * k, false);
    for (int64_t r = 0; !s && r < rows; r++) {
        const float *xr = lb_row_f32(x, r), *br = lb_row_f32(before, r);
        for (int64_t i = 0; i < k; i++) out[0].values[r * k + i] = (double)xr[i] + (double)br[i];
        lb_op_rms_norm_f64(lb_row_f32(h, r), weight ? lb_tensor_f32(weight) : NULL, k, a->p[LB_RMS_NORM_P_EPS],
                           out[1].values + r * k);
    }
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "rows [.., K] f32, added to h" },
    { "h", LB_UPDATE, false, false, "f32, x's shape: the residual stream" },
    { "weight", LB_READ, true, false, "[K] f32" },
    { "out", LB_WRITE, true, false, "f32, x's shape" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "eps", false, 1e-5, "added to the mean of squares" },
    { .name = NULL },
};

const lb_op lb_op_add_rms_norm = {
    .name = "add_rms_norm",
    .about = "h += x; out = h / sqrt(mean(h^2) + eps) * weight, row by row",
    .operands = operands,
    .params = params,
    .fused = true,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
