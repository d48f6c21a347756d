/* scatter.c: out[ids[i]] = x[i], whole rows; the others stay. */
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)dtype, (void)rank, (void)dims;
    return lb_op_bad(a, slot, "the tensor to write rows of (it is updated in place)");
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_SCATTER_X, LB_F32, 2, "dense f32[T, K]"))) return s;
    if ((s = lb_op_want(a, LB_SCATTER_IDS, LB_I32, 1, "i32[T]"))) return s;
    if ((s = lb_op_want(a, LB_SCATTER_OUT, LB_F32, 2, "dense f32[N, K]"))) return s;
    const lb_tensor *x = lb_arg(a, LB_SCATTER_X), *out = lb_arg(a, LB_SCATTER_OUT);
    if (x->dims[0] != lb_arg(a, LB_SCATTER_IDS)->dims[0] || out->dims[1] != x->dims[1])
        return lb_op_bad(a, LB_SCATTER_OUT, "f32[N, K], with a row of T for each id");
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double t = (double)lb_arg(a, LB_SCATTER_IDS)->dims[0], k = (double)lb_arg(a, LB_SCATTER_X)->dims[1];
    *w = (lb_work){ .bytes = t * (8 * k + 4), .items = t, .item = "row" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_SCATTER_X), *to = lb_arg(a, LB_SCATTER_OUT);
    int64_t tokens = lb_arg(a, LB_SCATTER_IDS)->dims[0], k = x->dims[1], n = to->dims[0];
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_SCATTER_OUT, lb_tensor_numel(to), true);
    for (int64_t t = 0; t < tokens && !s; t++) {
        int64_t id = lb_op_i32(a, LB_SCATTER_IDS)[t];
        if (id < 0 || id >= n) continue;
        for (int64_t i = 0; i < k; i++) out[0].values[id * k + i] = (double)lb_op_f32(a, LB_SCATTER_X)[t * k + i];
        memset(out[0].mask + id * k, 1, (size_t)k);
    }
    if (!s) out[0].exact = true;
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "[T, K] f32" },
    { "ids", LB_READ, false, false, "[T] i32" },
    { "out", LB_UPDATE, false, false, "[N, K] f32" },
    { .name = NULL },
};

const lb_op lb_op_scatter = {
    .name = "scatter",
    .about = "out[ids[i]] = x[i], the last of equal ids wins; ids out of range are left out",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
