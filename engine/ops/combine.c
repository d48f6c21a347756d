/* combine.c: the weighted sum of a token's expert outputs, in slot order. */
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    const lb_tensor *y = lb_arg(a, LB_COMBINE_Y), *w = lb_arg(a, LB_COMBINE_WEIGHTS);
    if (y->rank != 2) return lb_op_bad(a, LB_COMBINE_Y, "f32[T*k, H]");
    if (w->rank != 2) return lb_op_bad(a, LB_COMBINE_WEIGHTS, "f32[T, k]");
    *dtype = LB_F32;
    *rank = 2;
    dims[0] = w->dims[0];
    dims[1] = y->dims[1];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_COMBINE_Y, LB_F32, 2, "f32[T*k, H]"))) return s;
    if ((s = lb_op_want(a, LB_COMBINE_WEIGHTS, LB_F32, 2, "f32[T, k]"))) return s;
    if ((s = lb_op_want(a, LB_COMBINE_OUT, LB_F32, 2, "f32[T, H]"))) return s;
    const lb_tensor *y = lb_arg(a, LB_COMBINE_Y), *w = lb_arg(a, LB_COMBINE_WEIGHTS);
    const lb_tensor *out = lb_arg(a, LB_COMBINE_OUT), *shared = lb_arg(a, LB_COMBINE_SHARED);
    if (y->dims[0] != w->dims[0] * w->dims[1]) return lb_op_bad(a, LB_COMBINE_Y, "T * k rows");
    if (out->dims[0] != w->dims[0] || out->dims[1] != y->dims[1]) return lb_op_bad(a, LB_COMBINE_OUT, "f32[T, H]");
    if (!shared) return LB_OK;
    if ((s = lb_op_want(a, LB_COMBINE_SHARED, LB_F32, 2, "f32[T, H]"))) return s;
    if (shared->dims[0] != out->dims[0] || shared->dims[1] != out->dims[1])
        return lb_op_bad(a, LB_COMBINE_SHARED, "the shape of 'out'");
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *y = lb_arg(a, LB_COMBINE_Y), *shared = lb_arg(a, LB_COMBINE_SHARED);
    w->flops = 2.0 * (double)lb_tensor_numel(y);
    w->bytes = lb_op_bytes(y) + lb_op_bytes(lb_arg(a, LB_COMBINE_WEIGHTS)) + lb_op_bytes(shared) +
               lb_op_bytes(lb_arg(a, LB_COMBINE_OUT));
    w->items = (double)lb_arg(a, LB_COMBINE_WEIGHTS)->dims[0];
    w->item = "token";
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *w = lb_arg(a, LB_COMBINE_WEIGHTS), *sh = lb_arg(a, LB_COMBINE_SHARED);
    int64_t tokens = w->dims[0], k = w->dims[1], h = lb_arg(a, LB_COMBINE_Y)->dims[1];
    const float *y = lb_op_f32(a, LB_COMBINE_Y), *weights = lb_tensor_f32(w), *shared = sh ? lb_tensor_f32(sh) : NULL;
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_COMBINE_OUT, tokens * h, false);
    if (s) return s;
    for (int64_t t = 0; t < tokens; t++) {
        double *o = out[0].values + t * h;
        for (int64_t i = 0; shared && i < h; i++) o[i] = shared[t * h + i];
        for (int64_t slot = t * k; slot < (t + 1) * k; slot++)
            for (int64_t i = 0; i < h; i++) o[i] += (double)weights[slot] * (double)y[slot * h + i];
    }
    return LB_OK;
}

static const lb_operand_spec operands[] = {
    { "y", LB_READ, false, false, "[T*k, H] f32, expert outputs by slot" },
    { "weights", LB_READ, false, false, "[T, k] f32, router weights" },
    { "shared", LB_READ, true, false, "[T, H] f32, the shared expert's output" },
    { "out", LB_WRITE, true, false, "[T, H] f32" },
    { .name = NULL },
};

const lb_op lb_op_combine = {
    .name = "combine",
    .about = "out[t] = shared[t] + sum over s, in order, of weights[t][s] * y[t*k + s]",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
