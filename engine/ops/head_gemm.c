/* head_gemm.c: out[t][h] = w[h] x[t][h], a product for each head. */
#include <stdlib.h>

#include "../check.h"
#include "../kernel.h"
#include "../quantizer.h"
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *x = lb_arg(a, LB_HEAD_GEMM_X), *w = lb_arg(a, LB_HEAD_GEMM_W);
    (void)slot;
    if (x->rank != 3) return lb_op_bad(a, LB_HEAD_GEMM_X, "f32[T, H, K]");
    if (w->rank != 3) return lb_op_bad(a, LB_HEAD_GEMM_W, "weights [H, N, K]");
    *dtype = LB_F32;
    *rank = 3;
    dims[0] = x->dims[0];
    dims[1] = x->dims[1];
    dims[2] = w->dims[1];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want_rows(a, LB_HEAD_GEMM_X, -1, "f32[T, H, K]");
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_HEAD_GEMM_X), *w = lb_arg(a, LB_HEAD_GEMM_W);
    bool kind = w->dtype == LB_QUANT || w->dtype == LB_F32 || w->dtype == LB_F16 || w->dtype == LB_BF16;
    if (x->rank != 3) return lb_op_bad(a, LB_HEAD_GEMM_X, "f32[T, H, K]");
    if (!kind || w->rank != 3 || (w->dtype != LB_QUANT && !lb_tensor_is_dense(w)) || w->dims[0] != x->dims[1] ||
        w->dims[2] != x->dims[2])
        return lb_op_bad(a, LB_HEAD_GEMM_W, "dense weights [H, N, K] of f32, f16, bf16 or a quantizer, like 'x'");
    if ((s = lb_op_want_rows(a, LB_HEAD_GEMM_OUT, -1, "f32[T, H, N]"))) return s;
    const lb_tensor *o = lb_arg(a, LB_HEAD_GEMM_OUT);
    bool fits = o->rank == 3 && o->dims[0] == x->dims[0] && o->dims[1] == x->dims[1] && o->dims[2] == w->dims[1];
    return fits ? LB_OK : lb_op_bad(a, LB_HEAD_GEMM_OUT, "f32[T, H, N]");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *x = lb_arg(a, LB_HEAD_GEMM_X), *o = lb_arg(a, LB_HEAD_GEMM_OUT);
    double t = (double)x->dims[0];
    *w = (lb_work){ .flops = 2.0 * t * lb_op_products(lb_arg(a, LB_HEAD_GEMM_W)), .items = t, .item = "token" };
    w->bytes = t > 0 ? lb_op_bytes(lb_arg(a, LB_HEAD_GEMM_W)) + 4.0 * (double)lb_tensor_numel(x) + lb_op_bytes(o) : 0;
}

/* A kernel that is built from panels sees the activations as the format's panel does. */
static lb_act act_for(const lb_oracle_in *in, const lb_tensor *w) {
    const lb_kernel *panel = NULL;
    if (in->kernel->panel_weights && w->quantizer) panel = lb_kernel_panel_for(w->buffer->device, w->quantizer);
    return panel ? panel->act : in->kernel->act;
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_HEAD_GEMM_X), *w = lb_arg(a, LB_HEAD_GEMM_W);
    int64_t tokens = x->dims[0], heads = x->dims[1], k = x->dims[2], n = w->dims[1];
    double *row = malloc((size_t)(n * k + 1) * sizeof *row), *xs = malloc((size_t)(k + 1) * sizeof *xs);
    *count = 0;
    lb_status s = row && xs ? LB_OK : lb_fail(LB_ENOMEM, "head_gemm: no memory for a head");
    if (!s) s = lb_op_expect(out, count, "out", LB_HEAD_GEMM_OUT, tokens * heads * n, false);
    for (int64_t h = 0; h < heads && !s; h++) {
        s = lb_tensor_read_f64(w, h * n * k, n * k, row);
        for (int64_t t = 0; t < tokens && !s; t++) {
            lb_act_values_row(act_for(in, w), lb_row_f32(x, t * heads + h), k, xs);
            for (int64_t i = 0; i < n; i++) {
                double sum = 0;
                for (int64_t j = 0; j < k; j++) sum += row[i * k + j] * xs[j];
                out[0].values[(t * heads + h) * n + i] = sum;
            }
        }
    }
    free(row), free(xs);
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "[T, H, K] f32 (any strides)" },
    { "w", LB_WEIGHT, false, false, "[H, N, K] f32, f16, bf16 or of a quantizer" },
    { "out", LB_WRITE, true, false, "[T, H, N] f32" },
    { .name = NULL },
};

const lb_op lb_op_head_gemm = {
    .name = "head_gemm",
    .about = "out[t][h][n] = sum over k of x[t][h][k] * w[h][n][k] (absorbed projections of MLA)",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
