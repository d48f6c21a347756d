/* advance.c: moves the lengths of a batch's sequences on and gives the positions of the new rows. */
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *lengths = lb_arg(a, LB_ADVANCE_LENGTHS);
    if (lb_arg(a, LB_ADVANCE_STARTS) || lengths->rank != 1)
        return lb_op_bad(a, slot, "i32[T] (with 'starts' the number of rows is not known when recording)");
    *dtype = LB_I32;
    *rank = 1;
    dims[0] = lengths->dims[0] * (int64_t)a->p[LB_ADVANCE_P_STEP];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_ADVANCE_LENGTHS, LB_I32, 1, "i32[B]"))) return s;
    if ((s = lb_op_want(a, LB_ADVANCE_POSITIONS, LB_I32, 1, "i32[T]"))) return s;
    if ((s = lb_op_want_integer(a, LB_ADVANCE_P_STEP, 0, 1 << 24))) return s;
    int64_t b = lb_arg(a, LB_ADVANCE_LENGTHS)->dims[0], t = lb_arg(a, LB_ADVANCE_POSITIONS)->dims[0];
    if (lb_arg(a, LB_ADVANCE_STARTS)) return lb_op_want_vector(a, LB_ADVANCE_STARTS, LB_I32, b + 1, "i32[B+1]");
    return t == b * (int64_t)a->p[LB_ADVANCE_P_STEP] ? LB_OK : lb_op_bad(a, LB_ADVANCE_POSITIONS, "i32[B * step]");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    *w = (lb_work){ .bytes = 2 * lb_op_bytes(lb_arg(a, LB_ADVANCE_LENGTHS)) +
                            lb_op_bytes(lb_arg(a, LB_ADVANCE_POSITIONS)) };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const int32_t *before = lb_tensor_data(in->before[LB_ADVANCE_LENGTHS]);
    int64_t b = lb_arg(a, LB_ADVANCE_LENGTHS)->dims[0], t = lb_arg(a, LB_ADVANCE_POSITIONS)->dims[0];
    lb_batch batch = lb_batch_of(t, b, lb_arg(a, LB_ADVANCE_STARTS), NULL);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "lengths", LB_ADVANCE_LENGTHS, b, false);
    if (!s) s = lb_op_expect(out, count, "positions", LB_ADVANCE_POSITIONS, t, false);
    if (s) return s;
    out[0].exact = out[1].exact = true;
    for (int64_t i = 0; i < b; i++) {
        int64_t begin, end;
        lb_batch_rows(&batch, i, &begin, &end);
        out[0].values[i] = (double)before[i] + (double)(end - begin);
        for (int64_t r = begin; r < end; r++) out[1].values[r] = (double)before[i] + (double)(r - begin);
    }
    return LB_OK;
}

static const lb_operand_spec operands[] = {
    { "starts", LB_READ, true, false, "[B+1] i32, the rows of each sequence; without it `step` each" },
    { "lengths", LB_UPDATE, false, false, "[B] i32; raised by each sequence's rows" },
    { "positions", LB_WRITE, true, false, "[T] i32, where each row is; 0 for padding" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "step", false, 1, "rows of each sequence, without `starts`" },
    { .name = NULL },
};

const lb_op lb_op_advance = {
    .name = "advance",
    .about = "lengths[b] += rows of b; positions[t] = where row t now is",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
