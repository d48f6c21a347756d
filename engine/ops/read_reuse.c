/* read_reuse.c: reads blocks of x several times each, while they are in a cache. */
#include <math.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)a, (void)slot;
    *dtype = LB_F32;
    *rank = 1;
    dims[0] = 64;
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want(a, LB_READ_REUSE_X, LB_F32, -1, "dense f32");
    if (s) return s;
    if ((s = lb_op_want_vector(a, LB_READ_REUSE_SINK, LB_F32, 64, "f32[64]"))) return s;
    if ((s = lb_op_want_integer(a, LB_READ_REUSE_P_TIMES, 1, 1 << 20))) return s;
    return lb_op_want_integer(a, LB_READ_REUSE_P_BLOCK, 1, (int64_t)1 << 40);
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_READ_REUSE_X)), times = a->p[LB_READ_REUSE_P_TIMES];
    *w = (lb_work){ .flops = n * times, .bytes = 4 * n + 256, .items = n * times, .item = "element" };
}

/* The share of a part is decided by the kernel, so only the sum over all parts can be known. */
static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const float *x = lb_op_f32(in->args, LB_READ_REUSE_X), *sink = lb_op_f32(in->args, LB_READ_REUSE_SINK);
    int64_t n = lb_tensor_numel(lb_arg(in->args, LB_READ_REUSE_X));
    double sum = 0, sizes = 0, got = 0, times = in->args->p[LB_READ_REUSE_P_TIMES];
    *count = 0;
    lb_status s = lb_op_expect(out, count, "sink", LB_READ_REUSE_SINK, 64, false);
    if (s) return s;
    for (int64_t i = 0; i < n; i++) sum += times * (double)x[i], sizes += times * fabs((double)x[i]);
    for (int i = 0; i < 64; i++) got += (double)sink[i];
    bool near = fabs(got - sum) <= 1e-4 * sizes || (!isfinite(got) && !isfinite(sum)); /* NaN is not near a number */
    for (int i = 0; i < 64; i++) out[0].values[i] = near ? (double)sink[i] : i ? 0 : sum;
    return LB_OK;
}

static const lb_operand_spec operands[] = {
    { "x", LB_WEIGHT, false, false, "f32, dense" },
    { "sink", LB_WRITE, true, false, "[64] f32, sums that add up to x's" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "block", false, 4096, "elements that are read again before going on" },
    { "times", false, 8, "how often" },
    { .name = NULL },
};

const lb_op lb_op_read_reuse = {
    .name = "read_reuse",
    .about = "sums blocks of x `times` times each: bandwidth of the cache that a block fits",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
