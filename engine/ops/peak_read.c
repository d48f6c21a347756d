/* peak_read.c: how fast memory can be read: the sum of a buffer. */
#include "../kernel.h"
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)a, (void)slot;
    *dtype = LB_F32;
    *rank = 1;
    dims[0] = 64;
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want(a, LB_PEAK_READ_X, LB_F32, -1, "dense f32");
    if (s) return s;
    if ((s = lb_op_want(a, LB_PEAK_READ_SINK, LB_F32, 1, "f32[64]"))) return s;
    if (lb_arg(a, LB_PEAK_READ_SINK)->dims[0] != 64) return lb_op_bad(a, LB_PEAK_READ_SINK, "f32[64]");
    return lb_op_want_integer(a, LB_PEAK_READ_P_ROUNDS, 1, 1 << 30);
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_PEAK_READ_X)) * a->p[LB_PEAK_READ_P_ROUNDS];
    *w = (lb_work){ .flops = n, .bytes = 4.0 * n + 256.0, .items = n, .item = "element" };
}

/* Each part's sum, to within what f32 sums of so many elements may lose; the parts that are none write nothing. */
static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const float *x = lb_op_f32(in->args, LB_PEAK_READ_X), *sink = lb_op_f32(in->args, LB_PEAK_READ_SINK);
    int64_t n = lb_tensor_numel(lb_arg(in->args, LB_PEAK_READ_X));
    int parts = lb_op_parts(in, LB_PEAK_READ_SINK);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "sink", LB_PEAK_READ_SINK, 64, true);
    for (int part = 0; !s && part < parts && part < 64; part++) {
        int64_t begin, end;
        double sum = 0, sizes = 0;
        lb_split(n, 1024, part, parts, &begin, &end);
        for (int64_t i = begin; i < end; i++) sum += (double)x[i], sizes += fabs((double)x[i]);
        bool near = fabs((double)sink[part] - sum) <= 1e-4 * sizes; /* false for NaN */
        out[0].mask[part] = 1;
        out[0].values[part] = near ? (double)sink[part] : sum;
    }
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_WEIGHT, false, false, "f32, dense" },
    { "sink", LB_PARTIAL, true, false, "[64] f32, one partial sum per part" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "rounds", false, 1, "times that x is read" },
    { .name = NULL },
};

const lb_op lb_op_peak_read = {
    .name = "peak_read",
    .about = "reads all bytes of x: the read bandwidth",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
