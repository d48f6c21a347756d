/* tensor_quant.c: whole tensors to and from quantized form, and into the memory layouts of kernels. */
#include <stdlib.h>
#include <time.h>
#include <pthread.h>

#include "io/mapping.h"
#include "kernel.h"
#include "measure.h"
#include "pool.h"
#include "quantizer.h"
#include "tensor_convert.h"

/* Held while a tensor's list of repacked forms, or its buffer's note of them, is read or written. */
static pthread_mutex_t layout_lock = PTHREAD_MUTEX_INITIALIZER;

enum { CHUNK_ELEMENTS = 1 << 16, PROGRESS_NS = 50 * 1000 * 1000 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static lb_status pool_of(const lb_tensor *t, lb_pool **out) {
    *out = lb_device_pool(t->buffer->device);
    if (*out) return LB_OK;
    return lb_fail(LB_EDEVICE, "device %s has no pool of threads to work with", lb_device_name(t->buffer->device));
}

/* Rows of all matrices in a row, handed out in chunks that do not cross a matrix. */
typedef struct row_job {
    const lb_tensor *from;
    lb_tensor *to;
    const lb_quantizer *q;
    int64_t matrices, n, k, chunk, chunks_per_matrix;
    size_t matrix_bytes;
    lb_progress_fn progress;
    void *ctx;
    atomic_llong next, rows_done;
    atomic_int failed, interrupted, refused;
    bool survey; /* quantize_part calls survey() */
    const void *learned; /* from sample activations; else NULL */
} row_job;

static void quantize_rows(row_job *j, const float *src, int64_t row0, int64_t row1, void *dst) {
    const lb_quantizer *q = j->q;
    if (j->survey) q->survey(q, src, j->n, j->k, row0, row1, dst);
    else if (!j->learned) q->quantize(q, src, j->n, j->k, row0, row1, dst);
    else if (!q->quantize_learned(q, j->learned, src, j->n, j->k, row0, row1, dst)) atomic_store(&j->failed, 1);
}

static bool next_rows(row_job *j, int64_t *matrix, int64_t *row0, int64_t *row1) {
    if (lb_interrupted) {
        atomic_store(&j->interrupted, 1);
        return false;
    }
    int64_t c = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
    if (c >= j->matrices * j->chunks_per_matrix) return false;
    *matrix = c / j->chunks_per_matrix;
    *row0 = c % j->chunks_per_matrix * j->chunk;
    *row1 = *row0 + j->chunk < j->n ? *row0 + j->chunk : j->n;
    return true;
}

static void quantize_part(void *ctx, int part, int parts) {
    row_job *j = ctx;
    (void)parts;
    int64_t matrix, row0, row1;
    uint64_t told = now_ns();
    bool direct = j->from->dtype == LB_F32 && lb_tensor_is_dense(j->from);
    float *scratch = direct ? NULL : malloc(sizeof *scratch * (size_t)(j->chunk * j->k));
    if (!direct && !scratch) {
        atomic_store(&j->failed, 1);
        return;
    }
    while (next_rows(j, &matrix, &row0, &row1)) {
        char *dst = (char *)lb_tensor_data(j->to) + (size_t)matrix * j->matrix_bytes;
        int64_t first = (matrix * j->n + row0) * j->k;
        if (direct) {
            quantize_rows(j, lb_tensor_f32(j->from) + matrix * j->n * j->k, row0, row1, dst);
        } else {
            lb_tensor_read_f32(j->from, first, (row1 - row0) * j->k, scratch);
            /* it finds row r at src + r * k; only [row0, row1) is read */
            const float *src = (const float *)((uintptr_t)scratch - sizeof(float) * (size_t)(row0 * j->k));
            quantize_rows(j, src, row0, row1, dst);
        }
        if (j->survey) continue;
        int64_t done = atomic_fetch_add(&j->rows_done, row1 - row0) + row1 - row0;
        if (part == 0 && j->progress && now_ns() - told >= PROGRESS_NS) {
            j->progress(j->ctx, done, j->matrices * j->n);
            told = now_ns();
        }
    }
    free(scratch);
}

static void dequantize_part(void *ctx, int part, int parts) {
    row_job *j = ctx;
    (void)part, (void)parts;
    int64_t matrix, row0, row1;
    while (next_rows(j, &matrix, &row0, &row1)) {
        const char *src = (const char *)lb_tensor_data(j->from) + (size_t)matrix * j->matrix_bytes;
        float *dst = (float *)lb_tensor_data(j->to) + (matrix * j->n + row0) * j->k;
        j->q->dequantize(j->q, src, j->n, j->k, row0, row1, dst);
    }
}

static lb_status run_rows(row_job *j, lb_pool_fn fn) {
    lb_pool *pool;
    int64_t rows;
    lb_status s = pool_of(j->from, &pool);
    if (s) return s;
    lb_tensor_matrices(j->to, &j->matrices, &j->n, &j->k);
    rows = j->matrices * j->n;
    j->matrix_bytes = j->q->size_bytes(j->q, j->n, j->k);
    j->chunk = j->k > 0 && j->k < CHUNK_ELEMENTS ? CHUNK_ELEMENTS / j->k : 1;
    if (j->chunk > 16) j->chunk &= ~(int64_t)15; /* whole cache lines of whatever planes hold a few bytes a row */
    j->chunks_per_matrix = (j->n + j->chunk - 1) / j->chunk;
    if (rows == 0 || j->k == 0) return LB_OK;
    if (rows * j->k <= 4096)
        fn(j, 0, 1); /* not worth waking threads */
    else
        lb_pool_run(pool, fn, j);
    if (atomic_load(&j->failed)) return lb_fail(LB_ENOMEM, "no memory for rows of %lld elements", (long long)j->k);
    if (atomic_load(&j->interrupted)) return lb_fail(LB_EINTERRUPTED, "interrupted after %lld of %lld rows",
                                                     atomic_load(&j->rows_done), (long long)rows);
    return LB_OK;
}

/* What the rows of a matrix share, where the format has such: see lb_quantizer. */
static lb_status survey_rows(row_job *j) {
    if (!j->q->survey) return LB_OK;
    j->survey = true;
    lb_status s = run_rows(j, quantize_part);
    j->survey = false;
    atomic_store(&j->next, 0);
    for (int64_t m = 0; !s && m < j->matrices; m++)
        j->q->settle(j->q, j->n, j->k, (char *)lb_tensor_data(j->to) + (size_t)m * j->matrix_bytes);
    return s;
}

/* What `q` learns from samples [M, K] for matrices of K columns. */
static lb_status learn_from(const lb_tensor *t, const lb_quantizer *q, const lb_tensor *samples, void **learned) {
    char text[240];
    int64_t k = t->rank > 0 ? t->dims[t->rank - 1] : 0;
    lb_tensor_describe(samples, text, sizeof text);
    if (!q->learn)
        return lb_fail(LB_EINVAL, "calibration: %s has no use for sample activations; gptq has, and lb.awq(w, x) makes "
                       "scales of them", q->name);
    if (samples->dtype != LB_F32 || samples->rank != 2 || !lb_tensor_is_dense(samples) || samples->dims[1] != k ||
        samples->dims[0] < 1)
        return lb_fail(LB_EINVAL, "calibration: expected dense f32[M, %lld], got %s", (long long)k, text);
    *learned = q->learn(q, lb_tensor_f32(samples), samples->dims[0], k);
    if (*learned) return LB_OK;
    return lb_fail(LB_ENOMEM, "calibration: no memory for %lld x %lld, or %s is not finite", (long long)k, (long long)k,
                   text);
}

lb_status lb_tensor_quantize(const lb_tensor *t, const lb_quantizer *q, lb_progress_fn progress, void *ctx,
                             lb_tensor **out) {
    return lb_tensor_quantize_calibrated(t, q, NULL, progress, ctx, out);
}

static lb_status check_source(const lb_tensor *t, const lb_quantizer *q, const char *text) {
    if (!q) return lb_fail(LB_EINVAL, "quantize %s: no quantizer given", text);
    if (t->quantizer)
        return lb_fail(LB_EINVAL, "quantize: %s is quantized already; dequantize it first (that keeps its error)",
                       text);
    if (lb_dtype_is_integer(t->dtype))
        return lb_fail(LB_EINVAL, "quantize: expected a float type, got %s; convert it to f32 first", text);
    return LB_OK;
}

/* Between the planes of a matrix, and behind the last, some formats have bytes that no row writes. They are zero, so
 * that equal weights are equal bytes, and no file takes with it what memory held before. Where 64 times the rows are 64
 * times the bytes there are none. */
static void clear_padding(lb_tensor *to, const lb_quantizer *q) {
    int64_t matrices, n, k;
    lb_tensor_matrices(to, &matrices, &n, &k);
    if (n < ((int64_t)1 << 40) / (k ? k : 1) && 64 * q->size_bytes(q, n, k) == q->size_bytes(q, 64 * n, k)) return;
    memset(lb_tensor_data(to), 0, (size_t)matrices * q->size_bytes(q, n, k));
}

/* All is checked. */
static lb_status quantize_to(const lb_tensor *t, const lb_quantizer *q, const lb_tensor *samples,
                             lb_progress_fn progress, void *ctx, lb_tensor *to) {
    void *learned = NULL;
    lb_status s = samples ? learn_from(t, q, samples, &learned) : LB_OK;
    row_job j = { .from = t, .to = to, .q = q, .progress = progress, .ctx = ctx, .learned = learned };
    if (!s) clear_padding(to, q);
    if (!s) s = survey_rows(&j);
    if (!s) s = run_rows(&j, quantize_part);
    if (!s && progress && j.matrices * j.n > 0) progress(ctx, j.matrices * j.n, j.matrices * j.n);
    free(learned);
    return s;
}

lb_status lb_tensor_quantize_calibrated(const lb_tensor *t, const lb_quantizer *q, const lb_tensor *samples,
                                        lb_progress_fn progress, void *ctx, lb_tensor **out) {
    char text[240];
    lb_tensor *r = NULL;
    *out = NULL;
    lb_tensor_describe(t, text, sizeof text);
    lb_status s = check_source(t, q, text);
    if (s) return s;
    if ((s = lb_tensor_new(t->buffer->device, LB_QUANT, q, t->rank, t->dims, &r)))
        return lb_fail_in(s, "quantize %s", text);
    if ((s = quantize_to(t, q, samples, progress, ctx, r))) {
        lb_tensor_release(r);
        return lb_fail_in(s, "quantize %s to %s", text, q->name);
    }
    *out = r;
    return LB_OK;
}

static lb_status check_target(const lb_tensor *t, const lb_quantizer *q, const lb_tensor *out, const char *text) {
    char there[240];
    lb_tensor_describe(out, there, sizeof there);
    bool same = out->rank == t->rank;
    for (int i = 0; same && i < t->rank; i++) same = out->dims[i] == t->dims[i];
    if (out->quantizer != q || !same)
        return lb_fail(LB_EINVAL, "quantize %s: out: expected %s of the same shape, got %s", text, q->name, there);
    if (out->layout)
        return lb_fail(LB_EINVAL, "quantize %s: out: %s is repacked (%s); give the tensor it was made from", text,
                       there, out->layout);
    if (strcmp(lb_device_name(out->buffer->device), lb_device_name(t->buffer->device)) != 0)
        return lb_fail(LB_EDEVICE, "quantize %s: out: expected a tensor on %s, got %s on %s", text,
                       lb_device_name(t->buffer->device), there, lb_device_name(out->buffer->device));
    if (out->buffer == t->buffer)
        return lb_fail(LB_EINVAL, "quantize %s: out: %s lies in the same memory", text, there);
    pthread_mutex_lock(&layout_lock);
    bool packed = out->buffer->repacked; /* of any view: a slice has the same bytes */
    pthread_mutex_unlock(&layout_lock);
    if (packed)
        return lb_fail(LB_EINVAL, "quantize %s: out: a kernel's layout was made of %s or of what shares its memory, "
                       "and would keep the old weights; quantize into one that was not repacked", text, there);
    return LB_OK;
}

lb_status lb_tensor_quantize_into(const lb_tensor *t, const lb_quantizer *q, const lb_tensor *samples,
                                  lb_progress_fn progress, void *ctx, lb_tensor *out) {
    char text[240];
    lb_tensor_describe(t, text, sizeof text);
    lb_status s = check_source(t, q, text);
    if (s || (s = check_target(t, q, out, text))) return s;
    if ((s = quantize_to(t, q, samples, progress, ctx, out))) return lb_fail_in(s, "quantize %s to %s", text, q->name);
    return LB_OK;
}

lb_status lb_tensor_dequantize(const lb_tensor *t, lb_tensor **out) {
    char text[240];
    lb_tensor *r = NULL;
    *out = NULL;
    lb_tensor_describe(t, text, sizeof text);
    if (!t->quantizer) return lb_fail(LB_EINVAL, "dequantize: %s is not quantized", text);
    if (t->layout)
        return lb_fail(LB_EUNSUPPORTED, "dequantize: %s is repacked for one kernel; use the tensor it was made from",
                       text);
    lb_status s = lb_tensor_new(t->buffer->device, LB_F32, NULL, t->rank, t->dims, &r);
    if (s) return lb_fail_in(s, "dequantize %s", text);
    row_job j = { .from = t, .to = r, .q = t->quantizer };
    if ((s = run_rows(&j, dequantize_part))) {
        lb_tensor_release(r);
        return lb_fail_in(s, "dequantize %s", text);
    }
    *out = r;
    return LB_OK;
}

/* ---- layouts ---- */

typedef struct repack_job {
    const lb_layout *layout;
    const lb_tensor *from;
    lb_tensor *to;
    int64_t n, k, panels_per_matrix;
    int64_t first;                      /* the panel that a range's numbers count from */
    size_t native_bytes, packed_bytes;  /* of one matrix */
} repack_job;

/* Of a mapped file no more than this stays in memory beside what is made of it. */
enum { FORGET_BYTES = 16 << 20 };

static void repack_range(void *ctx, int64_t begin, int64_t end) {
    repack_job *j = ctx;
    int64_t step = j->layout->row_multiple;
    begin += j->first, end += j->first;
    while (begin < end) {
        int64_t matrix = begin / j->panels_per_matrix, first = begin % j->panels_per_matrix;
        int64_t last = first + (end - begin) < j->panels_per_matrix ? first + (end - begin) : j->panels_per_matrix;
        int64_t row1 = last * step < j->n ? last * step : j->n;
        const char *src = (const char *)lb_tensor_data(j->from) + (size_t)matrix * j->native_bytes;
        char *dst = (char *)lb_tensor_data(j->to) + (size_t)matrix * j->packed_bytes;
        j->layout->repack(j->from->quantizer, src, j->n, j->k, first * step, row1, dst);
        begin += last - first;
    }
}

/* Where panel i begins in the native bytes. */
static size_t native_at(const repack_job *j, int64_t i) {
    int64_t row = i % j->panels_per_matrix * j->layout->row_multiple;
    return (size_t)(i / j->panels_per_matrix) * j->native_bytes + j->native_bytes / (size_t)j->n * (size_t)row;
}

static lb_status repack_all(repack_job *j, int64_t panels) {
    const lb_tensor *t = j->from;
    int64_t rows = j->layout->row_multiple, grain = CHUNK_ELEMENTS / (rows * (j->k > 0 ? j->k : 1));
    if (panels == 0) return LB_OK;
    if (j->k == 0) { /* nor are there scales, which a repack() would read */
        memset(lb_tensor_data(j->to), 0, (size_t)(panels / j->panels_per_matrix) * j->packed_bytes);
        return LB_OK;
    }
    size_t panel_bytes = j->native_bytes / (size_t)j->panels_per_matrix + 1;
    int64_t step = (int64_t)(FORGET_BYTES / panel_bytes) + 1;
    for (j->first = 0; j->first < panels; j->first += step) {
        int64_t count = panels - j->first < step ? panels - j->first : step;
        lb_status s = lb_convert_for(t->buffer->device, count, grain < 1 ? 1 : grain, repack_range, j);
        if (s) return s;
        size_t from = native_at(j, j->first), to = native_at(j, j->first + count);
        lb_map_forget(t->buffer, t->offset_bytes + from, to - from);
    }
    return LB_OK;
}

/* What `k` wants of `t`: NULL for its native form. */
static lb_status wanted_layout(const lb_tensor *t, const lb_kernel *k, const lb_layout **out) {
    *out = k ? k->layout : NULL;
    if (!k || !k->panel_weights) return LB_OK;
    const lb_kernel *panel = lb_kernel_panel_for(t->buffer->device, t->quantizer);
    if (!panel) {
        char text[240];
        lb_tensor_describe(t, text, sizeof text);
        return lb_fail(LB_EUNSUPPORTED, "%s: no kernel on %s has a panel for %s", k->name,
                       lb_device_name(t->buffer->device), text);
    }
    *out = panel->layout;
    return LB_OK;
}

static lb_status repack(const lb_tensor *t, const lb_layout *layout, lb_tensor **out) {
    char text[240];
    int64_t matrices, n, k;
    lb_tensor *r = NULL;
    lb_buffer *b = NULL;
    lb_tensor_describe(t, text, sizeof text);
    lb_tensor_matrices(t, &matrices, &n, &k);
    repack_job j = { .layout = layout, .from = t, .n = n, .k = k };
    j.packed_bytes = layout->size_bytes(t->quantizer, n, k);
    j.native_bytes = matrices ? lb_tensor_size_bytes(t) / (size_t)matrices : 0;
    size_t bytes = j.packed_bytes * (size_t)matrices;
    lb_status s = lb_buffer_new(t->buffer->device, bytes, &b);
    if (s || (s = lb_tensor_new_repacked(t, layout->name, bytes, b, &r))) goto fail;
    lb_buffer_release(b);
    b = NULL;
    j.to = r;
    if (layout->row_multiple < 1) {
        s = lb_fail(LB_EINTERNAL, "layout %s has no panel height", layout->name);
        goto fail;
    }
    j.panels_per_matrix = (n + layout->row_multiple - 1) / layout->row_multiple;
    s = repack_all(&j, matrices * j.panels_per_matrix);
    if (s) goto fail;
    *out = r;
    return LB_OK;
fail:
    lb_buffer_release(b);
    lb_tensor_release(r);
    return lb_fail_in(s, "repack %s into layout %s", text, layout->name);
}

lb_status lb_tensor_in_layout(lb_tensor *t, const lb_kernel *k, lb_tensor **out_borrowed, uint64_t *spent_ns) {
    char text[240];
    const lb_layout *layout;
    *out_borrowed = NULL;
    if (spent_ns) *spent_ns = 0;
    lb_status s = wanted_layout(t, k, &layout);
    if (s) return s;
    if (!layout ? !t->layout : t->layout && strcmp(t->layout, layout->name) == 0) {
        *out_borrowed = t;
        return LB_OK;
    }
    lb_tensor_describe(t, text, sizeof text);
    if (t->layout)
        return lb_fail(LB_EUNSUPPORTED, "%s: wants layout %s, got %s; use the tensor that it was made from",
                       k ? k->name : "?",
                       layout ? layout->name : "native", text);
    if (t->rank < 2 || !lb_tensor_is_dense(t))
        return lb_fail(LB_EINVAL, "layout %s: expected a dense matrix, got %s", layout->name, text);
    pthread_mutex_lock(&layout_lock);
    lb_tensor *have = t->repacked;
    while (have && strcmp(have->layout, layout->name) != 0) have = have->repacked;
    if (!have) {
        uint64_t start = now_ns();
        if ((s = repack(t, layout, &have)) == LB_OK) {
            have->repacked = t->repacked;
            t->repacked = have;
            t->buffer->repacked = true;
            if (spent_ns) *spent_ns = now_ns() - start;
        }
    }
    pthread_mutex_unlock(&layout_lock);
    *out_borrowed = have;
    return s;
}

/* ---- exact re-encoding ---- */

static void widen_part(void *ctx, int part, int parts) {
    row_job *j = ctx;
    (void)part, (void)parts;
    int64_t matrix, row0, row1;
    const lb_quantizer *from = j->from->quantizer;
    size_t from_bytes = from->size_bytes(from, j->n, j->k);
    while (next_rows(j, &matrix, &row0, &row1)) {
        const char *src = (const char *)lb_tensor_data(j->from) + (size_t)matrix * from_bytes;
        char *dst = (char *)lb_tensor_data(j->to) + (size_t)matrix * j->matrix_bytes;
        if (!from->widen(from, j->q, src, j->n, j->k, row0, row1, dst)) atomic_store(&j->refused, 1);
    }
}

lb_status lb_tensor_widen(const lb_tensor *t, const lb_quantizer *to, lb_tensor **out) {
    *out = NULL;
    if (t->dtype != LB_QUANT) return lb_fail(LB_EINVAL, "widen: only a quantized tensor can be re-encoded");
    if (!t->quantizer->widen || t->quantizer->family != to->family) return LB_OK;
    lb_tensor *r = NULL;
    lb_status s = lb_tensor_new(t->buffer->device, LB_QUANT, to, t->rank, t->dims, &r);
    if (s) return s;
    row_job j = { .from = t, .to = r, .q = to };
    s = run_rows(&j, widen_part);
    if (s || atomic_load(&j.refused)) lb_tensor_release(r);
    else *out = r;
    return s;
}
