/* tensor_reduce.c: reductions, comparison and matrix product, in f64 and in an order that no thread count changes. */
#include <stdlib.h>

#include "measure.h"
#include "tensor_ops_common.h"

const char *lb_reduce_name(lb_reduce op) {
    static const char *const names[LB_REDUCE_COUNT] = { "sum", "mean", "min", "max", "argmax", "norm" };
    return (unsigned)op < LB_REDUCE_COUNT ? names[op] : "unknown";
}

/* ---- reductions ---- */

typedef struct accumulator {
    double value;
    int64_t at;      /* argmax: index of `value`; -1 = nothing seen */
} accumulator;

static void start(lb_reduce op, accumulator *a) {
    a->value = op == LB_MIN ? INFINITY : op == LB_MAX || op == LB_ARGMAX ? -INFINITY : 0.0;
    a->at = -1;
}

/* A NaN beats every number, the first of several wins. */
static bool beats(lb_reduce op, double v, double best) {
    if (best != best) return false;
    return v != v || (op == LB_MIN ? v < best : v > best);
}

static void take(lb_reduce op, accumulator *a, const double *v, int64_t n, int64_t first) {
    double sum = 0;
    switch (op) {
    case LB_SUM:
    case LB_MEAN:
        for (int64_t i = 0; i < n; i++) sum += v[i];
        a->value += sum;
        break;
    case LB_NORM:
        for (int64_t i = 0; i < n; i++) sum += v[i] * v[i];
        a->value += sum;
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            if (a->at < 0 || beats(op, v[i], a->value)) a->value = v[i], a->at = first + i;
    }
}

static void merge(lb_reduce op, accumulator *a, const accumulator *b) {
    if (op == LB_SUM || op == LB_MEAN || op == LB_NORM)
        a->value += b->value;
    else if (b->at >= 0 && (a->at < 0 || beats(op, b->value, a->value)))
        *a = *b;
}

static double finish(lb_reduce op, const accumulator *a, int64_t n) {
    switch (op) {
    case LB_MEAN: return a->value / (double)n;
    case LB_NORM: return sqrt(a->value);
    case LB_ARGMAX: return (double)a->at;
    default: return a->value;
    }
}

static void reduce_run(lb_reduce op, const lb_tensor *t, int64_t begin, int64_t end, int64_t base, accumulator *a) {
    double v[LB_OPS_CHUNK];
    for (int64_t at = begin; at < end; at += LB_OPS_CHUNK) {
        int64_t n = end - at < LB_OPS_CHUNK ? end - at : LB_OPS_CHUNK;
        lb_view_read(t, at, n, v);
        take(op, a, v, n, at - base);
    }
}

typedef struct reduce_job {
    lb_reduce op;
    const lb_tensor *t;
    int64_t inner;            /* elements of one result */
    lb_tensor *out;           /* over one dim */
    accumulator *parts;       /* over all: one per LB_OPS_GRAIN elements */
} reduce_job;

static void reduce_all_range(void *ctx, int64_t begin, int64_t end) {
    const reduce_job *j = ctx;
    int64_t numel = lb_tensor_numel(j->t);
    for (int64_t p = begin; p < end; p++) {
        int64_t from = p * LB_OPS_GRAIN, to = from + LB_OPS_GRAIN < numel ? from + LB_OPS_GRAIN : numel;
        start(j->op, &j->parts[p]);
        reduce_run(j->op, j->t, from, to, 0, &j->parts[p]);
    }
}

static void reduce_dim_range(void *ctx, int64_t begin, int64_t end) {
    const reduce_job *j = ctx;
    size_t size = lb_dtype_size(j->out->dtype);
    for (int64_t i = begin; i < end; i++) {
        accumulator a;
        start(j->op, &a);
        reduce_run(j->op, j->t, i * j->inner, (i + 1) * j->inner, i * j->inner, &a);
        double r = finish(j->op, &a, j->inner);
        lb_convert_store_f64(j->out->dtype, &r, 1, (char *)lb_tensor_data(j->out) + (size_t)i * size);
    }
}

