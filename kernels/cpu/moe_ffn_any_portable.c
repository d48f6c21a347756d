/* moe_ffn_any_portable.c: the experts of one class, row of weights by row of weights, in plain C; the reference.
 *
 * Each weight row is expanded to f32 by its quantizer once and meets every routed row; products are summed in f64. */
#include <math.h>
#include <string.h>

#include "../../engine/kernel.h"
#include "../../engine/ops/slots.h"

static bool supports(const lb_args *a, const char **why) {
    for (int slot = LB_FFN_GATE; slot <= LB_FFN_DOWN; slot++)
        for (int32_t e = 0; e < a->t[slot].count; e++) {
            lb_dtype d = a->t[slot].items[e]->dtype;
            if (d == LB_QUANT || d == LB_F32 || d == LB_F16 || d == LB_BF16) continue;
            *why = "an expert's weights are neither quantized nor f32, f16 or bf16";
            return false;
        }
    return true;
}

static int64_t longest(const lb_args *a) {
    int64_t hidden = lb_arg(a, LB_FFN_X)->dims[1], inner = lb_arg(a, LB_FFN_H)->dims[1];
    return hidden > inner ? hidden : inner;
}

/* Two rows of weights for each part, a multiple of 64 bytes each. */
static size_t row_bytes(const lb_args *a) { return ((size_t)longest(a) * sizeof(float) + 63) / 64 * 64; }

static size_t workspace_bytes(const lb_args *a, int parts) { return 2 * row_bytes(a) * (size_t)parts; }

/* Row `row` of w, [n][k], as f32 in `to`. */
static void expand_row(const lb_tensor *w, int64_t row, float *to) {
    int64_t n = w->dims[0], k = w->dims[1];
    const void *data = lb_tensor_data(w);
    if (w->dtype == LB_QUANT) {
        w->quantizer->dequantize(w->quantizer, data, n, k, row, row + 1, to);
    } else if (w->dtype == LB_F32) {
        memcpy(to, (const float *)data + row * k, (size_t)k * sizeof(float));
    } else {
        const uint16_t *from = (const uint16_t *)data + row * k;
        for (int64_t i = 0; i < k; i++) to[i] = w->dtype == LB_F16 ? lb_f16_to_f32(from[i]) : lb_bf16_to_f32(from[i]);
    }
}

static double dot(const float *restrict w, const float *restrict x, int64_t k) {
    double sum[4] = { 0, 0, 0, 0 };
    int64_t i = 0;
    for (; i + 4 <= k; i += 4)
        for (int j = 0; j < 4; j++) sum[j] += (double)w[i + j] * (double)x[i + j];
    for (; i < k; i++) sum[0] += (double)w[i] * (double)x[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double bias_of(const lb_args *a, int slot, int32_t e, int64_t row) {
    const lb_tensor *b = lb_arg(a, slot);
    return b ? (double)lb_tensor_f32(b)[e * b->dims[1] + row] : 0;
}

static double gated(const lb_args *a, double gate, double up) {
    double alpha = a->p[LB_FFN_P_ALPHA], limit = a->p[LB_FFN_P_LIMIT];
    if (limit <= 0) return gate / (1.0 + exp(-gate)) * up;
    gate = gate > limit ? limit : gate;                 /* NaN stays */
    up = up > limit ? limit : up < -limit ? -limit : up;
    return (up + 1) * gate / (1 + exp(-alpha * gate));
}

/* Rows [begin, end) of h (phase 0) or y (phase 1) for one expert's slots. */
static void expert_rows(const lb_args *a, int phase, int32_t e, const int32_t *slots, int32_t count, int64_t begin,
                        int64_t end, float *w0, float *w1) {
    int64_t hidden = lb_arg(a, LB_FFN_X)->dims[1], inner = lb_arg(a, LB_FFN_H)->dims[1];
    int64_t k = lb_arg(a, LB_FFN_ROWS)->dims[0] / lb_arg(a, LB_FFN_X)->dims[0];
    const float *x = lb_tensor_f32(lb_arg(a, LB_FFN_X));
    float *h = lb_tensor_data(lb_arg(a, LB_FFN_H)), *y = lb_tensor_data(lb_arg(a, LB_FFN_Y));
    for (int64_t row = begin; row < end; row++) {
        expand_row(a->t[phase ? LB_FFN_DOWN : LB_FFN_GATE].items[e], row, w0);
        if (!phase) expand_row(a->t[LB_FFN_UP].items[e], row, w1);
        for (int32_t i = 0; i < count; i++) {
            int64_t r = slots[i];
            if (phase) {
                y[r * hidden + row] = (float)(dot(w0, h + r * inner, inner) + bias_of(a, LB_FFN_DOWN_BIAS, e, row));
                continue;
            }
            double gate = dot(w0, x + r / k * hidden, hidden), up = dot(w1, x + r / k * hidden, hidden);
            h[r * inner + row] = (float)gated(a, gate + bias_of(a, LB_FFN_GATE_BIAS, e, row),
                                              up + bias_of(a, LB_FFN_UP_BIAS, e, row));
        }
    }
}

static int phases(const lb_args *a) {
    (void)a;
    return 2;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const int32_t *offsets = lb_tensor_data(lb_arg(a, LB_FFN_OFFSETS)), *cls = lb_tensor_data(lb_arg(a, LB_FFN_CLASS));
    const int32_t *rows = lb_tensor_data(lb_arg(a, LB_FFN_ROWS));
    double only = a->p[LB_FFN_P_CLASS];
    float *w0 = (float *)(void *)((char *)l->workspace + 2 * row_bytes(a) * (size_t)l->part);
    float *w1 = (float *)(void *)((char *)w0 + row_bytes(a));
    int64_t begin, end, n = lb_arg(a, l->phase ? LB_FFN_Y : LB_FFN_H)->dims[1];
    lb_split(n, 1, l->part, l->parts, &begin, &end);
    for (int32_t e = 0; e < a->t[LB_FFN_GATE].count; e++) {
        if (only >= 0 && cls[e] != (int32_t)only) continue;
        int32_t count = offsets[e + 1] - offsets[e];
        if (count > 0) expert_rows(a, l->phase, e, rows + offsets[e], count, begin, end, w0, w1);
    }
}

const lb_kernel lb_kernel_moe_ffn_any_portable = {
    .name = "moe_ffn.any.portable",
    .op = "moe_ffn",
    .device = "cpu",
    .about = "plain C, weight rows expanded to f32 by their quantizer, sums in f64",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "any",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F64,
    .tolerance = 1e-13,
    .tolerance_why = "sums and the exponential in f64; the results are rounded to f32 once: about 1e-15",
    .priority = 0,
    .supports = supports,
    .phases = phases,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};
