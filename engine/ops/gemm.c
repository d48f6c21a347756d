/* gemm.c: out[m][n] = sum over k of x[m][k] * w[n][k]. With x of f64 the weights and out are f64, too. */
#include <stdio.h>
#include <stdlib.h>

#include "../check.h"
#include "../kernel.h"
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W);
    if (slot != LB_GEMM_OUT || !x || !w || x->rank != 2 || w->rank != 2)
        return lb_op_bad(a, x && x->rank == 2 ? LB_GEMM_W : LB_GEMM_X, "a matrix");
    *dtype = x->dtype == LB_F64 ? LB_F64 : LB_F32;
    *rank = 2;
    dims[0] = x->dims[0];
    dims[1] = w->dims[0];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X);
    lb_dtype type = x && x->dtype == LB_F64 ? LB_F64 : LB_F32;
    lb_status s = lb_op_want(a, LB_GEMM_X, type, 2, "f32[M, K], or f64[M, K] with weights of f64");
    if (s) return s;
    int64_t n = -1, k = x->dims[1];
    if ((s = lb_op_want_weights(a, LB_GEMM_W, &n, &k))) return s;
    for (int32_t i = 0; type == LB_F64 && i < a->t[LB_GEMM_W].count; i++)
        if (a->t[LB_GEMM_W].items[i]->dtype != LB_F64) return lb_op_bad(a, LB_GEMM_W, "f64[N, K], as x is f64");
    if ((s = lb_op_want(a, LB_GEMM_OUT, type, 2, type == LB_F64 ? "f64[M, N]" : "f32[M, N]"))) return s;
    const lb_tensor *out = lb_arg(a, LB_GEMM_OUT);
    if (out->dims[0] != x->dims[0] || out->dims[1] != n) {
        char expected[64];
        snprintf(expected, sizeof expected, "%s[%lld, %lld]", lb_dtype_name(type), (long long)x->dims[0], (long long)n);
        return lb_op_bad(a, LB_GEMM_OUT, expected);
    }
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *weights = lb_op_item(a, LB_GEMM_W, pick);
    double m = (double)x->dims[0];
    w->flops = 2.0 * m * lb_op_products(weights);
    w->bytes = m > 0 ? lb_op_bytes(x) + lb_op_bytes(weights) + lb_op_bytes(lb_arg(a, LB_GEMM_OUT)) : 0;
    w->items = m;
    w->item = "row";
}

/* x as the kernel sees it: f64 as it is. */
static lb_status activations(const lb_tensor *x, lb_act act, double **out) {
    if (x->dtype != LB_F64) return lb_oracle_activations(x, act, out);
    int64_t count = lb_tensor_numel(x);
    *out = malloc((size_t)count * sizeof **out + 1);
    if (!*out) return lb_fail(LB_ENOMEM, "gemm: no memory for %lld activations", (long long)count);
    return lb_tensor_read_f64(x, 0, count, *out);
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_op_item(a, LB_GEMM_W, in->pick);
    int64_t m = x->dims[0], k = x->dims[1], n = w->dims[0];
    double *xs = NULL;
    *count = 0;
    lb_status s = activations(x, in->kernel->act, &xs);
    if (!s) s = lb_op_expect(out, count, "out", LB_GEMM_OUT, m * n, false);
    if (!s) s = lb_oracle_matmul(xs, m, w, n, k, out[0].values);
    free(xs);
    return s;
}

/* No rows, nothing read. */
static void touch(const lb_args *a, int32_t pick, lb_touch_fn fn, void *ctx) {
    if (lb_arg(a, LB_GEMM_X)->dims[0] > 0) fn(ctx, lb_op_item(a, LB_GEMM_W, pick));
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "[M, K] f32, activations; f64 with weights of f64" },
    { "w", LB_WEIGHT, false, true, "[N, K] of any float type or quantizer; a list is indexed by `pick`" },
    { "out", LB_WRITE, true, false, "[M, N] f32; f64 where x is" },
    { .name = NULL },
};

const lb_op lb_op_gemm = {
    .name = "gemm",
    .about = "out[m][n] = sum over k of x[m][k] * w[n][k]; M == 1 is a GEMV",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .touch = touch,
    .oracle = oracle,
};
