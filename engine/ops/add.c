/* add.c: out = a + b; b has a's shape or is one row for all (a bias). */
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    return lb_op_infer_like(a, LB_ADD_A, LB_F32, dtype, rank, dims);
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want_rows(a, LB_ADD_A, -1, "f32 rows [.., K]");
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_ADD_A), *b = lb_arg(a, LB_ADD_B);
    if ((s = lb_op_want_rows(a, LB_ADD_B, lb_row_length(x), "f32, the shape of 'a' or [K]"))) return s;
    if (b->rank != 1 && !lb_op_same_shape(x, b)) return lb_op_bad(a, LB_ADD_B, "f32, the shape of 'a' or [K]");
    if ((s = lb_op_want_rows(a, LB_ADD_OUT, -1, "f32, the shape of 'a'"))) return s;
    return lb_op_same_shape(x, lb_arg(a, LB_ADD_OUT)) ? LB_OK : lb_op_bad(a, LB_ADD_OUT, "f32, the shape of 'a'");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_ADD_A));
    *w = (lb_work){ .flops = n, .bytes = 8 * n + lb_op_bytes(lb_arg(a, LB_ADD_B)), .items = n, .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_tensor *x = lb_arg(in->args, LB_ADD_A), *b = lb_arg(in->args, LB_ADD_B);
    int64_t k = lb_row_length(x), rows = lb_row_count(x);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_ADD_OUT, rows * k, false);
    for (int64_t r = 0; !s && r < rows; r++)
        for (int64_t i = 0; i < k; i++)
            out[0].values[r * k + i] = (double)lb_row_f32(x, r)[i] + (double)lb_row_f32(b, b->rank == 1 ? 0 : r)[i];
    return s;
}

static const lb_operand_spec operands[] = {
    { "a", LB_READ, false, false, "rows [.., K] f32" },
    { "b", LB_READ, false, false, "f32, the shape of a, or [K]" },
    { "out", LB_WRITE, true, false, "f32, the shape of a" },
    { .name = NULL },
};

const lb_op lb_op_add = {
    .name = "add",
    .about = "out = a + b; b may be one row for all",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
