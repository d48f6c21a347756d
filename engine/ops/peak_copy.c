/* peak_copy.c: how fast memory can be copied. */
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *x = lb_arg(a, LB_PEAK_COPY_X);
    (void)slot;
    *dtype = LB_F32;
    *rank = x->rank;
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[i];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want(a, LB_PEAK_COPY_X, LB_F32, -1, "dense f32");
    if (!s) s = lb_op_want(a, LB_PEAK_COPY_OUT, LB_F32, -1, "dense f32");
    if (s) return s;
    bool same = lb_tensor_numel(lb_arg(a, LB_PEAK_COPY_X)) == lb_tensor_numel(lb_arg(a, LB_PEAK_COPY_OUT));
    return same ? LB_OK : lb_op_bad(a, LB_PEAK_COPY_OUT, "as many elements as x");
}

/* What is read and what is written, as STREAM counts; that a cache reads a line before it is written is not in it. */
static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_PEAK_COPY_X));
    *w = (lb_work){ .bytes = 8 * n, .items = n, .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const float *x = lb_op_f32(in->args, LB_PEAK_COPY_X);
    int64_t n = lb_tensor_numel(lb_arg(in->args, LB_PEAK_COPY_X));
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_PEAK_COPY_OUT, n, false);
    for (int64_t i = 0; !s && i < n; i++) out[0].values[i] = (double)x[i];
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "f32, dense" },
    { "out", LB_WRITE, false, false, "f32, as many elements" },
    { .name = NULL },
};

const lb_op lb_op_peak_copy = {
    .name = "peak_copy",
    .about = "out = x: the copy bandwidth, bytes read and bytes written",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
