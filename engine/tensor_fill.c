/* tensor_fill.c: writing into existing tensors, and joining them. */
#include <stdlib.h>

#include "rng.h"
#include "tensor_ops_common.h"

typedef enum source { FROM_VALUE, FROM_TENSOR, FROM_NORMAL, FROM_UNIFORM } source;

typedef struct write_job {
    lb_tensor *to;
    source source;
    double value;
    const lb_tensor *from;
    uint64_t seed;
    float a, b;
} write_job;

/* Puts dense elements back at their strides. */
typedef struct scatter {
    const char *next;
    size_t size;
} scatter;

static void scatter_run(void *ctx, const void *dst, int64_t stride, int64_t n) {
    scatter *c = ctx;
    char *to = (char *)(uintptr_t)dst; /* lb_convert_runs walks for reading; this tensor is ours to write */
    if (stride == 1)
        memcpy(to, c->next, c->size * (size_t)n);
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * stride * (int64_t)c->size, c->next + (size_t)i * c->size, c->size);
    c->next += (size_t)n * c->size;
}

typedef union chunk {
    double f64[LB_OPS_CHUNK];
    float f32[LB_OPS_CHUNK];
    int64_t i64[LB_OPS_CHUNK];
} chunk;

typedef struct i64_reader {
    lb_dtype dtype;
    int64_t *out;
} i64_reader;

static void read_i64_run(void *ctx, const void *src, int64_t stride, int64_t n) {
    i64_reader *r = ctx;
    lb_convert_load_i64(r->dtype, src, stride, n, r->out);
    r->out += n;
}

/* Elements [at, at + n) of the source, in the destination's dtype. */
static void make_chunk(const write_job *j, int64_t at, int64_t n, chunk *c, chunk *out) {
    lb_dtype to = j->to->dtype;
    switch (j->source) {
    case FROM_VALUE:
        for (int64_t i = 0; i < n; i++) c->f64[i] = j->value;
        lb_convert_store_f64(to, c->f64, n, out);
        break;
    case FROM_TENSOR:
        if (lb_dtype_is_integer(j->from->dtype)) {
            i64_reader r = { j->from->dtype, c->i64 };
            lb_convert_runs(j->from, at, n, read_i64_run, &r);
            lb_convert_store_i64(to, c->i64, n, out);
        } else {
            lb_view_read(j->from, at, n, c->f64);
            lb_convert_store_f64(to, c->f64, n, out);
        }
        break;
    case FROM_NORMAL:
        lb_rng_normal_f32(j->seed, (uint64_t)at, n, j->a, j->b, c->f32);
        lb_convert_store_f32(to, c->f32, n, out);
        break;
    case FROM_UNIFORM:
        lb_rng_uniform_f32(j->seed, (uint64_t)at, n, j->a, j->b, c->f32);
        lb_convert_store_f32(to, c->f32, n, out);
        break;
    }
}

static void write_range(void *ctx, int64_t begin, int64_t end) {
    const write_job *j = ctx;
    chunk c, converted;
    for (int64_t at = begin; at < end; at += LB_OPS_CHUNK) {
        int64_t n = end - at < LB_OPS_CHUNK ? end - at : LB_OPS_CHUNK;
        make_chunk(j, at, n, &c, &converted);
        scatter s = { (const char *)&converted, lb_dtype_size(j->to->dtype) };
        lb_convert_runs(j->to, at, n, scatter_run, &s);
    }
}

/* f32 and dense: straight into the tensor. */
static void random_range(void *ctx, int64_t begin, int64_t end) {
    const write_job *j = ctx;
    float *out = (float *)lb_tensor_data(j->to) + begin;
    if (j->source == FROM_NORMAL)
        lb_rng_normal_f32(j->seed, (uint64_t)begin, end - begin, j->a, j->b, out);
    else
        lb_rng_uniform_f32(j->seed, (uint64_t)begin, end - begin, j->a, j->b, out);
}

static lb_status writable(const char *what, const lb_tensor *t) {
    char text[240];
    lb_tensor_describe(t, text, sizeof text);
    if (t->quantizer) return lb_fail(LB_EUNSUPPORTED, "%s: %s is quantized and cannot be written to", what, text);
    return LB_OK;
}

lb_status lb_tensor_fill(lb_tensor *t, double v) {
    lb_status s = writable("fill", t);
    if (s) return s;
    write_job j = { .to = t, .source = FROM_VALUE, .value = v };
    return lb_convert_for(t->buffer->device, lb_tensor_numel(t), LB_OPS_GRAIN, write_range, &j);
}

