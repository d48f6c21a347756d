/* rms_norm_quantize_f32.h: the rms_norm_quantize kernels: blocks of 32 are scaled, measured and rounded in
 * registers. */
#include "vec.h"

enum { BLOCK = 32 };

/* As lb_act_quantize_row's LB_ACT_Q8_32: magnitudes as integers, of which NaN is the largest. */
static float quantize_block(const float *restrict y, int64_t n, int8_t *restrict q) {
    uint32_t bits = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t v = lb_f32_bits(y[i]) & 0x7fffffffu;
        bits = v > bits ? v : bits;
    }
    float most = lb_f32_from_bits(bits);
    if (most < 1e-36f) most = 0; /* the scale would be subnormal */
    float inverse = most > 0 ? 127.0f / most : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        float v = y[i] * inverse;
        q[i] = (int8_t)(int32_t)rintf(v == v ? v : 0.0f);
    }
    return most / 127.0f;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_RMS_NORM_Q_X), *w = lb_arg(a, LB_RMS_NORM_Q_WEIGHT);
    int64_t k = lb_row_length(x), blocks = (k + BLOCK - 1) / BLOCK, begin, end;
    int8_t *codes = lb_tensor_data(lb_arg(a, LB_RMS_NORM_Q_CODES));
    float *scales = lb_tensor_data(lb_arg(a, LB_RMS_NORM_Q_SCALES)), y[BLOCK];
    my_rows(l, lb_row_count(x), &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *row = lb_row_f32(x, r), *weight = w ? lb_tensor_f32(w) : NULL;
        float s = 1.0f / sqrtf(row_squares(row, k, 0) / (float)k + (float)a->p[LB_RMS_NORM_P_EPS]);
        for (int64_t b = 0; b < blocks; b++) {
            int64_t at = b * BLOCK, n = k - at < BLOCK ? k - at : BLOCK;
            for (int64_t i = 0; i < n; i++) y[i] = row[at + i] * s * (weight ? weight[at + i] : 1.0f);
            scales[r * blocks + b] = quantize_block(y, n, codes + r * k + at);
        }
    }
}

const lb_kernel KERNEL_SYMBOL(rms_norm_quantize_f32) = {
    .name = "rms_norm_quantize.f32." ISA_TEXT, .op = "rms_norm_quantize", .device = "cpu",
    .about = "a row's squares, then each block of 32 is scaled and rounded without the norm being stored",
    .source = "luabench", .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "the scales are a maximum of rounded norms, NMSE about 1e-14; codes are compared exactly",
    .priority = ISA_PRIORITY, .launch = launch,
};