static lb_status check_reduce(lb_reduce op, const lb_tensor *t, int64_t inner) {
    if ((unsigned)op >= LB_REDUCE_COUNT) return lb_fail(LB_EINVAL, "unknown reduction %d", (int)op);
    if (inner > 0 || op == LB_SUM || op == LB_NORM) return LB_OK;
    char text[240];
    lb_tensor_describe(t, text, sizeof text);
    return lb_fail(LB_EINVAL, "%s: %s has no elements to reduce", lb_reduce_name(op), text);
}

lb_status lb_tensor_reduce_all(lb_reduce op, const lb_tensor *t, double *out) {
    lb_operand_view view;
    int64_t numel = lb_tensor_numel(t), parts = (numel + LB_OPS_GRAIN - 1) / LB_OPS_GRAIN;
    *out = NAN;
    lb_status s = check_reduce(op, t, numel);
    if (s || (s = lb_view_open(lb_reduce_name(op), t, &view))) return s;
    reduce_job j = { .op = op, .t = &view.t, .parts = calloc((size_t)parts + 1, sizeof *j.parts) };
    if (!j.parts) {
        s = lb_fail(LB_ENOMEM, "%s: no memory", lb_reduce_name(op));
        goto done;
    }
    if ((s = lb_convert_for(t->buffer->device, parts, 1, reduce_all_range, &j))) goto done;
    accumulator all;
    start(op, &all);
    for (int64_t p = 0; p < parts; p++) merge(op, &all, &j.parts[p]);
    *out = finish(op, &all, numel);
done:
    free(j.parts);
    lb_view_done(&view);
    return s;
}

lb_status lb_tensor_reduce(lb_reduce op, const lb_tensor *t, int dim, lb_tensor **out) {
    lb_operand_view view;
    lb_tensor *r = NULL;
    char text[240];
    *out = NULL;
    lb_tensor_describe(t, text, sizeof text);
    if (dim < 0 || dim >= t->rank)
        return lb_fail(LB_EINVAL, "%s: %s has no dimension %d (they count from 0 to %d)", lb_reduce_name(op), text, dim,
                       t->rank - 1);
    lb_status s = check_reduce(op, t, t->dims[dim]);
    if (s || (s = lb_view_open(lb_reduce_name(op), t, &view))) return s;
    int64_t size = view.t.dims[dim], stride = view.t.strides[dim];
    for (int i = dim; i + 1 < view.t.rank; i++)
        view.t.dims[i] = view.t.dims[i + 1], view.t.strides[i] = view.t.strides[i + 1];
    view.t.dims[view.t.rank - 1] = size, view.t.strides[view.t.rank - 1] = stride; /* the reduced one last */
    lb_dtype dtype = op == LB_ARGMAX ? LB_I64 : t->dtype == LB_F64 ? LB_F64 : LB_F32;
    s = lb_tensor_new(t->buffer->device, dtype, NULL, t->rank - 1, view.t.dims, &r);
    if (s) goto done;
    reduce_job j = { .op = op, .t = &view.t, .inner = size, .out = r };
    int64_t grain = LB_OPS_GRAIN / (size > 0 ? size : 1);
    s = lb_convert_for(t->buffer->device, lb_tensor_numel(r), grain < 1 ? 1 : grain, reduce_dim_range, &j);
done:
    lb_view_done(&view);
    if (s)
        lb_tensor_release(r);
    else
        *out = r;
    return s;
}

/* ---- comparison ---- */

typedef struct compare_job {
    const lb_tensor *a, *b;
    bool exact;
    double rtol, atol;
    atomic_int different;
} compare_job;

static bool close_to(const compare_job *j, double a, double b) {
    return a == b || (!j->exact && fabs(a - b) <= j->atol + j->rtol * fabs(b) && fabs(b) < INFINITY);
}

