/* moe_group.c: sorts token slots by expert and counts rows per class of experts. */
#include <stdio.h>

#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    *dtype = LB_I32;
    *rank = 1;
    switch (slot) {
    case LB_GROUP_OFFSETS: dims[0] = lb_arg(a, LB_GROUP_CLASS)->dims[0] + 1; return LB_OK;
    case LB_GROUP_ROWS:
    case LB_GROUP_RARE: dims[0] = lb_tensor_numel(lb_arg(a, LB_GROUP_IDS)); return LB_OK;
    default: break;
    }
    lb_status s = lb_op_want_integer(a, LB_GROUP_P_CLASSES, 1, 1 << 20);
    dims[0] = (int64_t)a->p[LB_GROUP_P_CLASSES];
    return s;
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_GROUP_IDS, LB_I32, 2, "i32[T, k]"))) return s;
    if ((s = lb_op_want(a, LB_GROUP_CLASS, LB_I32, 1, "i32[E]"))) return s;
    if ((s = lb_op_want_integer(a, LB_GROUP_P_CLASSES, 1, 1 << 20))) return s;
    if ((s = lb_op_want_integer(a, LB_GROUP_P_THRESHOLD, 0, INT32_MAX))) return s;
    int64_t experts = lb_arg(a, LB_GROUP_CLASS)->dims[0], slots = lb_tensor_numel(lb_arg(a, LB_GROUP_IDS));
    int64_t classes = (int64_t)a->p[LB_GROUP_P_CLASSES];
    if (slots > INT32_MAX) return lb_op_bad(a, LB_GROUP_IDS, "fewer than 2^31 slots, which i32 numbers");
    for (int64_t e = 0; e < experts; e++) {
        int32_t c = lb_op_i32(a, LB_GROUP_CLASS)[e];
        if (c < 0 || c >= classes)
            return lb_fail(LB_EINVAL, "moe_group: class of expert %lld is %d, expected 0 to %lld", (long long)e, c,
                           (long long)classes - 1);
    }
    const int64_t want[] = { [LB_GROUP_OFFSETS] = experts + 1, [LB_GROUP_ROWS] = slots, [LB_GROUP_CLASS_ROWS] = classes,
                             [LB_GROUP_GROUPED] = classes, [LB_GROUP_RARE] = slots };
    for (int slot = LB_GROUP_OFFSETS; slot <= LB_GROUP_RARE; slot++) {
        if ((s = lb_op_want(a, slot, LB_I32, 1, "i32"))) return s;
        if (lb_arg(a, slot)->dims[0] == want[slot]) continue;
        char expected[48];
        snprintf(expected, sizeof expected, "i32[%lld]", (long long)want[slot]);
        return lb_op_bad(a, slot, expected);
    }
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    *w = (lb_work){ .items = (double)lb_arg(a, LB_GROUP_IDS)->dims[0], .item = "token" };
    for (int slot = LB_GROUP_IDS; slot <= LB_GROUP_RARE; slot++) w->bytes += lb_op_bytes(lb_arg(a, slot));
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    int64_t experts = lb_arg(a, LB_GROUP_CLASS)->dims[0], slots = lb_tensor_numel(lb_arg(a, LB_GROUP_IDS));
    int64_t classes = (int64_t)a->p[LB_GROUP_P_CLASSES];
    const int32_t *ids = lb_op_i32(a, LB_GROUP_IDS), *cls = lb_op_i32(a, LB_GROUP_CLASS);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "offsets", LB_GROUP_OFFSETS, experts + 1, false);
    if (!s) s = lb_op_expect(out, count, "rows", LB_GROUP_ROWS, slots, false);
    if (!s) s = lb_op_expect(out, count, "class_rows", LB_GROUP_CLASS_ROWS, classes, false);
    if (!s) s = lb_op_expect(out, count, "grouped", LB_GROUP_GROUPED, classes, false);
    if (!s) s = lb_op_expect(out, count, "rare", LB_GROUP_RARE, slots, false);
    if (s) return s;
    for (int64_t i = 0; i < slots; i++)
        if (ids[i] < 0 || ids[i] >= experts)
            return lb_fail(LB_EINVAL, "moe_group: ids[%lld] is %d, expected 0 to %lld", (long long)i, ids[i],
                           (long long)experts - 1);
    double *offsets = out[0].values, *rows = out[1].values, *class_rows = out[2].values;
    int64_t at = 0;
    for (int64_t e = 0; e < experts; e++) {
        for (int64_t i = 0; i < slots; i++)
            if (ids[i] == e) rows[at++] = (double)i, class_rows[cls[e]]++;
        offsets[e + 1] = (double)at;
    }
    for (int64_t c = 0; c < classes; c++)
        out[3].values[c] = class_rows[c] > 0 && class_rows[c] >= a->p[LB_GROUP_P_THRESHOLD];
    for (int64_t i = 0; i < slots; i++) out[4].values[i] = out[3].values[cls[ids[i]]] == 0;
    for (int i = 0; i < *count; i++) out[i].exact = true;
    return LB_OK;
}

static const lb_operand_spec operands[] = {
    { "ids", LB_READ, false, false, "[T, k] i32, experts from 0" },
    { "class", LB_READ, false, false, "[E] i32, each expert's class (its tuple of formats), from 0" },
    { "offsets", LB_WRITE, true, false, "[E+1] i32: slots of expert e are rows[offsets[e]] to rows[offsets[e+1] - 1]" },
    { "rows", LB_WRITE, true, false, "[T*k] i32, slots (t * k + s) sorted by expert, stably" },
    { "class_rows", LB_WRITE, true, false, "[classes] i32, rows of each class" },
    { "grouped", LB_WRITE, true, false, "[classes] i32, 1 if a class has rows, and at least `threshold` of them" },
    { "rare", LB_WRITE, true, false, "[T*k] i32, 1 if the slot's class is not grouped" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "classes", true, 0, "number of classes" },
    { "threshold", false, 1, "least rows of a grouped class" },
    { .name = NULL },
};

const lb_op lb_op_moe_group = {
    .name = "moe_group",
    .about = "sorts the T*k slots by expert and counts rows per class",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
