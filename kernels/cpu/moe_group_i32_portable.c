/* moe_group_i32_portable.c: sorts token slots by expert (a stable counting sort) and classes by their rows. */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

static int32_t *i32(const lb_args *a, int slot) { return lb_tensor_data(lb_arg(a, slot)); }

/* An expert or class read from a tensor indexes memory only if it is in range: `ids` are data, and data can be wrong
 * (the check then says so). Slots of no expert stand in no group; the rows after the last group are -1. */
static bool within(int32_t i, int64_t n) { return (uint32_t)i < (uint64_t)n; }

/* offsets[e + 1] counts expert e, then is its first row, and ends, after each slot took its place, as one past its
 * last: no other memory is needed. */
static void sort_slots(const int32_t *ids, int64_t slots, int64_t experts, int32_t *offsets, int32_t *rows) {
    memset(offsets, 0, (size_t)(experts + 1) * sizeof *offsets);
    for (int64_t i = 0; i < slots; i++)
        if (within(ids[i], experts)) offsets[ids[i] + 1]++;
    int32_t start = 0;
    for (int64_t e = 0; e < experts; e++) {
        int32_t count = offsets[e + 1];
        offsets[e + 1] = start;
        start += count;
    }
    for (int64_t i = start; i < slots; i++) rows[i] = -1;
    for (int64_t i = 0; i < slots; i++)
        if (within(ids[i], experts)) rows[offsets[ids[i] + 1]++] = (int32_t)i;
}

static void launch(const lb_args *a, const lb_launch *l) {
    (void)l;
    const int32_t *ids = i32(a, LB_GROUP_IDS), *cls = i32(a, LB_GROUP_CLASS);
    int32_t *offsets = i32(a, LB_GROUP_OFFSETS), *class_rows = i32(a, LB_GROUP_CLASS_ROWS);
    int32_t *grouped = i32(a, LB_GROUP_GROUPED), *rare = i32(a, LB_GROUP_RARE);
    int64_t slots = lb_tensor_numel(lb_arg(a, LB_GROUP_IDS)), experts = lb_arg(a, LB_GROUP_CLASS)->dims[0];
    int64_t classes = (int64_t)a->p[LB_GROUP_P_CLASSES];
    sort_slots(ids, slots, experts, offsets, i32(a, LB_GROUP_ROWS));
    memset(class_rows, 0, (size_t)classes * sizeof *class_rows);
    for (int64_t e = 0; e < experts; e++)
        if (within(cls[e], classes)) class_rows[cls[e]] += offsets[e + 1] - offsets[e];
    for (int64_t c = 0; c < classes; c++)
        grouped[c] = class_rows[c] > 0 && class_rows[c] >= a->p[LB_GROUP_P_THRESHOLD];
    for (int64_t i = 0; i < slots; i++) {
        int32_t c = within(ids[i], experts) ? cls[ids[i]] : -1;
        rare[i] = !(within(c, classes) && grouped[c]);
    }
}

const lb_kernel lb_kernel_moe_group_i32_portable = {
    .name = "moe_group.i32.portable",
    .op = "moe_group",
    .device = "cpu",
    .about = "counting sort in three passes over the slots, on one thread: stable, and the same for any thread count",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "i32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_NONE,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30,
    .tolerance_why = "integers must be equal",
    .priority = 1,
    .serial = true,
    .launch = launch,
};
