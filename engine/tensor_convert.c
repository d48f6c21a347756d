/* tensor_convert.c: runs of elements between dtypes, and whole tensors: clone, conversion. */
#include "tensor_convert.h"

#include <stdlib.h>

#include "pool.h"
#include "quantizer.h"

enum { CHUNK = 4096, GRAIN = 1 << 16 };

#define LOAD(T, EXPR)                                            \
    do {                                                         \
        const T *p = src;                                        \
        if (stride == 1)                                         \
            for (int64_t i = 0; i < n; i++) { T v = p[i]; out[i] = EXPR; } \
        else                                                     \
            for (int64_t i = 0; i < n; i++) { T v = p[i * stride]; out[i] = EXPR; } \
    } while (0)

void lb_convert_load_f64(lb_dtype t, const void *src, int64_t stride, int64_t n, double *out) {
    switch (t) {
    case LB_F32: LOAD(float, (double)v); break;
    case LB_F16: LOAD(uint16_t, (double)lb_f16_to_f32(v)); break;
    case LB_BF16: LOAD(uint16_t, (double)lb_bf16_to_f32(v)); break;
    case LB_F8E4M3: LOAD(uint8_t, (double)lb_f8e4m3_to_f32(v)); break;
    case LB_F64: LOAD(double, v); break;
    case LB_I8: LOAD(int8_t, (double)v); break;
    case LB_U8: LOAD(uint8_t, (double)v); break;
    case LB_I32: LOAD(int32_t, (double)v); break;
    case LB_I64: LOAD(int64_t, (double)v); break;
    default: break;
    }
}

void lb_convert_load_f32(lb_dtype t, const void *src, int64_t stride, int64_t n, float *out) {
    switch (t) {
    case LB_F32: LOAD(float, v); break;
    case LB_F16: LOAD(uint16_t, lb_f16_to_f32(v)); break;
    case LB_BF16: LOAD(uint16_t, lb_bf16_to_f32(v)); break;
    case LB_F8E4M3: LOAD(uint8_t, lb_f8e4m3_to_f32(v)); break;
    case LB_F64: LOAD(double, (float)v); break;
    case LB_I8: LOAD(int8_t, (float)v); break;
    case LB_U8: LOAD(uint8_t, (float)v); break;
    case LB_I32: LOAD(int32_t, (float)v); break;
    case LB_I64: LOAD(int64_t, (float)v); break;
    default: break;
    }
}

void lb_convert_load_i64(lb_dtype t, const void *src, int64_t stride, int64_t n, int64_t *out) {
    switch (t) {
    case LB_I8: LOAD(int8_t, v); break;
    case LB_U8: LOAD(uint8_t, v); break;
    case LB_I32: LOAD(int32_t, v); break;
    case LB_I64: LOAD(int64_t, v); break;
    default: break;
    }
}

#define STORE(T, EXPR)                                          \
    do {                                                        \
        T *p = dst;                                             \
        for (int64_t i = 0; i < n; i++) p[i] = (T)(EXPR);       \
    } while (0)

static inline int64_t clamp_i64(int64_t v, int64_t lo, int64_t hi) { return v < lo ? lo : v > hi ? hi : v; }

/* Nearest even, then saturated; the comparison keeps the cast in range, NaN fails both and becomes 0. */
static inline int64_t round_i64(double v, double lo, double hi) {
    double r = rint(v);
    if (r >= lo && r <= hi) return (int64_t)r;
    return r < lo ? (int64_t)lo : r > hi ? (int64_t)hi : 0;
}

static inline int64_t round_i64_wide(double v) {
    double r = rint(v);
    if (r >= 9223372036854775808.0) return INT64_MAX;
    if (r < -9223372036854775808.0) return INT64_MIN;
    return r == r ? (int64_t)r : 0;
}

/* f64 -> f32 with the lost bits kept as one sticky bit ("round to odd"), so that rounding on to a format at least two
 * bits narrower gives what one rounding would. */
static inline float to_f32_odd(double v) {
    float f = (float)v;
    double back = (double)f;
    if (back == v || !(fabs(v) <= 3.4028234663852886e38)) return f;
    uint32_t u = lb_f32_bits(f);
    if (fabs(back) > fabs(v)) u--; /* rounded away from zero: back to the truncated value */
    return lb_f32_from_bits(u | 1u);
}

