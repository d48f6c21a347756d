/* layer_norm_f32.h: the layer_norm kernels: mean, spread around it, then scaling; three passes over a row in the
 * cache. */
#include "vec.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_LAYER_NORM_X), *w = lb_arg(a, LB_LAYER_NORM_WEIGHT);
    const lb_tensor *b = lb_arg(a, LB_LAYER_NORM_BIAS), *o = lb_arg(a, LB_LAYER_NORM_OUT);
    int64_t k = lb_row_length(x), begin, end;
    my_rows(l, lb_row_count(x), &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *restrict row = lb_row_f32(x, r), *weight = w ? lb_tensor_f32(w) : NULL;
        const float *bias = b ? lb_tensor_f32(b) : NULL;
        float *restrict out = lb_row_f32(o, r), mean = row_sum(row, k, 0) / (float)k;
        float s = 1.0f / sqrtf(row_spread(row, k, mean) / (float)k + (float)a->p[LB_RMS_NORM_P_EPS]);
        for (int64_t i = 0; i < k; i++) out[i] = (row[i] - mean) * s;
        if (weight)
            for (int64_t i = 0; i < k; i++) out[i] *= weight[i];
        if (bias)
            for (int64_t i = 0; i < k; i++) out[i] += bias[i];
    }
}

const lb_kernel KERNEL_SYMBOL(layer_norm_f32) = {
    .name = "layer_norm.f32." ISA_TEXT, .op = "layer_norm", .device = "cpu",
    .about = "mean, then squares of the distances from it, then scaling; rows split over the parts",
    .source = "luabench", .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-11,
    .tolerance_why = "f32 sums in lanes; the mean's rounding counts where it is larger than the spread",
    .priority = ISA_PRIORITY, .launch = launch,
};
