/* advance_i32_portable.c: lengths of sequences move on; positions of the new rows. */
#include "engine/kernel.h"
#include "engine/ops/kv.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *p = lb_arg(a, LB_ADVANCE_POSITIONS), *n = lb_arg(a, LB_ADVANCE_LENGTHS);
    int32_t *positions = lb_tensor_data(p), *lengths = lb_tensor_data(n);
    lb_batch batch = lb_batch_of(p->dims[0], n->dims[0], lb_arg(a, LB_ADVANCE_STARTS), NULL);
    (void)l;
    memset(positions, 0, (size_t)p->dims[0] * sizeof *positions);
    for (int64_t b = 0; b < batch.sequences; b++) {
        int64_t begin, end;
        lb_batch_rows(&batch, b, &begin, &end);
        for (int64_t r = begin; r < end; r++) positions[r] = (int32_t)(lengths[b] + (r - begin));
        lengths[b] = (int32_t)((uint32_t)lengths[b] + (uint32_t)(end - begin));
    }
}

const lb_kernel lb_kernel_advance_i32_portable = {
    .name = "advance.i32.portable", .op = "advance", .device = "cpu",
    .about = "a loop over the sequences and their rows",
    .source = "luabench", .isa = LB_ISA_PORTABLE, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "integers", .priority = 1, .serial = true, .launch = launch,
};