static lb_status fill_random(const char *what, lb_tensor *t, write_job *j) {
    lb_status s = writable(what, t);
    if (s) return s;
    if (lb_dtype_is_integer(t->dtype)) {
        char text[240];
        lb_tensor_describe(t, text, sizeof text);
        return lb_fail(LB_EINVAL, "%s: expected a float dtype, got %s", what, text);
    }
    bool straight = t->dtype == LB_F32 && lb_tensor_is_dense(t);
    return lb_convert_for(t->buffer->device, lb_tensor_numel(t), LB_OPS_GRAIN, straight ? random_range : write_range,
                          j);
}

lb_status lb_tensor_fill_randn(lb_tensor *t, uint64_t seed, float mean, float std) {
    if (!isfinite(mean) || !isfinite(std) || std < 0)
        return lb_fail(LB_EINVAL, "randn: got mean %g and std %g, expected finite numbers and std >= 0", (double)mean,
                       (double)std);
    write_job j = { .to = t, .source = FROM_NORMAL, .seed = seed, .a = mean, .b = std };
    return fill_random("randn", t, &j);
}

lb_status lb_tensor_fill_uniform(lb_tensor *t, uint64_t seed, float lo, float hi) {
    if (!isfinite(lo) || !isfinite(hi) || !(lo <= hi) || !isfinite(hi - lo))
        return lb_fail(LB_EINVAL, "uniform: got [%g, %g), expected finite bounds, the lower first", (double)lo,
                       (double)hi);
    write_job j = { .to = t, .source = FROM_UNIFORM, .seed = seed, .a = lo, .b = hi };
    return fill_random("uniform", t, &j);
}

lb_status lb_tensor_copy_into(lb_tensor *dst, const lb_tensor *src) {
    lb_operand_view view;
    lb_tensor *copy = NULL;
    char td[240], ts[240];
    lb_status s = writable("copy", dst);
    if (s) return s;
    lb_tensor_describe(dst, td, sizeof td);
    lb_tensor_describe(src, ts, sizeof ts);
    if (!lb_broadcasts_to(src, dst->rank, dst->dims))
        return lb_fail(LB_EINVAL, "copy: %s does not fit into %s", ts, td);
    if (src->buffer == dst->buffer && !src->quantizer) { /* may overlap: read all before writing */
        if ((s = lb_tensor_clone(src, &copy))) return s;
        src = copy;
    }
    if ((s = lb_view_open("copy", src, &view)) == LB_OK) {
        lb_view_broadcast(&view, dst->rank, dst->dims);
        write_job j = { .to = dst, .source = FROM_TENSOR, .from = &view.t };
        s = lb_convert_for(dst->buffer->device, lb_tensor_numel(dst), LB_OPS_GRAIN, write_range, &j);
        lb_view_done(&view);
    }
    lb_tensor_release(copy);
    return s;
}

/* ---- new tensors ---- */

lb_status lb_tensor_arange(lb_device *d, double start, double stop, double step, lb_dtype dtype, lb_tensor **out) {
    *out = NULL;
    double count = ceil((stop - start) / step);
    if (!isfinite(start) || !isfinite(stop) || !isfinite(step) || step == 0 || !(count < 9e15))
        return lb_fail(LB_EINVAL,
                       "arange: got start %g, stop %g, step %g, expected finite numbers and a step that is not 0",
                       start, stop, step);
    if (dtype == LB_QUANT || (unsigned)dtype >= LB_DTYPE_COUNT)
        return lb_fail(LB_EINVAL, "arange: expected an element type such as f32, got %s", lb_dtype_name(dtype));
    int64_t n = count > 0 ? (int64_t)count : 0;
    lb_tensor *t = NULL;
    lb_status s = lb_tensor_new(d, dtype, NULL, 1, &n, &t);
    if (s) return lb_fail_in(s, "arange");
    size_t size = lb_dtype_size(dtype);
    double v[LB_OPS_CHUNK];
    for (int64_t at = 0; at < n; at += LB_OPS_CHUNK) {
        int64_t m = n - at < LB_OPS_CHUNK ? n - at : LB_OPS_CHUNK;
        for (int64_t i = 0; i < m; i++) v[i] = start + (double)(at + i) * step;
        lb_convert_store_f64(dtype, v, m, (char *)lb_tensor_data(t) + (size_t)at * size);
    }
    *out = t;
    return LB_OK;
}

