/* rope.c: rotary positions: pairs of values of each head are rotated by position * frequency, in place. */
#include <math.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)dtype, (void)rank, (void)dims;
    return lb_op_bad(a, slot, "the tensor to rotate (it is updated in place)");
}

static lb_status check(const lb_args *a) {
    const lb_tensor *x = lb_arg(a, LB_ROPE_X);
    lb_status s = lb_op_want_rows(a, LB_ROPE_X, -1, "f32[T, H, D]");
    if (s) return s;
    if (x->rank != 3) return lb_op_bad(a, LB_ROPE_X, "f32[T, H, D]");
    if ((s = lb_op_want_vector(a, LB_ROPE_POSITIONS, LB_I32, x->dims[0], "i32[T]"))) return s;
    if ((s = lb_op_want(a, LB_ROPE_FREQUENCIES, LB_F32, 1, "f32[n]"))) return s;
    if (2 * lb_arg(a, LB_ROPE_FREQUENCIES)->dims[0] > x->dims[2])
        return lb_op_bad(a, LB_ROPE_FREQUENCIES, "at most D / 2 frequencies");
    if (!isfinite(a->p[LB_ROPE_P_SCALE])) return lb_fail(LB_EINVAL, "rope: parameter 'scale' must be finite");
    return lb_op_want_integer(a, LB_ROPE_P_INTERLEAVED, 0, 1);
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *x = lb_arg(a, LB_ROPE_X);
    double rotated = (double)(x->dims[0] * x->dims[1]) * 2.0 * (double)lb_arg(a, LB_ROPE_FREQUENCIES)->dims[0];
    *w = (lb_work){ .flops = 3 * rotated, .bytes = 8 * rotated + 4.0 * (double)x->dims[0],
                    .items = (double)x->dims[0], .item = "token" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = in->before[LB_ROPE_X];
    const float *f = lb_op_f32(a, LB_ROPE_FREQUENCIES);
    int64_t t = x->dims[0], h = x->dims[1], d = x->dims[2], n = lb_arg(a, LB_ROPE_FREQUENCIES)->dims[0];
    bool pairs = a->p[LB_ROPE_P_INTERLEAVED] != 0;
    *count = 0;
    lb_status s = lb_op_expect(out, count, "x", LB_ROPE_X, t * h * d, true);
    for (int64_t r = 0; !s && r < t * h; r++) {
        const float *row = lb_row_f32(x, r);
        for (int64_t i = 0; i < n; i++) {
            int64_t p = pairs ? 2 * i : i, q = pairs ? 2 * i + 1 : i + n;
            double angle = (double)lb_op_i32(a, LB_ROPE_POSITIONS)[r / h] * (double)f[i];
            double c = cos(angle) * a->p[LB_ROPE_P_SCALE], sn = sin(angle) * a->p[LB_ROPE_P_SCALE];
            out[0].values[r * d + p] = (double)row[p] * c - (double)row[q] * sn;
            out[0].values[r * d + q] = (double)row[q] * c + (double)row[p] * sn;
            out[0].mask[r * d + p] = out[0].mask[r * d + q] = 1;
        }
    }
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_UPDATE, false, false, "[T, H, D] f32 (any strides), rotated in place" },
    { "positions", LB_READ, false, false, "[T] i32" },
    { "frequencies", LB_READ, false, false, "[n] f32, n <= D / 2 (lb.rope_frequencies)" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "interleaved", false, 0, "1: pairs (2i, 2i+1) as GLM and DeepSeek; 0: (i, i+n)" },
    { "scale", false, 1, "factor on cos and sin (YaRN)" },
    { .name = NULL },
};

const lb_op lb_op_rope = {
    .name = "rope",
    .about = "x is rotated by pairs, by the angle positions[t] * frequencies[i]",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
