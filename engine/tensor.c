/* tensor.c: dtype + shape + strides over a refcounted buffer; views, size arithmetic, single elements. */
#include "tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quantizer.h"
#include "tensor_convert.h"

/* "[2, 3]" */
static void describe_dims(int rank, const int64_t *dims, char *out, size_t out_bytes) {
    size_t at = 0;
    at += (size_t)snprintf(out, out_bytes, "[");
    for (int i = 0; i < rank && at < out_bytes; i++)
        at += (size_t)snprintf(out + at, out_bytes - at, "%s%lld", i ? ", " : "", (long long)dims[i]);
    if (at < out_bytes) snprintf(out + at, out_bytes - at, "]");
}

void lb_tensor_describe(const lb_tensor *t, char *out, size_t out_bytes) {
    char dims[200];
    describe_dims(t->rank, t->dims, dims, sizeof dims);
    snprintf(out, out_bytes, "%s%s%s%s", t->quantizer ? t->quantizer->name : lb_dtype_name(t->dtype), dims,
             t->layout ? " in layout " : "", t->layout ? t->layout : "");
}

/* Elements of a shape; fails if dims are negative or the count times 8 bytes does not fit (zero-sized dims do not
 * excuse the others: a view may drop them). */
static lb_status count_elements(int rank, const int64_t *dims, int64_t *numel) {
    char text[200];
    int64_t n = 1;
    bool zero = false;
    if (rank < 0 || rank > LB_MAX_RANK)
        return lb_fail(LB_EINVAL, "tensor: got %d dimensions, expected 0 to %d", rank, LB_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0) {
            describe_dims(rank, dims, text, sizeof text);
            return lb_fail(LB_EINVAL, "tensor: dimension %d of %s is negative", i + 1, text);
        }
        if (dims[i] == 0)
            zero = true;
        else if (__builtin_mul_overflow(n, dims[i], &n) || n > INT64_MAX / 8) {
            describe_dims(rank, dims, text, sizeof text);
            return lb_fail(LB_ENOMEM, "tensor: %s has more elements than any memory can hold", text);
        }
    }
    *numel = zero ? 0 : n;
    return LB_OK;
}

int64_t lb_tensor_numel(const lb_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dims[i];
    return n;
}

void lb_tensor_matrices(const lb_tensor *t, int64_t *count, int64_t *n, int64_t *k) {
    *count = 1;
    for (int i = 0; i + 2 < t->rank; i++) *count *= t->dims[i];
    *n = t->rank >= 2 ? t->dims[t->rank - 2] : 1;
    *k = t->rank >= 1 ? t->dims[t->rank - 1] : 1;
}

bool lb_tensor_is_dense(const lb_tensor *t) {
    if (t->dtype == LB_QUANT) return true;
    int64_t expected = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dims[i] == 0) return true;
        if (t->dims[i] != 1 && t->strides[i] != expected) return lb_tensor_numel(t) == 0;
        expected *= t->dims[i];
    }
    return true;
}

size_t lb_tensor_size_bytes(const lb_tensor *t) {
    if (t->layout) return t->layout_bytes;
    if (t->dtype != LB_QUANT) return (size_t)lb_tensor_numel(t) * lb_dtype_size(t->dtype);
    int64_t count, n, k;
    lb_tensor_matrices(t, &count, &n, &k);
    return (size_t)count * t->quantizer->size_bytes(t->quantizer, n, k);
}