static lb_status not_joinable(const char *what, const lb_tensor *a, const lb_tensor *b, int i, const char *why) {
    char ta[240], tb[240];
    lb_tensor_describe(a, ta, sizeof ta);
    lb_tensor_describe(b, tb, sizeof tb);
    return lb_fail(LB_EINVAL, "%s: tensor %d is %s, the first is %s: %s", what, i + 1, tb, ta, why);
}

/* All of one dtype and rank, and of one size but for `free_dim` (-1 = none). */
static lb_status check_join(const char *what, const lb_tensor *const *tensors, int count, int free_dim) {
    if (count < 1) return lb_fail(LB_EINVAL, "%s: expected at least one tensor", what);
    const lb_tensor *first = tensors[0];
    for (int i = 0; i < count; i++) {
        const lb_tensor *t = tensors[i];
        if (t->quantizer)
            return not_joinable(what, first, t, i, "quantized tensors cannot be joined; dequantize them first");
        if (t->dtype != first->dtype) return not_joinable(what, first, t, i, "their dtypes must be equal");
        if (t->rank != first->rank) return not_joinable(what, first, t, i, "their ranks must be equal");
        for (int k = 0; k < t->rank; k++)
            if (k != free_dim && t->dims[k] != first->dims[k])
                return not_joinable(what, first, t, i, free_dim < 0 ? "their shapes must be equal"
                                                                    : "their other dimensions must be equal");
    }
    return LB_OK;
}

lb_status lb_tensor_cat(const lb_tensor *const *tensors, int count, int dim, lb_tensor **out) {
    lb_tensor *r = NULL, *part = NULL;
    int64_t dims[LB_MAX_RANK], at = 0;
    *out = NULL;
    lb_status s = check_join("cat", tensors, count, dim);
    if (s) return s;
    if (dim < 0 || dim >= tensors[0]->rank)
        return lb_fail(LB_EINVAL, "cat: got dimension %d, expected 0 to %d", dim, tensors[0]->rank - 1);
    memcpy(dims, tensors[0]->dims, sizeof dims);
    for (int i = 1; i < count; i++)
        if (__builtin_add_overflow(dims[dim], tensors[i]->dims[dim], &dims[dim]))
            return lb_fail(LB_EINVAL, "cat: the result is too large");
    if ((s = lb_tensor_new(tensors[0]->buffer->device, tensors[0]->dtype, NULL, tensors[0]->rank, dims, &r)))
        return lb_fail_in(s, "cat");
    for (int i = 0; i < count && !s; i++) {
        int64_t size = tensors[i]->dims[dim];
        if ((s = lb_tensor_slice(r, dim, at, at + size, &part))) break;
        s = lb_tensor_copy_into(part, tensors[i]);
        lb_tensor_release(part);
        at += size;
    }
    if (s)
        lb_tensor_release(r);
    else
        *out = r;
    return s;
}

lb_status lb_tensor_stack(const lb_tensor *const *tensors, int count, int dim, lb_tensor **out) {
    *out = NULL;
    lb_status s = check_join("stack", tensors, count, -1);
    if (s) return s;
    int rank = tensors[0]->rank;
    if (dim < 0 || dim > rank || rank == LB_MAX_RANK)
        return lb_fail(LB_EINVAL,
                       "stack: got dimension %d of tensors of rank %d, expected 0 to %d and a rank below %d", dim,
                       rank, rank, LB_MAX_RANK);
    int64_t dims[LB_MAX_RANK];
    memcpy(dims, tensors[0]->dims, sizeof dims);
    memmove(dims + dim + 1, dims + dim, sizeof *dims * (size_t)(rank - dim));
    dims[dim] = count;
    lb_tensor *r = NULL, *part = NULL;
    if ((s = lb_tensor_new(tensors[0]->buffer->device, tensors[0]->dtype, NULL, rank + 1, dims, &r)))
        return lb_fail_in(s, "stack");
    for (int i = 0; i < count && !s; i++) {
        if ((s = lb_tensor_slice(r, dim, i, i + 1, &part))) break;
        /* [.., 1, ..] without its 1: a view by hand, since reshape takes dense tensors only */
        for (int k = dim; k < rank; k++) part->dims[k] = part->dims[k + 1], part->strides[k] = part->strides[k + 1];
        part->rank = rank;
        s = lb_tensor_copy_into(part, tensors[i]);
        lb_tensor_release(part);
    }
    if (s)
        lb_tensor_release(r);
    else
        *out = r;
    return s;
}
