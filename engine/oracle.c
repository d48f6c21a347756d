/* oracle.c: f64 products that results are checked against, and a cache of dequantized weights.
 *
 * Work is split by rows of the weights over the device's pool, each part calling OpenBLAS on one thread: OpenBLAS's
 * own threads would go on spinning into what is timed next. Few activation rows take a plain f64 loop instead, which
 * reads the weights as f32 and is bound by memory. */
#include "check.h"
#include "plan_internal.h"
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PANEL_ROWS = 128, FEW_ROWS = 8, LANES = 8 };
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };   /* of CBLAS */
#define CACHE_SHARE 0.2                                  /* of the available memory */

typedef void (*dgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double *a,
                         int lda, const double *b, int ldb, double beta, double *c, int ldc);

static struct {
    dgemm_fn dgemm;
    void (*set_threads)(int);
    char why[192];
} blas;
static pthread_once_t blas_once = PTHREAD_ONCE_INIT;

static void blas_load(void) {
    static const char *const names[] = { "libopenblas.so.0", "libopenblas.so", "libopenblas.0.dylib" };
    bool ours = !getenv("OPENBLAS_NUM_THREADS");
    void *lib = NULL;
    if (ours) setenv("OPENBLAS_NUM_THREADS", "1", 1);   /* so that it starts no threads when it is loaded */
    for (size_t i = 0; !lib && i < sizeof names / sizeof *names; i++) lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (ours) unsetenv("OPENBLAS_NUM_THREADS");
    if (lib) {
        *(void **)&blas.dgemm = dlsym(lib, "cblas_dgemm");
        *(void **)&blas.set_threads = dlsym(lib, "openblas_set_num_threads");
    }
    if (blas.dgemm && blas.set_threads) return;
    blas.dgemm = NULL;
    snprintf(blas.why, sizeof blas.why, lib ? "%s has no cblas_dgemm or no openblas_set_num_threads"
                                            : "%s cannot be loaded", names[0]);
}

/* ---- dequantized weights ---- */

typedef struct cached {
    lb_tensor *tensor;       /* retained: its address cannot be given to another tensor */
    uint64_t sum;            /* of the packed bytes: weights that were changed in place are expanded again */
    float *values;
    size_t bytes;
    uint64_t used;
} cached;

static struct {
    cached *at;
    int count, capacity;
    size_t bytes;
    uint64_t clock;
} cache;

static uint64_t checksum(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t h[4] = { 1, 2, 3, 4 }, v[4];
    for (; bytes >= sizeof v; bytes -= sizeof v, p += sizeof v) {
        memcpy(v, p, sizeof v);
        for (int i = 0; i < 4; i++) h[i] = (h[i] ^ v[i]) * 0x9fb21c651e98df25u, h[i] ^= h[i] >> 29;
    }
    for (; bytes; bytes--, p++) h[0] = (h[0] ^ *p) * 0x9fb21c651e98df25u;
    return h[0] ^ h[1] * 3 ^ h[2] * 5 ^ h[3] * 7;
}

static void cache_drop(int i) {
    cache.bytes -= cache.at[i].bytes;
    lb_tensor_release(cache.at[i].tensor);
    free(cache.at[i].values);
    cache.at[i] = cache.at[--cache.count];
}

void lb_oracle_cache_clear(void) {
    while (cache.count) cache_drop(cache.count - 1);
    free(cache.at);
    cache.at = NULL;
    cache.capacity = 0;
}

static bool cache_room(const lb_device *d, size_t bytes) {
    double limit = CACHE_SHARE * ((double)lb_memory_available(d) + (double)cache.bytes);
    if ((double)bytes > limit) return false;
    while (cache.count && (double)(cache.bytes + bytes) > limit) {
        int oldest = 0;
        for (int i = 1; i < cache.count; i++)
            if (cache.at[i].used < cache.at[oldest].used) oldest = i;
        cache_drop(oldest);
    }
    if (cache.count < cache.capacity) return true;
    int capacity = cache.capacity ? cache.capacity * 2 : 64;
    cached *at = realloc(cache.at, (size_t)capacity * sizeof *at);
    if (!at) return false;
    cache.at = at;
    cache.capacity = capacity;
    return true;
}

/* Were these weights among the last SEEN ones? Remembers them. Only a hint: an address may have been used anew. */
static bool seen_lately(const lb_tensor *w) {
    enum { SEEN = 64 };
    static const lb_tensor *seen[SEEN];
    static unsigned next;
    for (int i = 0; i < SEEN; i++)
        if (seen[i] == w) return true;
    seen[next++ % SEEN] = w;
    return false;
}

typedef struct expand_job { const lb_tensor *w; int64_t n, k; float *out; } expand_job;

