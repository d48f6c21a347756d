/* tensor_ops.c: elementwise arithmetic with broadcasting. */
#include "tensor_ops_common.h"

#include <stdlib.h>

const char *lb_binary_name(lb_binary op) {
    static const char *const names[LB_BINARY_COUNT] = { "add", "sub", "mul", "div", "minimum", "maximum" };
    return (unsigned)op < LB_BINARY_COUNT ? names[op] : "unknown";
}

const char *lb_unary_name(lb_unary op) {
    static const char *const names[LB_UNARY_COUNT] = { "neg", "abs", "sqrt", "exp", "log" };
    return (unsigned)op < LB_UNARY_COUNT ? names[op] : "unknown";
}

/* ---- operands ---- */

lb_status lb_view_open(const char *what, const lb_tensor *t, lb_operand_view *out) {
    memset(out, 0, sizeof *out);
    if (t->quantizer) {
        lb_status s = lb_tensor_dequantize(t, &out->owned);
        if (s) return lb_fail_in(s, "%s", what);
        t = out->owned;
    }
    out->t.dtype = t->dtype;
    out->t.rank = t->rank;
    memcpy(out->t.dims, t->dims, sizeof t->dims);
    memcpy(out->t.strides, t->strides, sizeof t->strides);
    out->t.buffer = t->buffer;
    out->t.offset_bytes = t->offset_bytes;
    return LB_OK;
}

void lb_view_done(lb_operand_view *v) {
    lb_tensor_release(v->owned);
    v->owned = NULL;
}

void lb_view_broadcast(lb_operand_view *v, int rank, const int64_t *dims) {
    lb_tensor *t = &v->t;
    int shift = rank - t->rank;
    for (int i = rank - 1; i >= 0; i--) {
        bool repeat = i < shift || (t->dims[i - shift] == 1 && dims[i] != 1);
        t->strides[i] = repeat ? 0 : t->strides[i - shift];
        t->dims[i] = dims[i];
    }
    t->rank = rank;
}

bool lb_broadcasts_to(const lb_tensor *t, int rank, const int64_t *dims) {
    if (t->rank > rank) return false;
    for (int i = 1; i <= t->rank; i++)
        if (t->dims[t->rank - i] != dims[rank - i] && t->dims[t->rank - i] != 1) return false;
    return true;
}

lb_status lb_broadcast_shape(const char *what, const lb_tensor *a, const lb_tensor *b, int *rank, int64_t *dims) {
    *rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 1; i <= *rank; i++) {
        int64_t da = i <= a->rank ? a->dims[a->rank - i] : 1, db = i <= b->rank ? b->dims[b->rank - i] : 1;
        if (da != db && da != 1 && db != 1) {
            char ta[240], tb[240];
            lb_tensor_describe(a, ta, sizeof ta);
            lb_tensor_describe(b, tb, sizeof tb);
            return lb_fail(LB_EINVAL,
                           "%s: %s and %s do not fit together: counted from the last dimension, number %d is "
                                      "%lld and %lld, expected equal sizes or a 1", what, ta, tb, i, (long long)da,
                           (long long)db);
        }
        dims[*rank - i] = da == 1 ? db : da;
    }
    return LB_OK;
}

void lb_view_read(const lb_tensor *t, int64_t start, int64_t n, double *out) {
    lb_tensor_read_f64(t, start, n, out); /* cannot fail: neither quantized nor repacked */
}

/* ---- elementwise ---- */

typedef struct element_job {
    lb_binary binary;
    lb_unary unary;
    bool is_unary, a_scalar, b_scalar;
    double a_value, b_value;
    const lb_tensor *a, *b;
    lb_tensor *out;
} element_job;

#define EACH(EXPR) for (int64_t i = 0; i < n; i++) r[i] = (EXPR)

static void apply_binary(lb_binary op, const double *restrict a, const double *restrict b, int64_t n,
                         double *restrict r) {
    switch (op) {
    case LB_ADD: EACH(a[i] + b[i]); break;
    case LB_SUB: EACH(a[i] - b[i]); break;
    case LB_MUL: EACH(a[i] * b[i]); break;
    case LB_DIV: EACH(a[i] / b[i]); break;
    case LB_MINIMUM: EACH(a[i] < b[i] || a[i] != a[i] ? a[i] : b[i]); break;
    case LB_MAXIMUM: EACH(a[i] > b[i] || a[i] != a[i] ? a[i] : b[i]); break;
    default: break;
    }
}

