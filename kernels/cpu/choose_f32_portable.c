/* choose_f32_portable.c: flags the candidate whose cost model predicts the least time for this batch. */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

static void launch(const lb_args *a, const lb_launch *l) {
    (void)l;
    const lb_tensor *starts = lb_arg(a, LB_CHOOSE_OFFSETS), *models = lb_arg(a, LB_CHOOSE_COSTS);
    const int32_t *offsets = lb_tensor_data(starts);
    const float *c = lb_tensor_f32(models);
    int32_t *flags = lb_tensor_data(lb_arg(a, LB_CHOOSE_FLAGS));
    int64_t experts = starts->dims[0] - 1, candidates = models->dims[0], best = 0, distinct = 0;
    for (int64_t e = 0; e < experts; e++) distinct += offsets[e + 1] > offsets[e];
    double rows = offsets[experts], least = 0;
    for (int64_t i = 0; i < candidates; i++, c += 3) {
        /* f64, so that near ties fall as exact arithmetic has them */
        double cost = (double)c[0] + (double)c[1] * rows + (double)c[2] * (double)distinct;
        if (i == 0 || cost < least) least = cost, best = i;
        flags[i] = 0;
    }
    flags[best] = 1;
}

const lb_kernel lb_kernel_choose_f32_portable = {
    .name = "choose.f32.portable",
    .op = "choose",
    .device = "cpu",
    .about = "counts the experts that have rows, evaluates each candidate's cost, flags the first least one",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30,
    .tolerance_why = "flags are 0 or 1 and must be equal",
    .priority = 1,
    .serial = true,
    .launch = launch,
};
