/* empty_none_portable.c: a kernel that does nothing, so that what is timed is the launch itself. */
#include "engine/kernel.h"

static void launch(const lb_args *a, const lb_launch *l) {
    (void)a, (void)l;
}

const lb_kernel lb_kernel_empty_none_portable = {
    .name = "empty.none.portable",
    .op = "empty",
    .device = "cpu",
    .about = "returns at once",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = NULL,
    .act = LB_ACT_F32,
    .acc = LB_ACC_NONE,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30,
    .tolerance_why = "nothing is computed",
    .priority = 1,
    .serial = true,
    .launch = launch,
};
