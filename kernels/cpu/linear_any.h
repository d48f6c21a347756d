/* linear_any.h: the linear kernels for weights of every type: a few rows expanded to f32 meet all rows of x. */
#include "activate.h"
#include "cells.h"

enum { ROWS = 16 };

static void expand(const lb_tensor *w, int64_t row, int64_t count, float *out) {
    int64_t n = w->dims[0], k = w->dims[1];
    const char *data = lb_tensor_data(w);
    if (w->quantizer) {
        w->quantizer->dequantize(w->quantizer, data, n, k, row, row + count, out);
    } else if (w->dtype == LB_F64) {
        for (int64_t i = 0; i < count * k; i++) out[i] = (float)((const double *)(const void *)data)[row * k + i];
    } else {
        load_cells(w->dtype, LB_PACKED_NONE, data + (size_t)(row * k) * lb_dtype_size(w->dtype), count * k, out);
    }
}

static float dot(const float *w, const float *x, int64_t k) {
    VF s[4] = { vf_zero(), vf_zero(), vf_zero(), vf_zero() };
    int64_t i = 0;
    for (; i + 4 * LANES <= k; i += 4 * LANES)
        for (int c = 0; c < 4; c++) s[c] = vf_fma(vf_load(w + i + c * LANES), vf_load(x + i + c * LANES), s[c]);
    float sum = vf_sum((s[0] + s[1]) + (s[2] + s[3]));
    for (; i < k; i++) sum += w[i] * x[i];
    return sum;
}

static size_t scratch_bytes(const lb_args *a) { return ((size_t)
        lb_arg(a, LB_LINEAR_X)->dims[1] * ROWS * 4 +
                                                                          127) / 64 * 64; }
static size_t workspace_bytes(const lb_args *a, int parts) { return scratch_bytes(a) * (size_t)parts; }

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X), *o = lb_arg(a, LB_LINEAR_OUT), *b = lb_arg(a, LB_LINEAR_BIAS);
    float *rows = (float *)(void *)((char *)l->workspace + scratch_bytes(a) * (size_t)l->part), sums[ROWS];
    int64_t m = x->dims[0], k = x->dims[1], n = o->dims[1], at = 0;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count && m > 0; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        int64_t begin, end;
        lb_split(w->dims[0], ROWS, l->part, l->parts, &begin, &end);
        for (int64_t r = begin; r < end; r += ROWS) {
            int64_t count = end - r < ROWS ? end - r : ROWS;
            expand(w, r, count, rows);
            for (int64_t t = 0; t < m; t++) {
                for (int64_t j = 0; j < count; j++)
                    sums[j] = dot(rows + j * k, lb_tensor_f32(x) + t * k,
                                  k) + (b ? lb_tensor_f32(b)[at + r + j] : 0.0f);
                activate((int)a->p[LB_LINEAR_P_ACTIVATION], 0.01f, sums, count,
                         (float *)lb_tensor_data(o) + t * n + at + r);
            }
        }
        at += w->dims[0];
    }
}

const lb_kernel KERNEL_SYMBOL(linear_any) = {
    .name = "linear.any." ISA_TEXT, .op = "linear", .device = "cpu",
    .about = "16 rows of weights expanded to f32 meet all rows of x; bias and activation on the sums; rows of"
             " weights split"
             " over the parts",
    .source = "luabench", .isa = ISA_BITS, .format = "any", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-10,
    .tolerance_why = "f32 sums over K in lanes; f64 weights are rounded to f32",
    .priority = ISA_PRIORITY, .workspace_bytes = workspace_bytes, .launch = launch,
};
