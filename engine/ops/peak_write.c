/* peak_write.c: how fast memory can be written past the caches. */
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)dtype, (void)rank, (void)dims;
    return lb_op_bad(a, slot, "the tensor to write");
}

static lb_status check(const lb_args *a) { return lb_op_want(a, LB_PEAK_WRITE_OUT, LB_F32, -1, "dense f32"); }

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *out = lb_arg(a, LB_PEAK_WRITE_OUT);
    *w = (lb_work){ .bytes = lb_op_bytes(out), .items = (double)lb_tensor_numel(out), .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    int64_t n = lb_tensor_numel(lb_arg(in->args, LB_PEAK_WRITE_OUT));
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_PEAK_WRITE_OUT, n, false);
    for (int64_t i = 0; !s && i < n; i++) out[0].values[i] = 1;
    return s;
}

static const lb_operand_spec operands[] = {
    { "out", LB_WRITE, false, false, "f32, any shape" },
    { .name = NULL },
};

const lb_op lb_op_peak_write = {
    .name = "peak_write",
    .about = "out[i] = 1: the bandwidth of stores that pass the caches by",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
