/* kv.h: batches and caches as kernels and oracles walk them; slots.h says what the operands mean. */
#pragma once
#include "../op.h"
#include "slots.h"

/* nvcc compiles these for the device too. */
#ifdef __CUDACC__
#define LB_BOTH __host__ __device__
#else
#define LB_BOTH
#endif

/* ---- rows ---- */

/* Row i of a tensor [.., K]: the elements before it by strides. */
static inline int64_t lb_row_at(const lb_tensor *t, int64_t i) {
    int64_t at = 0;
    for (int d = t->rank - 2; d >= 0; d--) {
        at += i % t->dims[d] * t->strides[d];
        i /= t->dims[d];
    }
    return at;
}

static inline float *lb_row_f32(const lb_tensor *t, int64_t i) { return (float *)lb_tensor_data(t) + lb_row_at(t, i); }

static inline int64_t lb_row_length(const lb_tensor *t) { return t->dims[t->rank - 1]; }

static inline int64_t lb_row_count(const lb_tensor *t) {
    int64_t n = 1;
    for (int d = 0; d < t->rank - 1; d++) n *= t->dims[d];
    return n;
}

/* ---- batches ---- */

typedef struct lb_batch {
    int64_t rows, sequences;
    const int32_t *starts, *lengths;   /* either may be NULL */
} lb_batch;

static inline const int32_t *lb_i32_or_null(const lb_tensor *t) { return t ? (const int32_t *)lb_tensor_data(t)
        : NULL; }

static inline lb_batch lb_batch_of(int64_t rows, int64_t sequences, const lb_tensor *starts, const lb_tensor *lengths) {
    return (lb_batch){ rows, sequences, lb_i32_or_null(starts), lb_i32_or_null(lengths) };
}

LB_BOTH static inline int64_t lb_clamp(int64_t v, int64_t lo, int64_t hi) { return v < lo ? lo : v > hi ? hi : v; }

/* Rows [*begin, *end) of sequence b; empty rather than out of bounds, whatever `starts` holds. */
LB_BOTH static inline void lb_batch_rows(const lb_batch *b, int64_t i, int64_t *begin, int64_t *end) {
    if (!b->starts) {
        int64_t each = b->sequences ? b->rows / b->sequences : 0;
        *begin = each * i;
        *end = each * (i + 1);
        return;
    }
    *begin = lb_clamp(b->starts[i], 0, b->rows);
    *end = lb_clamp(b->starts[i + 1], *begin, b->rows);
}

/* The sequence that owns a row, or -1. */
LB_BOTH static inline int64_t lb_batch_owner(const lb_batch *b, int64_t row) {
    for (int64_t i = 0; i < b->sequences; i++) {
        int64_t begin, end;
        lb_batch_rows(b, i, &begin, &end);
        if (row >= begin && row < end) return i;
    }
    return -1;
}

/* ---- caches ---- */

typedef struct lb_kv {
    char *base;
    int64_t stride_b, stride_h, stride_s;   /* bytes; stride_b from page to page if paged */
    int64_t heads, rows;                    /* rows of one sequence, or of one page */
    int64_t dim;                            /* values in a row */
    int64_t capacity;                       /* positions of one sequence */
    const int32_t *pages;                   /* NULL = not paged */
    int64_t pages_each, page_count;
    lb_dtype dtype;                         /* LB_U8: packed */
    int packed;
} lb_kv;

LB_BOTH static inline int64_t lb_packed_bytes(int packed) { return packed == LB_PACKED_Q8_0 ? 34 : 18; }

static inline lb_kv lb_kv_of(const lb_tensor *cache, const lb_tensor *pages, int packed) {
    int64_t size = (int64_t)lb_dtype_size(cache->dtype);
    lb_kv c = { .base = (char *)lb_tensor_data(cache), .stride_b = cache->strides[0] * size,
                .stride_h = cache->strides[1] * size,
                .stride_s = cache->strides[2] * size, .heads = cache->dims[1], .rows = cache->dims[2],
                .dim = cache->dims[3], .capacity = cache->dims[2], .dtype = cache->dtype, .packed = packed };
    if (cache->dtype == LB_U8) c.dim = cache->dims[3] / lb_packed_bytes(packed) * 32;
    if (!pages) return c;
    c.pages = lb_i32_or_null(pages);
    c.pages_each = pages->dims[1];
    c.page_count = cache->dims[0];
    c.capacity = c.pages_each * c.rows;
    return c;
}

/* Positions below `wanted` that exist: within the capacity, and before the first page that does not. */
LB_BOTH static inline int64_t lb_kv_length(const lb_kv *c, int64_t b, int64_t wanted) {
    int64_t n = lb_clamp(wanted, 0, c->capacity);
    if (!c->pages || n == 0) return n;
    for (int64_t p = 0; p * c->rows < n; p++) {
        int32_t page = c->pages[b * c->pages_each + p];
        if (page < 0 || page >= c->page_count) return p * c->rows;
    }
    return n;
}

/* The row of position s < lb_kv_length, and how many positions from s on lie stride_s apart. */
LB_BOTH static inline char *lb_kv_row(const lb_kv *c, int64_t b, int64_t h, int64_t s) {
    if (!c->pages) return c->base + b * c->stride_b + h * c->stride_h + s * c->stride_s;
    int64_t page = c->pages[b * c->pages_each + s / c->rows];
    return c->base + page * c->stride_b + h * c->stride_h + s % c->rows * c->stride_s;
}
LB_BOTH static inline int64_t lb_kv_run(const lb_kv *c, int64_t s) { return c->rows - (c->pages ? s % c->rows : s); }

/* Positions [*lo, *hi) that a row at `position` sees among `length`. */
LB_BOTH static inline void lb_span(bool causal, int64_t window, int64_t position, int64_t length, int64_t *lo,
                                   int64_t *hi) {
    *lo = 0;
    *hi = length;
    if (causal && position + 1 < *hi) *hi = position + 1;
    if (window > 0 && position - window + 1 > 0) *lo = position - window + 1;
    if (window > 0 && !causal && position + window < *hi) *hi = position + window;
    if (*hi < *lo) *hi = *lo;
}
static inline void lb_attention_span(const lb_args *a, int64_t position, int64_t length, int64_t *lo, int64_t *hi) {
    lb_span(a->p[LB_ATTENTION_P_CAUSAL] != 0, (int64_t)a->p[LB_ATTENTION_P_WINDOW], position, length, lo, hi);
}
