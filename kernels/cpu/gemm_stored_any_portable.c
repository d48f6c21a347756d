/* gemm_stored_any_portable.c: both factors become f32 row by row, sums are f64. The reference kernel. */
#include <string.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* x as f32 [M][K], then a row of w for each part. */
static size_t workspace_bytes(const lb_args *a, int parts) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X);
    return (size_t)(x->dims[0] + parts) * (size_t)x->dims[1] * sizeof(float);
}

static int phases(const lb_args *a) { return (void)a, 2; }

static void rows_of(const lb_tensor *t, int64_t row0, int64_t row1, float *to) {
    t->quantizer->dequantize(t->quantizer, lb_tensor_data(t), t->dims[0], t->dims[1], row0, row1, to);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W);
    int64_t m = x->dims[0], k = x->dims[1], n = w->dims[0], begin, end;
    float *xs = l->workspace, *row = xs + (m + l->part) * k, *out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT));
    lb_split(l->phase ? n : m, 1, l->part, l->parts, &begin, &end);
    if (l->phase == 0) {
        if (begin < end) rows_of(x, begin, end, xs + begin * k);
        return;
    }
    for (int64_t i = begin; i < end && m > 0; i++) {
        rows_of(w, i, i + 1, row);
        for (int64_t j = 0; j < m; j++) {
            double sum = 0;
            for (int64_t c = 0; c < k; c++) sum += (double)row[c] * (double)xs[j * k + c];
            out[j * n + i] = (float)sum;
        }
    }
}

const lb_kernel lb_kernel_gemm_stored_any_portable = {
    .name = "gemm_stored.any.portable",
    .op = "gemm_stored",
    .device = "cpu",
    .about = "both factors to f32, row by row, sums in f64",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "any",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F64,
    .tolerance = 1e-12,
    .tolerance_why = "sums in f64; the result is rounded to f32, 2^-25",
    .priority = 0,
    .phases = phases,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};
