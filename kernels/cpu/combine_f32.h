/* combine_f32.h: the combine kernels. */
#include "engine/ops/slots.h"
#include "vec.h"

/* Splits the T * H outputs, so that a single token too is shared by all parts. */
static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *weights = lb_arg(a, LB_COMBINE_WEIGHTS), *shared = lb_arg(a, LB_COMBINE_SHARED);
    int64_t k = weights->dims[1], h = lb_arg(a, LB_COMBINE_Y)->dims[1], begin, end;
    const float *w = lb_tensor_f32(weights), *y = lb_tensor_f32(lb_arg(a, LB_COMBINE_Y));
    float *out = lb_tensor_data(lb_arg(a, LB_COMBINE_OUT));
    lb_split(weights->dims[0] * h, 16, l->part, l->parts, &begin, &end);
    while (begin < end) {
        int64_t t = begin / h, column = begin % h, n = h - column < end - begin ? h - column : end - begin;
        float *o = out + begin;
        if (shared) memcpy(o, lb_tensor_f32(shared) + begin, (size_t)n * sizeof *o);
        else memset(o, 0, (size_t)n * sizeof *o);
        for (int64_t s = t * k; s < (t + 1) * k; s++) add_scaled(w[s], y + s * h + column, o, n);
        begin += n;
    }
}

const lb_kernel KERNEL_SYMBOL(combine_f32) = {
    .name = "combine.f32." ISA_TEXT,
    .op = "combine",
    .device = "cpu",
    .about = "the shared expert's row, then one multiply-add pass a slot, in slot order; split over tokens and columns",
    .source = "luabench",
    .isa = ISA_BITS,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-11,
    .tolerance_why = "k + 1 terms added in f32, about 1e-14, and room for sums that cancel",
    .priority = ISA_PRIORITY,
    .launch = launch,
};
