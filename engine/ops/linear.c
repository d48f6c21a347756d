/* linear.c: out = f(w x + bias) for one matrix, or several one below the other (QKV; gate and up), in one dispatch. */
#include <stdlib.h>

#include "../check.h"
#include "../kernel.h"
#include "op_common.h"

/* Rows of all matrices; -1 if they do not agree in K. */
static int64_t total_rows(const lb_args *a, int64_t k) {
    int64_t n = 0;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        if (w->rank != 2 || w->dims[1] != k) return -1;
        n += w->dims[0];
    }
    return n;
}

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X);
    (void)slot;
    if (x->rank != 2) return lb_op_bad(a, LB_LINEAR_X, "f32[T, K]");
    *dtype = LB_F32;
    *rank = 2;
    dims[0] = x->dims[0];
    dims[1] = total_rows(a, x->dims[1]);
    return dims[1] < 0 ? lb_op_bad(a, LB_LINEAR_W, "matrices [N, K] with the K of 'x'") : LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want(a, LB_LINEAR_X, LB_F32, 2, "f32[T, K]");
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X);
    int64_t n = total_rows(a, x->dims[1]);
    if (n < 0) return lb_op_bad(a, LB_LINEAR_W, "matrices [N, K] with the K of 'x'");
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        lb_args one = *a;
        int64_t rows = -1, k = x->dims[1];
        one.t[LB_LINEAR_W] = (lb_operand){ &a->t[LB_LINEAR_W].items[i], 1 };
        if ((s = lb_op_want_weights(&one, LB_LINEAR_W, &rows, &k))) return s;
    }
    if (lb_arg(a, LB_LINEAR_BIAS) && (s = lb_op_want_vector(a, LB_LINEAR_BIAS, LB_F32, n, "f32[N of all matrices]")))
        return s;
    if ((s = lb_op_want(a, LB_LINEAR_OUT, LB_F32, 2, "f32[T, N of all matrices]"))) return s;
    const lb_tensor *o = lb_arg(a, LB_LINEAR_OUT);
    return o->dims[0] == x->dims[0] && o->dims[1] == n ? LB_OK
           : lb_op_bad(a, LB_LINEAR_OUT, "f32[T, N of all matrices]");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X), *o = lb_arg(a, LB_LINEAR_OUT);
    double t = (double)x->dims[0];
    *w = (lb_work){ .items = t, .item = "row" };
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++)
        w->flops += 2.0 * t * lb_op_products(a->t[LB_LINEAR_W].items[i]);
    if (t == 0) return;
    w->bytes = lb_op_bytes(x) + lb_op_bytes(o) + lb_op_bytes(lb_arg(a, LB_LINEAR_BIAS));
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) w->bytes += lb_op_bytes(a->t[LB_LINEAR_W].items[i]);
}

static void touch(const lb_args *a, int32_t pick, lb_touch_fn fn, void *ctx) {
    (void)pick;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count && lb_arg(a, LB_LINEAR_X)->dims[0] > 0; i++)
        fn(ctx, a->t[LB_LINEAR_W].items[i]);
}

/* A kernel that is built from panels sees the activations as each weight's panel does. */
static lb_act act_for(const lb_oracle_in *in, const lb_tensor *w) {
    const lb_kernel *panel = NULL;
    if (in->kernel->panel_weights && w->quantizer) panel = lb_kernel_panel_for(w->buffer->device, w->quantizer);
    return panel ? panel->act : in->kernel->act;
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X), *bias = lb_arg(a, LB_LINEAR_BIAS);
    int64_t m = x->dims[0], k = x->dims[1], n = lb_arg(a, LB_LINEAR_OUT)->dims[1], at = 0;
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_LINEAR_OUT, m * n, false);
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count && !s; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        int64_t rows = w->dims[0];
        double *xs = NULL, *part = malloc((size_t)(m * rows + 1) * sizeof *part);
        s = part ? lb_oracle_activations(x, act_for(in, w), &xs)
                 : lb_fail(LB_ENOMEM, "linear: no memory for the oracle");
        if (!s) s = lb_oracle_matmul(xs, m, w, rows, k, part);
        for (int64_t j = 0; j < m * rows && !s; j++) {
            int64_t column = at + j % rows;
            double y = part[j] + (bias ? (double)lb_tensor_f32(bias)[column] : 0);
            out[0].values[j / rows * n + column] = lb_op_activation_f64((int)a->p[LB_LINEAR_P_ACTIVATION], 0.01, y);
        }
        free(xs), free(part);
        at += rows;
    }
    return s;
}

static const lb_param_choices choices[] = { { "activation", lb_op_activations }, { .param = NULL } };
static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "[T, K] f32" },
    { "w", LB_WEIGHT, false, true, "[N, K] of any float type or quantizer; a list stands one below the other (Q,"
                                   " K, V)" },
    { "bias", LB_READ, true, false, "[N of all matrices] f32" },
    { "out", LB_WRITE, true, false, "[T, N of all matrices] f32" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "activation", false, 0, "what is done to the sums" },
    { .name = NULL },
};

const lb_op lb_op_linear = {
    .name = "linear",
    .fused = true,
    .about = "out = f(w x + bias); several w give one wide product",
    .operands = operands,
    .params = params,
    .choices = choices,
    .infer = infer,
    .check = check,
    .work = work,
    .touch = touch,
    .oracle = oracle,
};
