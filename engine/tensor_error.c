/* tensor_error.c: how far one tensor is from another. */
#include "tensor_error.h"

#include <stdlib.h>

#include "pool.h"

enum { CHUNK = 1 << 16, LANES = 8 };

typedef struct job {
    const lb_tensor *got, *want;
    int64_t numel;
    lb_tensor_error_sums *parts;   /* one per chunk */
    atomic_int failed;
} job;

/* Eight running sums, so that the loop vectorises; they are added in lane order. */
static lb_tensor_error_sums sums_of(const float *a, const float *b, int64_t n) {
    double e[LANES] = { 0 }, w[LANES] = { 0 }, g[LANES] = { 0 }, c[LANES] = { 0 }, m[LANES] = { 0 };
    for (int64_t i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES && i + j < n; j++) {
            double x = a[i + j], y = b[i + j], d = x - y;
            e[j] += d * d;
            w[j] += y * y;
            g[j] += x * x;
            c[j] += x * y;
            d = fabs(d);
            m[j] = d > m[j] ? d : m[j];
        }
    lb_tensor_error_sums s = { 0 };
    for (int j = 0; j < LANES; j++) {
        s.error2 += e[j], s.want2 += w[j], s.got2 += g[j], s.cross += c[j];
        s.max_abs = m[j] > s.max_abs ? m[j] : s.max_abs;
    }
    return s;
}

static void chunk_range(void *ctx, int64_t begin, int64_t end) {
    job *j = ctx;
    float *a = malloc(2 * CHUNK * sizeof *a);
    for (int64_t c = begin; a && c < end; c++) {
        int64_t start = c * CHUNK, n = j->numel - start < CHUNK ? j->numel - start : CHUNK;
        if (lb_tensor_read_f32(j->got, start, n, a) || lb_tensor_read_f32(j->want, start, n, a + CHUNK))
            atomic_store(&j->failed, 1);
        else
            j->parts[c] = sums_of(a, a + CHUNK, n);
    }
    if (!a) atomic_store(&j->failed, 1);
    free(a);
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