void lb_convert_store_f64(lb_dtype t, const double *src, int64_t n, void *dst) {
    switch (t) {
    case LB_F32: STORE(float, src[i]); break;
    case LB_F16: STORE(uint16_t, lb_f32_to_f16(to_f32_odd(src[i]))); break;
    case LB_BF16: STORE(uint16_t, lb_f32_to_bf16(to_f32_odd(src[i]))); break;
    case LB_F8E4M3: STORE(uint8_t, lb_f32_to_f8e4m3(to_f32_odd(src[i]))); break;
    case LB_F64: STORE(double, src[i]); break;
    case LB_I8: STORE(int8_t, round_i64(src[i], -128, 127)); break;
    case LB_U8: STORE(uint8_t, round_i64(src[i], 0, 255)); break;
    case LB_I32: STORE(int32_t, round_i64(src[i], -2147483648.0, 2147483647.0)); break;
    case LB_I64: STORE(int64_t, round_i64_wide(src[i])); break;
    default: break;
    }
}

void lb_convert_store_f32(lb_dtype t, const float *src, int64_t n, void *dst) {
    switch (t) {
    case LB_F32: STORE(float, src[i]); break;
    case LB_F16: STORE(uint16_t, lb_f32_to_f16(src[i])); break;
    case LB_BF16: STORE(uint16_t, lb_f32_to_bf16(src[i])); break;
    case LB_F8E4M3: STORE(uint8_t, lb_f32_to_f8e4m3(src[i])); break;
    case LB_F64: STORE(double, src[i]); break;
    case LB_I8: STORE(int8_t, round_i64((double)src[i], -128, 127)); break;
    case LB_U8: STORE(uint8_t, round_i64((double)src[i], 0, 255)); break;
    case LB_I32: STORE(int32_t, round_i64((double)src[i], -2147483648.0, 2147483647.0)); break;
    case LB_I64: STORE(int64_t, round_i64_wide((double)src[i])); break;
    default: break;
    }
}

/* An i64 as an f64 that rounds on to f32 and narrower correctly: sticky, as above. */
static inline double i64_odd(int64_t v) {
    uint64_t a = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    int drop = a ? 64 - __builtin_clzll(a) - 53 : 0;
    if (drop > 0 && (a & ((1ull << drop) - 1))) a = (a >> drop | 1) << drop;
    return v < 0 ? -(double)a : (double)a;
}

void lb_convert_store_i64(lb_dtype t, const int64_t *src, int64_t n, void *dst) {
    switch (t) {
    case LB_F32: STORE(float, src[i]); break;
    case LB_F16: STORE(uint16_t, lb_f32_to_f16(to_f32_odd(i64_odd(src[i])))); break;
    case LB_BF16: STORE(uint16_t, lb_f32_to_bf16(to_f32_odd(i64_odd(src[i])))); break;
    case LB_F8E4M3: STORE(uint8_t, lb_f32_to_f8e4m3(to_f32_odd(i64_odd(src[i])))); break;
    case LB_F64: STORE(double, src[i]); break;
    case LB_I8: STORE(int8_t, clamp_i64(src[i], -128, 127)); break;
    case LB_U8: STORE(uint8_t, clamp_i64(src[i], 0, 255)); break;
    case LB_I32: STORE(int32_t, clamp_i64(src[i], INT32_MIN, INT32_MAX)); break;
    case LB_I64: STORE(int64_t, src[i]); break;
    default: break;
    }
}

void lb_convert_runs(const lb_tensor *t, int64_t start, int64_t n, lb_run_fn fn, void *ctx) {
    const char *data = lb_tensor_data(t);
    size_t size = lb_dtype_size(t->dtype);
    if (n <= 0) return;
    if (t->rank == 0 || lb_tensor_is_dense(t)) {
        fn(ctx, data + (size_t)start * size, 1, n);
        return;
    }
    int64_t idx[LB_MAX_RANK], rest = start;
    for (int i = t->rank - 1; i >= 0; i--) idx[i] = rest % t->dims[i], rest /= t->dims[i];
    int last = t->rank - 1;
    while (n > 0) {
        int64_t at = 0, run = t->dims[last] - idx[last];
        for (int i = 0; i < t->rank; i++) at += idx[i] * t->strides[i];
        if (run > n) run = n;
        fn(ctx, data + (size_t)at * size, t->strides[last], run);
        n -= run;
        idx[last] = 0;
        for (int i = last - 1; i >= 0 && ++idx[i] == t->dims[i]; i--) idx[i] = 0;
    }
}

