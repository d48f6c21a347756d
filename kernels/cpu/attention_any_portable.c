/* attention_any_portable.c: attention as it is written: all scores of a row, their softmax, the weighted sum. */
#include "cells.h"

static size_t scratch_floats(const lb_args *a) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q);
    lb_kv k = lb_kv_of(lb_arg(a, LB_ATTENTION_K), lb_arg(a, LB_ATTENTION_PAGES), (int)a->p[LB_ATTENTION_P_PACKED]);
    return ((size_t)k.capacity + (size_t)q->dims[2] + (size_t)lb_arg(a, LB_ATTENTION_OUT)->dims[2] + 31) / 16 * 16;
}
static size_t workspace_bytes(const lb_args *a, int parts) { return scratch_floats(a) * 4 * (size_t)parts; }

typedef struct job {
    lb_kv k, v;
    int64_t dim, values, group;
    float scale;
    const float *sinks;
    float *scores, *row;
} job;

static float dot(const float *x, const float *y, int64_t n) {
    VF s = vf_zero();
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) s = vf_fma(vf_load(x + i), vf_load(y + i), s);
    float sum = vf_sum(s);
    for (; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void one_row(const job *j, const float *q, int64_t b, int64_t h, int64_t lo, int64_t hi, float *out) {
    int64_t g = h / j->group;
    float most = j->sinks ? j->sinks[h] : -INFINITY;
    for (int64_t i = 0; i < j->values; i++) out[i] = 0;
    if (hi <= lo) return;
    for (int64_t s = lo; s < hi; s++) {
        load_cells(j->k.dtype, j->k.packed, lb_kv_row(&j->k, b, g, s), j->dim, j->row);
        j->scores[s] = dot(q, j->row, j->dim) * j->scale;
    }
    float top = row_max(j->scores + lo, hi - lo);
    most = top > most ? top : most;
    for (int64_t s = lo; s < hi; s++) j->scores[s] = vexp(j->scores[s] - most);
    float sum = row_sum(j->scores + lo, hi - lo, 0) + (j->sinks ? vexp(j->sinks[h] - most) : 0);
    for (int64_t s = lo; s < hi; s++) {
        load_cells(j->v.dtype, j->v.packed, lb_kv_row(&j->v, b, g, s), j->values, j->row);
        float p = j->scores[s] / sum;
        for (int64_t i = 0; i < j->values; i++) out[i] = FMAF(p, j->row[i], out[i]);
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *v = lb_arg(a, LB_ATTENTION_V), *pages =
        lb_arg(a, LB_ATTENTION_PAGES);
    const lb_tensor *o = lb_arg(a, LB_ATTENTION_OUT), *sinks = lb_arg(a, LB_ATTENTION_SINKS);
    int64_t heads = q->dims[1], begin, end;
    int packed = (int)a->p[LB_ATTENTION_P_PACKED];
    job j = { .k = lb_kv_of(lb_arg(a, LB_ATTENTION_K), pages, packed),
              .v = lb_kv_of(v ? v : lb_arg(a, LB_ATTENTION_K), pages, packed), .dim = q->dims[2], .values = o->dims[2],
              .scale = (float)a->p[LB_ATTENTION_P_SCALE], .sinks = sinks ? lb_tensor_f32(sinks) : NULL };
    j.group = heads / j.k.heads;
    if (j.scale == 0) j.scale = 1.0f / sqrtf((float)j.dim);
    j.scores = (float *)l->workspace + scratch_floats(a) * (size_t)l->part;
    j.row = j.scores + j.k.capacity;
    lb_batch batch = lb_batch_of(q->dims[0], pages ? pages->dims[0] : lb_arg(a, LB_ATTENTION_K)->dims[0],
                                 lb_arg(a, LB_ATTENTION_STARTS), lb_arg(a, LB_ATTENTION_LENGTHS));
    my_rows(l, q->dims[0] * heads, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t t = i / heads, h = i % heads, b = lb_batch_owner(&batch, t), lo = 0, hi = 0, first, last;
        if (b >= 0) {
            int64_t raw = batch.lengths ? batch.lengths[b] : j.k.capacity;
            lb_batch_rows(&batch, b, &first, &last);
            lb_attention_span(a, raw - (last - t), lb_kv_length(&j.k, b, raw), &lo, &hi);
        }
        one_row(&j, lb_row_f32(q, i), b, h, lo, hi, (float *)lb_tensor_data(o) + i * j.values);
    }
}

const lb_kernel lb_kernel_attention_any_portable = {
    .name = "attention.any.naive", .op = "attention", .device = "cpu",
    .about = "a row of all scores in memory, its softmax, then the weighted sum; rows of heads split over the"
             " parts; every"
             " other kernel is measured against it",
    .source = "luabench", .isa = LB_ISA_PORTABLE, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-10, .tolerance_why = "a score's f32 rounding, 6e-8 of its size, is an error of its exponential"
                                         " as large",
    .priority = 0, .workspace_bytes = workspace_bytes, .launch = launch,
};
