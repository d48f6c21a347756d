/* tensor_error.c: how far one tensor is from another. */
#include "tensor_error.h"

#include <stdlib.h>

#include "pool.h"
#include "wide.h"

enum { CHUNK = 1 << 16, LANES = 8 };

typedef struct job {
    const lb_tensor *got, *want;
    int64_t numel;
    lb_tensor_error_sums *parts;   /* one per chunk */
    atomic_int failed;
} job;

/* Eight running sums, so that the loop vectorises; they are added in lane order. */
typedef struct lanes { double e[LANES], w[LANES], g[LANES], c[LANES], m[LANES]; } lanes;

LB_INLINE void add_lane(lanes *s, int j, double x, double y) {
    double d = x - y;
    s->e[j] += d * d;
    s->w[j] += y * y;
    s->g[j] += x * x;
    s->c[j] += x * y;
    d = fabs(d);
    s->m[j] = d > s->m[j] ? d : s->m[j];
}

LB_WIDE static void add_all(lanes *out, const float *a, const float *b, int64_t n) {
    lanes s = *out;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) add_lane(&s, j, a[i + j], b[i + j]);
    for (int j = 0; i + j < n; j++) add_lane(&s, j, a[i + j], b[i + j]);
    *out = s;
}

static lb_tensor_error_sums sums_of(const float *a, const float *b, int64_t n) {
    lanes l = { { 0 }, { 0 }, { 0 }, { 0 }, { 0 } };
    lb_tensor_error_sums s = { 0 };
    add_all(&l, a, b, n);
    for (int j = 0; j < LANES; j++) {
        s.error2 += l.e[j], s.want2 += l.w[j], s.got2 += l.g[j], s.cross += l.c[j];
        s.max_abs = l.m[j] > s.max_abs ? l.m[j] : s.max_abs;
    }
    return s;
}

/* Elements [start, start + n): where they lie if they are f32 side by side, else read into `room`; NULL = failed. */
static const float *elements(const lb_tensor *t, int64_t start, int64_t n, float *room) {
    if (t->dtype == LB_F32 && !t->layout && lb_tensor_is_dense(t)) return lb_tensor_f32(t) + start;
    return lb_tensor_read_f32(t, start, n, room) ? NULL : room;
}

static void chunk_range(void *ctx, int64_t begin, int64_t end) {
    job *j = ctx;
    float *room = malloc(2 * CHUNK * sizeof *room);
    for (int64_t c = begin; room && c < end; c++) {
        int64_t start = c * CHUNK, n = j->numel - start < CHUNK ? j->numel - start : CHUNK;
        const float *a = elements(j->got, start, n, room), *b = elements(j->want, start, n, room + CHUNK);
        if (a && b) j->parts[c] = sums_of(a, b, n);
        else atomic_store(&j->failed, 1);
    }
    if (!room) atomic_store(&j->failed, 1);
    free(room);
}

static bool same_shape(const lb_tensor *a, const lb_tensor *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

lb_status lb_tensor_error(const lb_tensor *got, const lb_tensor *want, lb_tensor_error_sums *out) {
    char a[160], b[160];
    *out = (lb_tensor_error_sums){ 0 };
    if (!same_shape(got, want)) {
        lb_tensor_describe(got, a, sizeof a);
        lb_tensor_describe(want, b, sizeof b);
        return lb_fail(LB_EINVAL, "error: equal shapes expected, got %s and %s", a, b);
    }
    job j = { .got = got, .want = want, .numel = lb_tensor_numel(got) };
    int64_t chunks = (j.numel + CHUNK - 1) / CHUNK;
    j.parts = calloc((size_t)(chunks ? chunks : 1), sizeof *j.parts);
    if (!j.parts) return lb_fail(LB_ENOMEM, "error: no memory for %lld partial sums", (long long)chunks);
    lb_pool *pool = lb_device_pool(got->buffer->device);
    if (pool) lb_pool_for(pool, chunks, 4, chunk_range, &j);
    else chunk_range(&j, 0, chunks);
    for (int64_t c = 0; c < chunks; c++) {
        const lb_tensor_error_sums *p = &j.parts[c];
        out->error2 += p->error2, out->want2 += p->want2, out->got2 += p->got2, out->cross += p->cross;
        out->max_abs = p->max_abs > out->max_abs ? p->max_abs : out->max_abs;
    }
    free(j.parts);
    if (atomic_load(&j.failed)) return lb_fail(LB_ENOMEM, "error: the tensors could not be read");
    return LB_OK;
}