static void expand_rows(void *ctx, int64_t begin, int64_t end) {
    const expand_job *j = ctx;
    const lb_quantizer *q = j->w->quantizer;
    q->dequantize(q, lb_tensor_data(j->w), j->n, j->k, begin, end, j->out + begin * j->k);
}

static void for_rows(const lb_tensor *w, int64_t n, int64_t grain, lb_range_fn fn, void *ctx) {
    lb_pool *pool = lb_device_pool(w->buffer->device);
    if (pool) lb_pool_for(pool, n, grain, fn, ctx);
    else if (n) fn(ctx, 0, n);
}

/* All of a quantized matrix in f32. NULL at first sight, since most weights meet the oracle once in a check and keeping
 * them would cost more than it saves; NULL too if it does not fit the cache's share of memory. */
static const float *expanded(const lb_tensor *w, int64_t n, int64_t k) {
    int kept = 0;
    while (kept < cache.count && cache.at[kept].tensor != w) kept++;
    if (kept == cache.count && !seen_lately(w)) return NULL;
    uint64_t sum = checksum(lb_tensor_data(w), lb_tensor_size_bytes(w));
    if (kept < cache.count) {
        if (cache.at[kept].sum == sum) return cache.at[kept].used = ++cache.clock, cache.at[kept].values;
        cache_drop(kept);
    }
    size_t bytes = (size_t)n * (size_t)k * sizeof(float);
    if (!cache_room(w->buffer->device, bytes)) return NULL;
    float *values = malloc(bytes ? bytes : 1);
    if (!values) return NULL;
    expand_job j = { w, n, k, values };
    for_rows(w, n, 64, expand_rows, &j);
    cache.at[cache.count++] = (cached){ lb_tensor_retain((lb_tensor *)w), sum, values, bytes, ++cache.clock };
    cache.bytes += bytes;
    return values;
}

/* ---- products ---- */

typedef struct product {
    const double *x;
    int64_t m, n, k;
    const lb_tensor *w;          /* dense if not quantized */
    const float *values;         /* f32 rows of w, or NULL */
    double *out;
    dgemm_fn dgemm;
    atomic_int no_memory;
} product;

static bool load_rows(const product *p, int64_t begin, int64_t rows, double *dst) {
    int64_t count = rows * p->k, first = begin * p->k;
    const lb_quantizer *q = p->w->quantizer;
    const void *data = lb_tensor_data(p->w);
    if (p->w->dtype == LB_QUANT && !p->values) {
        float *f = malloc((size_t)count * sizeof *f);
        if (!f) return false;
        q->dequantize(q, data, p->n, p->k, begin, begin + rows, f);
        for (int64_t i = 0; i < count; i++) dst[i] = f[i];
        free(f);
        return true;
    }
    const float *f = p->values ? p->values + first : (const float *)data + first;
    const uint16_t *h = (const uint16_t *)data + first;
    switch (p->w->dtype) {
    case LB_F64: memcpy(dst, (const double *)data + first, (size_t)count * sizeof *dst); break;
    case LB_F16: for (int64_t i = 0; i < count; i++) dst[i] = lb_f16_to_f32(h[i]); break;
    case LB_BF16: for (int64_t i = 0; i < count; i++) dst[i] = lb_bf16_to_f32(h[i]); break;
    default: for (int64_t i = 0; i < count; i++) dst[i] = f[i]; break;
    }
    return true;
}

