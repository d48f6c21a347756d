/* gemm_stored.c: gemm of x that is stored in a format already: what a library's product is, without making codes of
 * x. */
#include <stdlib.h>

#include "../check.h"
#include "../kernel.h"
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W);
    (void)slot;
    if (x->rank != 2) return lb_op_bad(a, LB_GEMM_X, "a matrix");
    if (w->rank != 2) return lb_op_bad(a, LB_GEMM_W, "a matrix");
    *dtype = LB_F32;
    *rank = 2;
    dims[0] = x->dims[0];
    dims[1] = w->dims[0];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W), *out = lb_arg(a, LB_GEMM_OUT);
    if (x->dtype != LB_QUANT || x->rank != 2) return lb_op_bad(a, LB_GEMM_X, "a matrix of a quantizer");
    if (w->dtype != LB_QUANT || w->rank != 2 || w->dims[1] != x->dims[1])
        return lb_op_bad(a, LB_GEMM_W, "a matrix of a quantizer, [N, K] with the K of 'x'");
    lb_status s = lb_op_want(a, LB_GEMM_OUT, LB_F32, 2, "f32[M, N]");
    if (!s && (out->dims[0] != x->dims[0] || out->dims[1] != w->dims[0])) s = lb_op_bad(a, LB_GEMM_OUT, "f32[M, N]");
    return s;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *weights = lb_arg(a, LB_GEMM_W);
    double m = (double)x->dims[0];
    (void)pick;
    *w = (lb_work){ .flops = 2.0 * m * (double)x->dims[1] * (double)weights->dims[0], .items = m, .item = "row" };
    w->bytes = m > 0 ? lb_op_bytes(x) + lb_op_bytes(weights) + lb_op_bytes(lb_arg(a, LB_GEMM_OUT)) : 0;
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_tensor *x = lb_arg(in->args, LB_GEMM_X), *w = lb_arg(in->args, LB_GEMM_W);
    int64_t m = x->dims[0], k = x->dims[1], n = w->dims[0];
    double *xs = malloc((size_t)(m * k + 1) * sizeof *xs);
    *count = 0;
    lb_status s = xs ? LB_OK : lb_fail(LB_ENOMEM, "gemm_stored: no memory for x");
    if (!s) s = lb_op_expect(out, count, "out", LB_GEMM_OUT, m * n, false);
    if (!s && m > 0 && k > 0) s = lb_tensor_read_f64(x, 0, m * k, xs);
    if (!s) s = lb_oracle_matmul(xs, m, w, n, k, out[0].values);
    free(xs);
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "[M, K] of a quantizer" },
    { "w", LB_WEIGHT, false, false, "[N, K] of a quantizer" },
    { "out", LB_WRITE, true, false, "[M, N] f32" },
    { .name = NULL },
};

const lb_op lb_op_gemm_stored = {
    .name = "gemm_stored",
    .about = "out[m][n] = sum over k of x[m][k] * w[n][k], x stored in a format as w is: gemm without "
             "making codes of x",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