/* Checks dtype, quantizer and shape, and fills everything but the buffer. */
static lb_status shape(lb_tensor *t, lb_dtype dtype, const lb_quantizer *q, int rank, const int64_t *dims) {
    int64_t numel;
    char text[200];
    lb_status s = count_elements(rank, dims, &numel);
    if (s) return s;
    if ((unsigned)dtype >= LB_DTYPE_COUNT) return lb_fail(LB_EINVAL, "tensor: unknown dtype %d", (int)dtype);
    if ((dtype == LB_QUANT) != (q != NULL))
        return lb_fail(LB_EINVAL, "tensor: %s", q ? "a quantizer goes with dtype 'quantized' only"
                                                  : "dtype 'quantized' needs a quantizer");
    if (q) {
        describe_dims(rank, dims, text, sizeof text);
        if (rank < 2)
            return lb_fail(LB_EINVAL, "%s: expected a matrix [N, K] or a stack of them, got %s", q->name, text);
        if (dims[rank - 1] % q->k_multiple)
            return lb_fail(LB_EINVAL,
                           "%s: K = %lld (the last dimension of %s) is not a multiple of its block of %lld; pad K or "
                           "choose a format with a smaller block",
                           q->name, (long long)dims[rank - 1], text, (long long)q->k_multiple);
    }
    t->dtype = dtype;
    t->quantizer = q;
    t->rank = rank;
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        t->dims[i] = dims[i];
        t->strides[i] = stride;
        stride *= dims[i] ? dims[i] : 1;
    }
    return LB_OK;
}

static lb_tensor *new_header(void) {
    lb_tensor *t = calloc(1, sizeof *t);
    if (t)
        atomic_init(&t->refs, 1);
    else
        lb_fail(LB_ENOMEM, "tensor: no memory for its header");
    return t;
}

lb_status lb_tensor_new(lb_device *d, lb_dtype dtype, const lb_quantizer *q, int rank, const int64_t *dims,
                        lb_tensor **out) {
    *out = NULL;
    lb_tensor *t = new_header();
    if (!t) return LB_ENOMEM;
    lb_status s = shape(t, dtype, q, rank, dims);
    if (s) goto fail;
    if ((s = lb_buffer_new(d, lb_tensor_size_bytes(t), &t->buffer))) {
        char text[240];
        lb_tensor_describe(t, text, sizeof text);
        s = lb_fail_in(s, "tensor %s", text);
        goto fail;
    }
    *out = t;
    return LB_OK;
fail:
    free(t);
    return s;
}

lb_status lb_tensor_wrap(lb_buffer *b, size_t offset_bytes, lb_dtype dtype, const lb_quantizer *q, int rank,
                         const int64_t *dims, lb_tensor **out) {
    char text[240];
    *out = NULL;
    lb_tensor *t = new_header();
    if (!t) return LB_ENOMEM;
    lb_status s = shape(t, dtype, q, rank, dims);
    if (s) goto fail;
    size_t size = lb_tensor_size_bytes(t), align = q ? 1 : lb_dtype_size(dtype);
    lb_tensor_describe(t, text, sizeof text);
    if (offset_bytes > b->size_bytes || size > b->size_bytes - offset_bytes) {
        s = lb_fail(LB_EINVAL, "tensor %s needs %zu bytes at offset %zu, its buffer has %zu", text, size, offset_bytes,
                    b->size_bytes);
        goto fail;
    }
    if (((uintptr_t)b->data + offset_bytes) % align) {
        s = lb_fail(LB_EINVAL, "tensor %s: offset %zu is not a multiple of its element's %zu bytes", text, offset_bytes,
                    align);
        goto fail;
    }
    t->buffer = lb_buffer_retain(b);
    t->offset_bytes = offset_bytes;
    *out = t;
    return LB_OK;
fail:
    free(t);
    return s;
}

