/* choose.c: picks, per batch, the strategy whose measured cost model predicts the least time. */
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    if (lb_arg(a, LB_CHOOSE_COSTS)->rank != 2) return lb_op_bad(a, LB_CHOOSE_COSTS, "f32[S, 3]");
    *dtype = LB_I32;
    *rank = 1;
    dims[0] = lb_arg(a, LB_CHOOSE_COSTS)->dims[0];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_CHOOSE_OFFSETS, LB_I32, 1, "i32[E+1]"))) return s;
    if ((s = lb_op_want(a, LB_CHOOSE_COSTS, LB_F32, 2, "f32[S, 3]"))) return s;
    if ((s = lb_op_want(a, LB_CHOOSE_FLAGS, LB_I32, 1, "i32[S]"))) return s;
    const lb_tensor *costs = lb_arg(a, LB_CHOOSE_COSTS);
    if (lb_arg(a, LB_CHOOSE_OFFSETS)->dims[0] < 2) return lb_op_bad(a, LB_CHOOSE_OFFSETS, "at least one expert");
    if (costs->dims[0] < 1 || costs->dims[1] != 3) return lb_op_bad(a, LB_CHOOSE_COSTS, "f32[S, 3], S >= 1");
    if (lb_arg(a, LB_CHOOSE_FLAGS)->dims[0] != costs->dims[0]) return lb_op_bad(a, LB_CHOOSE_FLAGS, "i32[S]");
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    *w = (lb_work){ .flops = 4.0 * (double)lb_arg(a, LB_CHOOSE_COSTS)->dims[0], .item = NULL };
    for (int slot = LB_CHOOSE_OFFSETS; slot <= LB_CHOOSE_FLAGS; slot++) w->bytes += lb_op_bytes(lb_arg(a, slot));
}

/* Candidates within f32 rounding of the least may each win, so they are not compared; all others must be 0. */
static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    int64_t candidates = lb_arg(a, LB_CHOOSE_COSTS)->dims[0], experts = lb_arg(a, LB_CHOOSE_OFFSETS)->dims[0] - 1;
    const int32_t *offsets = lb_op_i32(a, LB_CHOOSE_OFFSETS);
    const float *costs = lb_op_f32(a, LB_CHOOSE_COSTS);
    double rows = offsets[experts], distinct = 0, best = INFINITY, second = INFINITY;
    int64_t chosen = 0;
    for (int64_t e = 0; e < experts; e++) distinct += offsets[e + 1] > offsets[e];
    for (int64_t i = 0; i < candidates; i++) {
        double c = (double)costs[3 * i] + (double)costs[3 * i + 1] * rows + (double)costs[3 * i + 2] * distinct;
        if (c < best) second = best, best = c, chosen = i;
        else if (c < second) second = c;
    }
    *count = 0;
    lb_status s = lb_op_expect(out, count, "flags", LB_CHOOSE_FLAGS, candidates, true);
    if (s) return s;
    out[0].exact = true;
    out[0].values[chosen] = 1;
    bool tie = second - best <= 1e-5 * fabs(best);
    for (int64_t i = 0; i < candidates; i++) {
        double c = (double)costs[3 * i] + (double)costs[3 * i + 1] * rows + (double)costs[3 * i + 2] * distinct;
        out[0].mask[i] = !tie || !(c - best <= 1e-5 * fabs(best));
    }
    return LB_OK;
}

static const lb_operand_spec operands[] = {
    { "offsets", LB_READ, false, false, "[E+1] i32 from moe_group: rows and distinct experts of this batch" },
    { "costs", LB_READ, false, false, "[S, 3] f32, ns: c[0] + c[1] * rows + c[2] * distinct experts" },
    { "flags", LB_WRITE, true, false, "[S] i32, 1 for the chosen candidate, else 0" },
    { .name = NULL },
};

const lb_op lb_op_choose = {
    .name = "choose",
    .about = "marks the candidate with the least predicted cost for this batch's rows and distinct experts",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