/* ---- reading ---- */

typedef struct reader {
    lb_dtype dtype;
    float *f32;
    double *f64;
    int64_t *i64;
} reader;

static void read_run(void *ctx, const void *src, int64_t stride, int64_t n) {
    reader *r = ctx;
    if (r->f32) {
        lb_convert_load_f32(r->dtype, src, stride, n, r->f32);
        r->f32 += n;
    } else if (r->f64) {
        lb_convert_load_f64(r->dtype, src, stride, n, r->f64);
        r->f64 += n;
    } else {
        lb_convert_load_i64(r->dtype, src, stride, n, r->i64);
        r->i64 += n;
    }
}

static lb_status not_repacked(const lb_tensor *t) {
    if (!t->layout) return LB_OK;
    char text[240];
    lb_tensor_describe(t, text, sizeof text);
    return lb_fail(LB_EUNSUPPORTED, "%s is repacked for one kernel and cannot be read; use the tensor it was made from",
                   text);
}

/* Whole rows are expanded straight into `out`, the torn first and last through a row of scratch. */
static lb_status read_quantized(const lb_tensor *t, int64_t start, int64_t n, float *out) {
    int64_t count, rows, k;
    const lb_quantizer *q = t->quantizer;
    lb_tensor_matrices(t, &count, &rows, &k);
    size_t matrix_bytes = q->size_bytes(q, rows, k);
    float *scratch = NULL;
    while (n > 0) {
        int64_t row = start / k, column = start % k, matrix = row / rows, in_matrix = row % rows;
        const char *src = (const char *)lb_tensor_data(t) + (size_t)matrix * matrix_bytes;
        int64_t take = k - column < n ? k - column : n;
        if (column == 0 && n >= k) {
            int64_t whole = n / k < rows - in_matrix ? n / k : rows - in_matrix;
            q->dequantize(q, src, rows, k, in_matrix, in_matrix + whole, out);
            take = whole * k;
        } else {
            if (!scratch && !(scratch = malloc(sizeof *scratch * (size_t)k)))
                return lb_fail(LB_ENOMEM, "no memory for a row of %lld floats", (long long)k);
            q->dequantize(q, src, rows, k, in_matrix, in_matrix + 1, scratch);
            memcpy(out, scratch + column, sizeof *out * (size_t)take);
        }
        start += take, n -= take, out += take;
    }
    free(scratch);
    return LB_OK;
}

lb_status lb_tensor_read_f32(const lb_tensor *t, int64_t start, int64_t n, float *out) {
    lb_status s = not_repacked(t);
    if (s) return s;
    if (t->quantizer) return read_quantized(t, start, n, out);
    reader r = { .dtype = t->dtype, .f32 = out };
    lb_convert_runs(t, start, n, read_run, &r);
    return LB_OK;
}

lb_status lb_tensor_read_f64(const lb_tensor *t, int64_t start, int64_t n, double *out) {
    lb_status s = not_repacked(t);
    if (s) return s;
    if (t->quantizer) {
        float *wide = n > 0 ? malloc(sizeof *wide * (size_t)n) : NULL;
        if (n > 0 && !wide) return lb_fail(LB_ENOMEM, "no memory to read %lld elements", (long long)n);
        s = read_quantized(t, start, n, wide);
        for (int64_t i = 0; i < n && !s; i++) out[i] = (double)wide[i];
        free(wide);
        return s;
    }
    reader r = { .dtype = t->dtype, .f64 = out };
    lb_convert_runs(t, start, n, read_run, &r);
    return LB_OK;
}

lb_status lb_convert_for(lb_device *d, int64_t n, int64_t grain, void (*fn)(void *ctx, int64_t begin, int64_t end),
                         void *ctx) {
    if (n <= 0) return LB_OK;
    if (n <= grain) {
        fn(ctx, 0, n);
        return LB_OK;
    }
    lb_pool *pool = lb_device_pool(d);
    if (!pool) return lb_fail(LB_EDEVICE, "device %s has no pool of threads to work with", lb_device_name(d));
    lb_pool_for(pool, n, grain, fn, ctx);
    return LB_OK;
}