static void compare_range(void *ctx, int64_t begin, int64_t end) {
    compare_job *j = ctx;
    double a[LB_OPS_CHUNK], b[LB_OPS_CHUNK];
    for (int64_t at = begin; at < end && !atomic_load_explicit(&j->different, memory_order_relaxed);
         at += LB_OPS_CHUNK) {
        int64_t n = end - at < LB_OPS_CHUNK ? end - at : LB_OPS_CHUNK;
        lb_view_read(j->a, at, n, a);
        lb_view_read(j->b, at, n, b);
        for (int64_t i = 0; i < n; i++)
            if (!close_to(j, a[i], b[i])) {
                atomic_store(&j->different, 1);
                return;
            }
    }
}

/* i64 does not fit into f64: compared as it is. Both operands have an integer dtype. */
static bool equal_integers(const lb_tensor *a, const lb_tensor *b) {
    int64_t n = lb_tensor_numel(a), idx[LB_MAX_RANK] = { 0 };
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0, bt = 0, va, vb;
        for (int k = 0; k < a->rank; k++) at += idx[k] * a->strides[k], bt += idx[k] * b->strides[k];
        lb_convert_load_i64(a->dtype, (char *)lb_tensor_data(a) + at * (int64_t)lb_dtype_size(a->dtype), 1, 1, &va);
        lb_convert_load_i64(b->dtype, (char *)lb_tensor_data(b) + bt * (int64_t)lb_dtype_size(b->dtype), 1, 1, &vb);
        if (va != vb) return false;
        for (int k = a->rank - 1; k >= 0 && ++idx[k] == a->dims[k]; k--) idx[k] = 0;
    }
    return true;
}

static lb_status compare(const char *what, const lb_tensor *a, const lb_tensor *b, compare_job *j, bool *out) {
    lb_operand_view va = { .owned = NULL }, vb = { .owned = NULL };
    *out = false;
    if (a->rank != b->rank || (a->rank && memcmp(a->dims, b->dims,
                                                 sizeof *a->dims * (size_t)a->rank) != 0)) return LB_OK;
    lb_status s;
    if ((s = lb_view_open(what, a, &va)) || (s = lb_view_open(what, b, &vb))) goto done;
    if (j->exact && lb_dtype_is_integer(a->dtype) && lb_dtype_is_integer(b->dtype)) {
        *out = equal_integers(a, b);
        goto done;
    }
    j->a = &va.t, j->b = &vb.t;
    s = lb_convert_for(a->buffer->device, lb_tensor_numel(a), LB_OPS_GRAIN, compare_range, j);
    *out = s == LB_OK && !atomic_load(&j->different);
done:
    lb_view_done(&va);
    lb_view_done(&vb);
    return s;
}

lb_status lb_tensor_equal(const lb_tensor *a, const lb_tensor *b, bool *out) {
    compare_job j = { .exact = true };
    return compare("equal", a, b, &j, out);
}

lb_status lb_tensor_allclose(const lb_tensor *a, const lb_tensor *b, double rtol, double atol, bool *out) {
    *out = false;
    if (!(rtol >= 0) || !(atol >= 0))
        return lb_fail(LB_EINVAL, "allclose: got rtol %g and atol %g, expected both >= 0", rtol, atol);
    compare_job j = { .rtol = rtol, .atol = atol };
    return compare("allclose", a, b, &j, out);
}

/* ---- matrix product ---- */

typedef struct matmul_job {
    const double *a;          /* [M][K] */
    const lb_tensor *b;       /* [N][K], strided or quantized */
    lb_tensor *out;           /* [M][N] */
    int64_t m, n, k;
    atomic_int failed;
} matmul_job;

enum { MATMUL_ROWS = 8 };     /* of b at a time, so that a is read once for so many */

static double dot(const double *restrict a, const double *restrict b, int64_t k) {
    double s[8] = { 0 }, rest = 0;
    int64_t i = 0;
    for (; i + 8 <= k; i += 8)
        for (int j = 0; j < 8; j++) s[j] += a[i + j] * b[i + j];
    for (; i < k; i++) rest += a[i] * b[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])) + rest;
}

