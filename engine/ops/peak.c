/* peak.c: how fast the arithmetic units go: independent multiply-accumulate chains of one type. */

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
    lb_status s = lb_op_want(a, LB_PEAK_SINK, LB_F32, 1, "f32[64]");
    if (s) return s;
    if (lb_arg(a, LB_PEAK_SINK)->dims[0] != 64) return lb_op_bad(a, LB_PEAK_SINK, "f32[64]");
    return lb_op_want_integer(a, LB_PEAK_P_ROUNDS, 1, 1 << 30);
}

/* Of one part; the ceilings multiply by the device's threads. */
static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    *w = (lb_work){ .flops = LB_PEAK_OPS_PER_ROUND * a->p[LB_PEAK_P_ROUNDS], .bytes = 256 };
}

/* What the chains add up to is the kernel's own affair: that every part wrote a finite value, and nothing else was
 * written, is all that is asked. */
static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const float *sink = lb_op_f32(in->args, LB_PEAK_SINK);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "sink", LB_PEAK_SINK, 64, true);
    for (int i = 0; !s && i < lb_op_parts(in, LB_PEAK_SINK) && i < 64; i++) {
        out[0].mask[i] = 1;
        out[0].values[i] = isfinite(sink[i]) ? (double)sink[i] : 0;
    }
    return s;
}

static const lb_operand_spec operands[] = {
    { "sink", LB_PARTIAL, true, false, "[64] f32, one value per part" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "rounds", false, 16, "rounds of 2^20 operations per part" },
    { .name = NULL },
};

const lb_op lb_op_peak = {
    .name = "peak",
    .about = "multiply-accumulate chains in registers: the peak rate of one type",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