/* ---- whole tensors ---- */

typedef struct conversion {
    const lb_tensor *from;
    lb_tensor *to;
} conversion;

/* The widest type that loses nothing on the way: f32 among small types, i64 among integers, else f64. */
static void convert_range(void *ctx, int64_t begin, int64_t end) {
    conversion *c = ctx;
    union { float f32[CHUNK]; double f64[CHUNK]; int64_t i64[CHUNK]; } b;
    lb_dtype from = c->from->dtype, to = c->to->dtype;
    size_t size = lb_dtype_size(to);
    bool narrow = from == LB_F32 || from == LB_F16 || from == LB_BF16 || from == LB_F8E4M3 || from == LB_I8 ||
        from == LB_U8;
    for (int64_t at = begin; at < end; at += CHUNK) {
        int64_t n = end - at < CHUNK ? end - at : CHUNK;
        char *dst = (char *)lb_tensor_data(c->to) + (size_t)at * size;
        reader r = { .dtype = from };
        if (lb_dtype_is_integer(from)) r.i64 = b.i64;
        else if (narrow) r.f32 = b.f32;
        else r.f64 = b.f64;
        lb_convert_runs(c->from, at, n, read_run, &r);
        if (lb_dtype_is_integer(from)) lb_convert_store_i64(to, b.i64, n, dst);
        else if (narrow) lb_convert_store_f32(to, b.f32, n, dst);
        else lb_convert_store_f64(to, b.f64, n, dst);
    }
}

static void copy_bytes(void *ctx, int64_t begin, int64_t end) {
    conversion *c = ctx;
    memcpy((char *)lb_tensor_data(c->to) + begin, (const char *)lb_tensor_data(c->from) + begin, (size_t)(end - begin));
}

lb_status lb_tensor_clone(const lb_tensor *t,
                          lb_tensor **out) { return lb_tensor_to_device(t, t->buffer->device, out); }

lb_status lb_tensor_to_device(const lb_tensor *t, lb_device *d, lb_tensor **out) {
    lb_tensor *c = NULL;
    lb_buffer *b = NULL;
    *out = NULL;
    lb_status s;
    if (t->layout) { /* other bytes than the native form's */
        if ((s = lb_buffer_new(d, t->layout_bytes, &b))) return s;
        s = lb_tensor_new_repacked(t, t->layout, t->layout_bytes, b, &c);
        lb_buffer_release(b);
    } else {
        s = lb_tensor_new(d, t->dtype, t->quantizer, t->rank, t->dims, &c);
    }
    if (s) return s;
    conversion job = { t, c };
    if (lb_tensor_is_dense(t))
        s = lb_convert_for(d, (int64_t)lb_tensor_size_bytes(t), 1 << 20, copy_bytes, &job);
    else
        s = lb_convert_for(d, lb_tensor_numel(t), GRAIN, convert_range, &job);
    if (s) goto fail;
    *out = c;
    return LB_OK;
fail:
    lb_tensor_release(c);
    return s;
}

lb_status lb_tensor_to_dtype(const lb_tensor *t, lb_dtype dtype, lb_tensor **out) {
    lb_tensor *c = NULL, *wide = NULL;
    *out = NULL;
    if (dtype == LB_QUANT || (unsigned)dtype >= LB_DTYPE_COUNT)
        return lb_fail(LB_EINVAL, "conversion: expected an element type such as f32, got %s; to quantize, use quantize",
                       lb_dtype_name(dtype));
    lb_status s = not_repacked(t);
    if (s) return s;
    if (t->quantizer) {
        if ((s = lb_tensor_dequantize(t, &wide)) || dtype == LB_F32) {
            *out = wide;
            return s;
        }
        t = wide;
    }
    if ((s = lb_tensor_new(t->buffer->device, dtype, NULL, t->rank, t->dims, &c))) goto done;
    conversion job = { t, c };
    s = lb_convert_for(t->buffer->device, lb_tensor_numel(t), GRAIN, convert_range, &job);
done:
    if (s)
        lb_tensor_release(c);
    else
        *out = c;
    lb_tensor_release(wide);
    return s;
}