static void matmul_range(void *ctx, int64_t begin, int64_t end) {
    matmul_job *j = ctx;
    size_t size = lb_dtype_size(j->out->dtype);
    double *rows = malloc(sizeof *rows * MATMUL_ROWS * (size_t)(j->k > 0 ? j->k : 1)), v[MATMUL_ROWS];
    if (!rows) atomic_store(&j->failed, 1);
    for (int64_t n = begin; n < end && !atomic_load(&j->failed) && !lb_interrupted; n += MATMUL_ROWS) {
        int64_t count = end - n < MATMUL_ROWS ? end - n : MATMUL_ROWS;
        if (lb_tensor_read_f64(j->b, n * j->k, count * j->k, rows)) {
            atomic_store(&j->failed, 1);
            break;
        }
        for (int64_t m = 0; m < j->m; m++) {
            for (int64_t r = 0; r < count; r++) v[r] = dot(j->a + m * j->k, rows + r * j->k, j->k);
            lb_convert_store_f64(j->out->dtype, v, count,
                                 (char *)lb_tensor_data(j->out) + (size_t)(m * j->n + n) * size);
        }
    }
    free(rows);
}

static lb_status matmul_shapes(const lb_tensor *a, const lb_tensor *b, bool transposed) {
    if (a->rank >= 1 && b->rank == 2 && a->dims[a->rank - 1] == b->dims[transposed ? 1 : 0]) return LB_OK;
    char ta[240], tb[240];
    lb_tensor_describe(a, ta, sizeof ta);
    lb_tensor_describe(b, tb, sizeof tb);
    return lb_fail(LB_EINVAL, "matmul: expected [.., K] and %s, got %s and %s", transposed ? "[N, K]" : "[K, N]", ta,
                   tb);
}

lb_status lb_tensor_matmul(const lb_tensor *a, const lb_tensor *b, bool transposed, lb_tensor **out) {
    lb_operand_view va = { .owned = NULL }, vb = { .owned = NULL };
    lb_tensor *r = NULL;
    double *wide = NULL;
    int64_t dims[LB_MAX_RANK];
    *out = NULL;
    lb_status s = matmul_shapes(a, b, transposed);
    if (s || (s = lb_view_open("matmul", a, &va))) goto done;
    if (!transposed || !b->quantizer) { /* quantized [N, K] is read row by row, as it is */
        if ((s = lb_view_open("matmul", b, &vb))) goto done;
        b = &vb.t;
    }
    if (!transposed) {
        int64_t d = vb.t.dims[0], st = vb.t.strides[0];
        vb.t.dims[0] = vb.t.dims[1], vb.t.strides[0] = vb.t.strides[1];
        vb.t.dims[1] = d, vb.t.strides[1] = st;
    }
    memcpy(dims, a->dims, sizeof dims);
    int64_t k = dims[a->rank - 1], n = b->dims[0], m = 1;
    for (int i = 0; i + 1 < a->rank; i++) m *= dims[i];
    dims[a->rank - 1] = n;
    bool f64 = a->dtype == LB_F64 || b->dtype == LB_F64;
    if ((s = lb_tensor_new(a->buffer->device, f64 ? LB_F64 : LB_F32, NULL, a->rank, dims, &r))) goto done;
    if (!(wide = malloc(sizeof *wide * (size_t)(m * k + 1)))) {
        s = lb_fail(LB_ENOMEM, "matmul: no memory for %lld doubles", (long long)(m * k));
        goto done;
    }
    lb_view_read(&va.t, 0, m * k, wide);
    matmul_job j = { .a = wide, .b = b, .out = r, .m = m, .n = n, .k = k };
    int64_t grain = LB_OPS_GRAIN / (m * k > 0 ? m * k : 1);
    s = lb_convert_for(a->buffer->device, n, grain < 1 ? 1 : grain, matmul_range, &j);
    if (!s && lb_interrupted) s = lb_fail(LB_EINTERRUPTED, "interrupted while multiplying");
    if (!s && atomic_load(&j.failed))
        s = lb_fail(LB_ENOMEM, "matmul: no memory for %d rows of %lld doubles", MATMUL_ROWS, (long long)k);
done:
    free(wide);
    lb_view_done(&va);
    lb_view_done(&vb);
    if (s)
        lb_tensor_release(r);
    else
        *out = r;
    return s;
}
