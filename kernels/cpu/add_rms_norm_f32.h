/* add_rms_norm_f32.h: the add_rms_norm kernels: the sum is stored and squared in one pass, then scaled. */
#include "vec.h"

/* Squares are summed in row_squares' order, so that the result is that of a residual and an rms_norm, bit for bit. */
static float add_row(const float *restrict x, float *restrict h, int64_t n) {
    VF a[4] = { vf_zero(), vf_zero(), vf_zero(), vf_zero() };
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int c = 0; c < 4; c++) {
            VF v = vf_load(h + i + c * LANES) + vf_load(x + i + c * LANES);
            vf_store(h + i + c * LANES, v);
            a[c] = vf_fma(v, v, a[c]);
        }
    float s = vf_sum((a[0] + a[1]) + (a[2] + a[3]));
    for (; i < n; i++) h[i] += x[i], s += h[i] * h[i];
    return s;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_ADD_RMS_NORM_X), *w = lb_arg(a, LB_ADD_RMS_NORM_WEIGHT);
    const lb_tensor *h = lb_arg(a, LB_ADD_RMS_NORM_H), *o = lb_arg(a, LB_ADD_RMS_NORM_OUT);
    int64_t k = lb_row_length(x), begin, end;
    my_rows(l, lb_row_count(x), &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        float *restrict hr = lb_row_f32(h, r), *restrict out = lb_row_f32(o, r);
        const float *restrict weight = w ? lb_tensor_f32(w) : NULL;
        float mean = add_row(lb_row_f32(x, r), hr, k) / (float)k;
        float s = 1.0f / sqrtf(mean + (float)a->p[LB_RMS_NORM_P_EPS]);
        if (weight)
            for (int64_t i = 0; i < k; i++) out[i] = hr[i] * s * weight[i];
        else
            for (int64_t i = 0; i < k; i++) out[i] = hr[i] * s;
    }
}

const lb_kernel KERNEL_SYMBOL(add_rms_norm_f32) = {
    .name = "add_rms_norm.f32." ISA_TEXT, .op = "add_rms_norm", .device = "cpu",
    .about = "the sum is stored and its squares are summed in one pass, then the row is scaled from the cache",
    .source = "luabench", .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "f32 sums of squares in lanes and three roundings: NMSE of 1e-14 to 1e-13",
    .priority = ISA_PRIORITY, .launch = launch,
};
