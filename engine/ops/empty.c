/* empty.c: the operation that does nothing, for the cost of a launch. */
#include "../op.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)a, (void)slot, (void)dtype, (void)rank, (void)dims;
    return lb_fail(LB_EINTERNAL, "empty has no outputs");
}
static lb_status check(const lb_args *a) {
    (void)a;
    return LB_OK;
}
static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)a, (void)pick;
    *w = (lb_work){ 0 };
}
/* Nothing is written, so nothing is expected. */
static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    (void)in, (void)out;
    *count = 0;
    return LB_OK;
}

static const lb_operand_spec operands[] = { { .name = NULL } };

const lb_op lb_op_empty = {
    .name = "empty",
    .about = "does nothing: what a launch itself costs",
    .operands = operands,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
