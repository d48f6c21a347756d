/* rms_norm_f32.h: the rms_norm kernels: a row's squares are summed, then the row is scaled. */
#include "vec.h"

static void scale_row(const float *restrict x, const float *restrict w, float s, int64_t n, float *restrict out) {
    if (w)
        for (int64_t i = 0; i < n; i++) out[i] = x[i] * s * w[i];
    else
        for (int64_t i = 0; i < n; i++) out[i] = x[i] * s;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_RMS_NORM_X), *w = lb_arg(a, LB_RMS_NORM_WEIGHT), *o = lb_arg(a, LB_RMS_NORM_OUT);
    int64_t k = lb_row_length(x), begin, end;
    my_rows(l, lb_row_count(x), &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *row = lb_row_f32(x, r);
        float mean = row_squares(row, k, 0) / (float)k;
        scale_row(row, w ? lb_tensor_f32(w) : NULL, 1.0f / sqrtf(mean + (float)a->p[LB_RMS_NORM_P_EPS]), k,
                  lb_row_f32(o, r));
    }
}

const lb_kernel KERNEL_SYMBOL(rms_norm_f32) = {
    .name = "rms_norm.f32." ISA_TEXT, .op = "rms_norm", .device = "cpu",
    .about = "a row's squares in four vectors of sums, then one pass that scales; rows split over the parts",
    .source = "luabench", .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "f32 sums of squares in at least 16 lanes and three roundings: NMSE of 1e-14 to 1e-13",
    .priority = ISA_PRIORITY, .launch = launch,
};
