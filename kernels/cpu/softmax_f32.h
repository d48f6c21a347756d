/* softmax_f32.h: the softmax kernels: the maximum, exponentials and their sum, then a division. */
#include "vec.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_SOFTMAX_X), *o = lb_arg(a, LB_SOFTMAX_OUT);
    int64_t k = lb_row_length(x), begin, end;
    float scale = (float)a->p[LB_SOFTMAX_P_SCALE];
    my_rows(l, lb_row_count(x), &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *restrict row = lb_row_f32(x, r);
        float *restrict out = lb_row_f32(o, r);
        for (int64_t i = 0; i < k; i++) out[i] = row[i] * scale;
        float most = row_max(out, k);
        for (int64_t i = 0; i < k; i++) out[i] = vexp(out[i] - most);
        float inverse = 1.0f / row_sum(out, k, 0);
        for (int64_t i = 0; i < k; i++) out[i] *= inverse;
    }
}

const lb_kernel KERNEL_SYMBOL(softmax_f32) = {
    .name = "softmax.f32." ISA_TEXT, .op = "softmax", .device = "cpu",
    .about = "maximum, exponentials, sum, scaling: four passes over a row in the cache; rows split over the parts",
    .source = "luabench", .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-11,
    .tolerance_why = "scale * x is rounded before the exponential: 6e-8 of its size, which is an error of e^x as large",
    .priority = ISA_PRIORITY, .launch = launch,
};
