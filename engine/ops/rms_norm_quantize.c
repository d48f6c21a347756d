/* rms_norm_quantize.c: a norm and the int8 codes of its rows, in one pass. */
#include <math.h>
#include <stdlib.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *x = lb_arg(a, LB_RMS_NORM_Q_X);
    int64_t k = x->rank ? lb_row_length(x) : 0;
    *dtype = slot == LB_RMS_NORM_Q_CODES ? LB_I8 : LB_F32;
    *rank = 2;
    dims[0] = x->rank ? lb_row_count(x) : 0;
    dims[1] = slot == LB_RMS_NORM_Q_CODES ? k : (k + 31) / 32;
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want_rows(a, LB_RMS_NORM_Q_X, -1, "f32 rows [.., K]");
    if (s) return s;
    int64_t k = lb_row_length(lb_arg(a, LB_RMS_NORM_Q_X)), rows = lb_row_count(lb_arg(a, LB_RMS_NORM_Q_X));
    if (lb_arg(a, LB_RMS_NORM_Q_WEIGHT) && (s = lb_op_want_vector(a, LB_RMS_NORM_Q_WEIGHT, LB_F32, k, "f32[K]")))
        return s;
    if ((s = lb_op_want(a, LB_RMS_NORM_Q_CODES, LB_I8, 2, "i8[T, K]"))) return s;
    if ((s = lb_op_want(a, LB_RMS_NORM_Q_SCALES, LB_F32, 2, "f32[T, K/32]"))) return s;
    const lb_tensor *c = lb_arg(a, LB_RMS_NORM_Q_CODES), *d = lb_arg(a, LB_RMS_NORM_Q_SCALES);
    if (c->dims[0] != rows || c->dims[1] != k) return lb_op_bad(a, LB_RMS_NORM_Q_CODES, "i8[T, K]");
    if (d->dims[0] != rows || d->dims[1] != (k + 31) / 32)
        return lb_op_bad(a, LB_RMS_NORM_Q_SCALES, "f32[T, ceil(K/32)]");
    return a->p[LB_RMS_NORM_P_EPS] >= 0 ? LB_OK : lb_fail(LB_EINVAL, "rms_norm_quantize: eps must not be negative");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_RMS_NORM_Q_X));
    *w = (lb_work){ .flops = 7 * n, .items = (double)lb_row_count(lb_arg(a, LB_RMS_NORM_Q_X)), .item = "row" };
    for (int i = LB_RMS_NORM_Q_X; i <= LB_RMS_NORM_Q_SCALES; i++) w->bytes += lb_op_bytes(lb_arg(a, i));
}

/* One block: the scale from the exact norm; a code where the exact quotient is not within f32's reach of a half, which
 * may round either way. With NaN or Inf the scale is as well, and all codes are 0. */
static void block(const double *y, int64_t n, float scale_got, double *scale, double *codes, uint8_t *mask) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = isnan(y[i]) || isnan(most) ? NAN : fmax(most, fabs(y[i]));
    if (most < 1e-36) most = 0;
    *scale = most / 127;
    for (int64_t i = 0; i < n; i++) {
        double q = scale_got > 0 && isfinite(most) ? y[i] / (double)scale_got : 0, away = fabs(q - floor(q) - 0.5);
        codes[i] = fmin(127, fmax(-127, rint(q)));
        mask[i] = away > 1e-4;
    }
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_RMS_NORM_Q_X), *weight = lb_arg(a, LB_RMS_NORM_Q_WEIGHT);
    int64_t k = lb_row_length(x), rows = lb_row_count(x), blocks = (k + 31) / 32;
    double *y = malloc((size_t)(k + 1) * sizeof *y);
    *count = 0;
    lb_status s = y ? LB_OK : lb_fail(LB_ENOMEM, "rms_norm_quantize: no memory for a row");
    if (!s) s = lb_op_expect(out, count, "codes", LB_RMS_NORM_Q_CODES, rows * k, true);
    if (!s) s = lb_op_expect(out, count, "scales", LB_RMS_NORM_Q_SCALES, rows * blocks, false);
    const int8_t *codes = lb_tensor_data(lb_arg(a, LB_RMS_NORM_Q_CODES));
    for (int64_t r = 0; !s && r < rows; r++) {
        lb_op_rms_norm_f64(lb_row_f32(x, r), weight ? lb_tensor_f32(weight) : NULL, k, a->p[LB_RMS_NORM_P_EPS], y);
        for (int64_t b = 0; b < blocks; b++) {
            int64_t at = r * k + b * 32, n = k - b * 32 < 32 ? k - b * 32 : 32;
            block(y + b * 32, n, lb_op_f32(a, LB_RMS_NORM_Q_SCALES)[r * blocks + b], &out[1].values[r * blocks + b],
                  out[0].values + at, out[0].mask + at);
            /* both sides of a tie are right; the one taken is what is expected, so that it is not left unchecked */
            for (int64_t i = at; i < at + n; i++) {
                if (out[0].mask[i]) continue;
                double d = (double)codes[i] - out[0].values[i];
                if (fabs(d) <= 1) out[0].values[i] = (double)codes[i];
                out[0].mask[i] = 1;
            }
        }
    }
    if (!s) out[0].exact = true;
    free(y);
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "rows [.., K] f32" },
    { "weight", LB_READ, true, false, "[K] f32" },
    { "codes", LB_WRITE, true, false, "[T, K] i8" },
    { "scales", LB_WRITE, true, false, "[T, ceil(K/32)] f32" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "eps", false, 1e-5, "added to the mean of squares" },
    { .name = NULL },
};

const lb_op lb_op_rms_norm_quantize = {
    .name = "rms_norm_quantize",
    .about = "y = rms_norm(x) * weight; scales = max |y| / 127 by blocks of 32, codes = y / scale",
    .operands = operands,
    .params = params,
    .fused = true,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
