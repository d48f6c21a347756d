/* head_gemm_any.h: the head_gemm kernels: a few rows of a head's weights are expanded to f32 and meet all its
 * tokens. */
#include "cells.h"

enum { ROWS = 16 };

static void expand(const lb_tensor *w, int64_t h, int64_t row, int64_t count, float *out) {
    int64_t n = w->dims[1], k = w->dims[2];
    const char *data = lb_tensor_data(w);
    if (w->quantizer) {
        size_t matrix = w->quantizer->size_bytes(w->quantizer, n, k);
        w->quantizer->dequantize(w->quantizer, data + (size_t)h * matrix, n, k, row, row + count, out);
    } else {
        load_cells(w->dtype, LB_PACKED_NONE, data + (size_t)((h * n + row) * k) * lb_dtype_size(w->dtype), count * k,
                   out);
    }
}

/* Four rows of weights against one of x: each result is one sum in lanes, whatever it is computed with. */
static void dot4(const float *w, const float *x, int64_t k, int rows, float *out) {
    VF s[4] = { vf_zero(), vf_zero(), vf_zero(), vf_zero() };
    float tail[4] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= k; i += LANES)
        for (int r = 0; r < rows; r++) s[r] = vf_fma(vf_load(w + r * k + i), vf_load(x + i), s[r]);
    for (; i < k; i++)
        for (int r = 0; r < rows; r++) tail[r] += w[r * k + i] * x[i];
    for (int r = 0; r < rows; r++) out[r] = vf_sum(s[r]) + tail[r];
}

static size_t scratch_bytes(const lb_args *a) { return ((size_t)
        lb_arg(a, LB_HEAD_GEMM_W)->dims[2] * ROWS * 4 +
                                                                          63) / 64 * 64; }
static size_t workspace_bytes(const lb_args *a, int parts) { return scratch_bytes(a) * (size_t)parts; }

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_HEAD_GEMM_X), *w = lb_weight(a, l, LB_HEAD_GEMM_W);
    const lb_tensor *out = lb_arg(a, LB_HEAD_GEMM_OUT);
    float *rows = (float *)(void *)((char *)l->workspace + scratch_bytes(a) * (size_t)l->part);
    int64_t tokens = x->dims[0], heads = x->dims[1], k = x->dims[2], n = w->dims[1], blocks = (n + ROWS - 1) / ROWS;
    int64_t begin, end;
    if (tokens == 0) return;
    my_rows(l, heads * blocks, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t h = i / blocks, r0 = i % blocks * ROWS, count = n - r0 < ROWS ? n - r0 : ROWS;
        expand(w, h, r0, count, rows);
        for (int64_t t = 0; t < tokens; t++) {
            const float *row = lb_row_f32(x, t * heads + h);
            float *to = lb_row_f32(out, t * heads + h) + r0;
            for (int64_t r = 0; r < count; r += 4)
                dot4(rows + r * k, row, k, count - r < 4 ? (int)(count - r) : 4, to + r);
        }
    }
}

const lb_kernel KERNEL_SYMBOL(head_gemm_any) = {
    .name = "head_gemm.any." ISA_TEXT, .op = "head_gemm", .device = "cpu",
    .about = "16 rows of a head's weights expanded to f32 meet all tokens; runs of rows split over the parts",
    .source = "luabench", .isa = ISA_BITS, .format = "any", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-10, .tolerance_why = "f32 sums over K in lanes",
    .priority = ISA_PRIORITY, .workspace_bytes = workspace_bytes, .launch = launch,
};