static void apply_unary(lb_unary op, const double *restrict a, int64_t n, double *restrict r) {
    switch (op) {
    case LB_NEG: EACH(-a[i]); break;
    case LB_ABS: EACH(fabs(a[i])); break;
    case LB_SQRT: EACH(sqrt(a[i])); break;
    case LB_EXP: EACH(exp(a[i])); break;
    case LB_LOG: EACH(log(a[i])); break;
    default: break;
    }
}

static void element_range(void *ctx, int64_t begin, int64_t end) {
    const element_job *j = ctx;
    double a[LB_OPS_CHUNK], b[LB_OPS_CHUNK], r[LB_OPS_CHUNK];
    size_t size = lb_dtype_size(j->out->dtype);
    for (int64_t i = 0; i < LB_OPS_CHUNK; i++) a[i] = j->a_value, b[i] = j->b_value;
    for (int64_t at = begin; at < end; at += LB_OPS_CHUNK) {
        int64_t n = end - at < LB_OPS_CHUNK ? end - at : LB_OPS_CHUNK;
        if (!j->a_scalar) lb_view_read(j->a, at, n, a);
        if (!j->is_unary && !j->b_scalar) lb_view_read(j->b, at, n, b);
        if (j->is_unary)
            apply_unary(j->unary, a, n, r);
        else
            apply_binary(j->binary, a, b, n, r);
        lb_convert_store_f64(j->out->dtype, r, n, (char *)lb_tensor_data(j->out) + (size_t)at * size);
    }
}

static lb_status run_elements(const char *what, element_job *j, lb_device *d, bool wide, int rank, const int64_t *dims,
                              lb_tensor **out) {
    lb_tensor *r = NULL;
    lb_status s = lb_tensor_new(d, wide ? LB_F64 : LB_F32, NULL, rank, dims, &r);
    if (s) return lb_fail_in(s, "%s", what);
    j->out = r;
    if ((s = lb_convert_for(d, lb_tensor_numel(r), LB_OPS_GRAIN, element_range, j))) {
        lb_tensor_release(r);
        return s;
    }
    *out = r;
    return LB_OK;
}

lb_status lb_tensor_binary(lb_binary op, const lb_tensor *a, const lb_tensor *b, lb_tensor **out) {
    lb_operand_view va = { .owned = NULL }, vb = { .owned = NULL };
    int64_t dims[LB_MAX_RANK];
    int rank;
    const char *what = lb_binary_name(op);
    *out = NULL;
    if ((unsigned)op >= LB_BINARY_COUNT) return lb_fail(LB_EINVAL, "unknown elementwise operation %d", (int)op);
    lb_status s = lb_broadcast_shape(what, a, b, &rank, dims);
    if (s || (s = lb_view_open(what, a, &va)) || (s = lb_view_open(what, b, &vb))) goto done;
    lb_view_broadcast(&va, rank, dims);
    lb_view_broadcast(&vb, rank, dims);
    element_job j = { .binary = op, .a = &va.t, .b = &vb.t };
    s = run_elements(what, &j, a->buffer->device, a->dtype == LB_F64 || b->dtype == LB_F64, rank, dims, out);
done:
    lb_view_done(&va);
    lb_view_done(&vb);
    return s;
}

lb_status lb_tensor_binary_scalar(lb_binary op, const lb_tensor *t, double v, bool scalar_first, lb_tensor **out) {
    lb_operand_view view;
    const char *what = lb_binary_name(op);
    *out = NULL;
    if ((unsigned)op >= LB_BINARY_COUNT) return lb_fail(LB_EINVAL, "unknown elementwise operation %d", (int)op);
    lb_status s = lb_view_open(what, t, &view);
    if (s) return s;
    element_job j = { .binary = op, .a = &view.t, .b = &view.t, .a_scalar = scalar_first, .b_scalar = !scalar_first,
                      .a_value = v, .b_value = v };
    s = run_elements(what, &j, t->buffer->device, t->dtype == LB_F64, t->rank, t->dims, out);
    lb_view_done(&view);
    return s;
}

lb_status lb_tensor_unary(lb_unary op, const lb_tensor *t, lb_tensor **out) {
    lb_operand_view view;
    const char *what = lb_unary_name(op);
    *out = NULL;
    if ((unsigned)op >= LB_UNARY_COUNT) return lb_fail(LB_EINVAL, "unknown elementwise operation %d", (int)op);
    lb_status s = lb_view_open(what, t, &view);
    if (s) return s;
    element_job j = { .unary = op, .is_unary = true, .a = &view.t };
    s = run_elements(what, &j, t->buffer->device, t->dtype == LB_F64, t->rank, t->dims, out);
    lb_view_done(&view);
    return s;
}