static double dot_f32(const double *x, const float *w, int64_t k) {
    double lanes[LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= k; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += x[i + j] * (double)w[i + j];
    for (; i < k; i++) sum += x[i] * (double)w[i];
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

static double dot_f64(const double *x, const double *w, int64_t k) {
    double lanes[LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= k; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += x[i + j] * w[i + j];
    for (; i < k; i++) sum += x[i] * w[i];
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

static void product_rows(void *ctx, int64_t begin, int64_t end) {
    product *p = ctx;
    if (p->m < FEW_ROWS && p->values) {
        for (int64_t r = begin; r < end; r++)
            for (int64_t i = 0; i < p->m; i++)
                p->out[i * p->n + r] = dot_f32(p->x + i * p->k, p->values + r * p->k, p->k);
        return;
    }
    double *panel = malloc((size_t)(PANEL_ROWS * p->k) * sizeof *panel);
    for (int64_t at = begin; at < end && panel; at += PANEL_ROWS) {
        int64_t rows = end - at < PANEL_ROWS ? end - at : PANEL_ROWS;
        if (!load_rows(p, at, rows, panel)) {
            atomic_store(&p->no_memory, 1);
            break;
        }
        if (p->m >= FEW_ROWS) {
            p->dgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)p->m, (int)rows, (int)p->k, 1.0, p->x, (int)p->k, panel,
                     (int)p->k, 0.0, p->out + at, (int)p->n);
            continue;
        }
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < p->m; i++)
                p->out[i * p->n + at + r] = dot_f64(p->x + i * p->k, panel + r * p->k, p->k);
    }
    if (!panel) atomic_store(&p->no_memory, 1);
    free(panel);
}

static lb_status check_product(const lb_tensor *w, int64_t m, int64_t n, int64_t k) {
    char text[96];
    lb_tensor_describe(w, text, sizeof text);
    if (m < 0 || n < 0 || k < 0 || m > INT32_MAX || n > INT32_MAX || k > INT32_MAX || lb_tensor_numel(w) != n * k)
        return lb_fail(LB_EINVAL, "oracle: weights %s are not [%lld, %lld] (or too large) for %lld rows", text,
                       (long long)n, (long long)k, (long long)m);
    if (w->layout)
        return lb_fail(LB_EINVAL, "oracle: weights %s have the layout %s; the oracle reads native ones", text,
                       w->layout);
    bool floats = w->dtype == LB_F32 || w->dtype == LB_F64 || w->dtype == LB_F16 || w->dtype == LB_BF16;
    if (w->dtype != LB_QUANT && !floats)
        return lb_fail(LB_EINVAL, "oracle: weights %s are neither floats nor quantized", text);
    return LB_OK;
}

lb_status lb_oracle_matmul(const double *x, int64_t m, const lb_tensor *w, int64_t n, int64_t k, double *out) {
    lb_status st = check_product(w, m, n, k);
    lb_tensor *dense = NULL;
    if (st || m == 0 || n == 0) return st;
    if (k == 0) return memset(out, 0, (size_t)(m * n) * sizeof *out), LB_OK;
    product p = { .x = x, .m = m, .n = n, .k = k, .w = w, .out = out };
    if (m >= FEW_ROWS) {
        pthread_once(&blas_once, blas_load);
        if (!blas.dgemm)
            return lb_fail(LB_EUNSUPPORTED, "oracle: %s; hint: install OpenBLAS (Debian: libopenblas0)", blas.why);
        blas.set_threads(1);
        p.dgemm = blas.dgemm;
    }
    if (w->dtype == LB_QUANT) {
        p.values = expanded(w, n, k);
    } else if (!lb_tensor_is_dense(w)) {
        if ((st = lb_tensor_clone(w, &dense))) return lb_fail_in(st, "oracle");
        p.w = dense;
    }
    if (p.w->dtype == LB_F32) p.values = lb_tensor_f32(p.w);
    for_rows(w, n, PANEL_ROWS, product_rows, &p);
    if (dense) lb_tensor_release(dense);
    if (atomic_load(&p.no_memory))
        return lb_fail(LB_ENOMEM, "oracle: no memory for panels of %lld columns", (long long)k);
    return LB_OK;
}

/* ---- activations ---- */

typedef struct act_job { const float *x; int64_t k; lb_act act; double *out; } act_job;

static void act_rows(void *ctx, int64_t begin, int64_t end) {
    const act_job *j = ctx;
    for (int64_t r = begin; r < end; r++) lb_act_values_row(j->act, j->x + r * j->k, j->k, j->out + r * j->k);
}

lb_status lb_oracle_activations(const lb_tensor *x, lb_act act, double **out) {
    lb_tensor *plain = NULL;
    *out = NULL;
    if (x->rank < 1 || (unsigned)act >= LB_ACT_COUNT)
        return lb_fail(LB_EINVAL, "oracle: activations need rows (got rank %d) and a known format (got %d)", x->rank,
                       (int)act);
    int64_t k = x->dims[x->rank - 1], n = lb_tensor_numel(x), rows = k ? n / k : 0;
    if (x->dtype != LB_F32 || !lb_tensor_is_dense(x)) {
        lb_status st = x->dtype == LB_F32 ? lb_tensor_clone(x, &plain) : lb_tensor_to_dtype(x, LB_F32, &plain);
        if (st) return lb_fail_in(st, "oracle: activations");
    }
    const lb_tensor *from = plain ? plain : x;
    *out = malloc(n ? (size_t)n * sizeof **out : 1);
    if (*out) {
        act_job j = { lb_tensor_f32(from), k, act, *out };
        if (act == LB_ACT_F8_TENSOR) lb_act_values(act, j.x, rows, k, *out);
        else for_rows(from, rows, 16, act_rows, &j);
    }
    if (plain) lb_tensor_release(plain);
    return *out ? LB_OK : lb_fail(LB_ENOMEM, "oracle: no memory for %lld activations", (long long)n);
}