lb_tensor *lb_tensor_retain(lb_tensor *t) {
    if (t) atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void lb_tensor_release(lb_tensor *t) {
    while (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) {
        lb_tensor *next = t->repacked; /* each owns the next of the list */
        lb_buffer_release(t->buffer);
        free(t);
        t = next;
    }
}

/* ---- views ---- */

/* A header over the same buffer, without the cache of other layouts. */
static lb_tensor *view_of(const lb_tensor *t) {
    lb_tensor *v = new_header();
    if (!v) return NULL;
    v->dtype = t->dtype;
    v->quantizer = t->quantizer;
    v->rank = t->rank;
    memcpy(v->dims, t->dims, sizeof v->dims);
    memcpy(v->strides, t->strides, sizeof v->strides);
    v->buffer = lb_buffer_retain(t->buffer);
    v->offset_bytes = t->offset_bytes;
    return v;
}

lb_status lb_tensor_new_repacked(const lb_tensor *t, const char *layout, size_t bytes, lb_buffer *b, lb_tensor **out) {
    *out = new_header();
    if (!*out) return LB_ENOMEM;
    lb_tensor *r = *out;
    r->dtype = t->dtype;
    r->quantizer = t->quantizer;
    r->layout = layout;
    r->layout_bytes = bytes;
    r->rank = t->rank;
    memcpy(r->dims, t->dims, sizeof r->dims);
    memcpy(r->strides, t->strides, sizeof r->strides);
    r->buffer = lb_buffer_retain(b);
    return LB_OK;
}

static lb_status no_layout(const lb_tensor *t, const char *what) {
    if (!t->layout) return LB_OK;
    char text[240];
    lb_tensor_describe(t, text, sizeof text);
    return lb_fail(LB_EUNSUPPORTED, "%s: %s is repacked for one kernel; use the tensor that it was made from", what,
                   text);
}

/* Replaces a -1 by what makes the counts equal. */
static lb_status infer_dim(const lb_tensor *t, int rank, const int64_t *dims, int64_t *full) {
    char from[200], to[200];
    int unknown = -1;
    int64_t known = 1, have = lb_tensor_numel(t);
    if (rank < 0 || rank > LB_MAX_RANK)
        return lb_fail(LB_EINVAL, "reshape: got %d dimensions, expected 0 to %d", rank, LB_MAX_RANK);
    lb_tensor_describe(t, from, sizeof from);
    describe_dims(rank, dims, to, sizeof to);
    for (int i = 0; i < rank; i++) {
        full[i] = dims[i];
        if (dims[i] == -1 && unknown < 0)
            unknown = i;
        else if (dims[i] < 0)
            return lb_fail(LB_EINVAL, "reshape: %s to %s: %s", from, to,
                           dims[i] == -1 ? "only one dimension may be -1" : "a dimension is negative");
        else if (__builtin_mul_overflow(known, dims[i], &known))
            return lb_fail(LB_EINVAL, "reshape: %s to %s: too many elements", from, to);
    }
    if (unknown >= 0 && (known == 0 || have % known))
        return lb_fail(LB_EINVAL, "reshape: %s has %lld elements, no size fits for the -1 of %s", from,
                       (long long)have, to);
    if (unknown >= 0)
        full[unknown] = have / known;
    else if (known != have)
        return lb_fail(LB_EINVAL, "reshape: %s has %lld elements, %s would have %lld", from, (long long)have, to,
                       (long long)known);
    return LB_OK;
}

lb_status lb_tensor_reshape(const lb_tensor *t, int rank, const int64_t *dims, lb_tensor **out) {
    int64_t full[LB_MAX_RANK];
    char text[240];
    *out = NULL;
    lb_status s = no_layout(t, "reshape");
    if (s || (s = infer_dim(t, rank, dims, full))) return s;
    lb_tensor_describe(t, text, sizeof text);
    if (t->quantizer && (rank < 2 || full[rank - 1] != t->dims[t->rank - 1] || full[rank - 2] != t->dims[t->rank - 2]))
        return lb_fail(LB_EINVAL, "reshape: the last two dimensions of quantized %s cannot change", text);
    if (!lb_tensor_is_dense(t))
        return lb_fail(LB_EINVAL, "reshape: this view %s is not dense; make a dense copy first, with clone", text);
    lb_tensor *v = view_of(t);
    if (!v) return LB_ENOMEM;
    if ((s = shape(v, t->dtype, t->quantizer, rank, full))) {
        lb_tensor_release(v);
        return s;
    }
    *out = v;
    return LB_OK;
}

lb_status lb_tensor_slice(const lb_tensor *t, int dim, int64_t start, int64_t stop, lb_tensor **out) {
    char text[240];
    *out = NULL;
    lb_status s = no_layout(t, "slice");
    if (s) return s;
    lb_tensor_describe(t, text, sizeof text);
    if (dim < 0 || dim >= t->rank)
        return lb_fail(LB_EINVAL, "slice: %s has no dimension %d (they count from 0 to %d)", text, dim, t->rank - 1);
    if (start < 0 || stop < start || stop > t->dims[dim])
        return lb_fail(LB_EINVAL, "slice: got [%lld, %lld) of dimension %d of %s, expected 0 <= start <= stop <= %lld",
                       (long long)start, (long long)stop, dim, text, (long long)t->dims[dim]);
    size_t step = lb_dtype_size(t->dtype) * (size_t)(t->strides[dim] > 0 ? t->strides[dim] : 0);
    if (t->quantizer) {
        if (dim + 2 >= t->rank)
            return lb_fail(LB_EINVAL, "slice: quantized %s can be sliced along its leading dimensions only; dequantize "
                                      "it first", text);
        for (int i = 0; i < dim; i++)
            if (t->dims[i] != 1)
                return lb_fail(LB_EINVAL, "slice: along dimension %d of quantized %s the parts would not be together; "
                                          "slice dimension 0 first", dim, text);
        step = t->quantizer->size_bytes(t->quantizer, t->dims[t->rank - 2], t->dims[t->rank - 1]);
        for (int i = dim + 1; i + 2 < t->rank; i++) step *= (size_t)t->dims[i];
    }
    lb_tensor *v = view_of(t);
    if (!v) return LB_ENOMEM;
    v->dims[dim] = stop - start;
    if (stop > start) v->offset_bytes += (size_t)start * step;
    *out = v;
    return LB_OK;
}

lb_status lb_tensor_transpose(const lb_tensor *t, int a, int b, lb_tensor **out) {
    char text[240];
    *out = NULL;
    lb_status s = no_layout(t, "transpose");
    if (s) return s;
    lb_tensor_describe(t, text, sizeof text);
    if (t->quantizer) return lb_fail(LB_EUNSUPPORTED, "transpose: %s is quantized along K; dequantize it first", text);
    if (a < 0 || b < 0 || a >= t->rank || b >= t->rank)
        return lb_fail(LB_EINVAL, "transpose: got dimensions %d and %d of %s, expected 0 to %d", a, b, text,
                       t->rank - 1);
    lb_tensor *v = view_of(t);
    if (!v) return LB_ENOMEM;
    v->dims[a] = t->dims[b], v->dims[b] = t->dims[a];
    v->strides[a] = t->strides[b], v->strides[b] = t->strides[a];
    *out = v;
    return LB_OK;
}

/* ---- single elements ---- */

static size_t element_offset(const lb_tensor *t, const int64_t *idx) {
    int64_t at = 0;
    for (int i = 0; i < t->rank; i++) at += idx[i] * t->strides[i];
    return (size_t)at * lb_dtype_size(t->dtype);
}

double lb_tensor_at(const lb_tensor *t, const int64_t *idx) {
    double v = NAN;
    if (!t->quantizer) {
        lb_convert_load_f64(t->dtype, (const char *)lb_tensor_data(t) + element_offset(t, idx), 1, 1, &v);
        return v;
    }
    int64_t at = 0;
    for (int i = 0; i < t->rank; i++) at = at * t->dims[i] + idx[i];
    if (lb_tensor_read_f64(t, at, 1, &v)) return NAN;
    return v;
}

void lb_tensor_set(lb_tensor *t, const int64_t *idx, double v) {
    if (t->quantizer) return;
    lb_convert_store_f64(t->dtype, &v, 1, (char *)lb_tensor_data(t) + element_offset(t, idx));
}
