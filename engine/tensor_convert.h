/* tensor_convert.h: runs of elements between dtypes; shared by the tensor files. */
#pragma once
#include "tensor.h"

/* n elements of any dtype but LB_QUANT, `stride` elements apart, as f64 (i64 rounds to nearest), f32, or i64
 * (integer dtypes only). */
void lb_convert_load_f64(lb_dtype t, const void *src, int64_t stride, int64_t n, double *out);
void lb_convert_load_f32(lb_dtype t, const void *src, int64_t stride, int64_t n, float *out);
void lb_convert_load_i64(lb_dtype t, const void *src, int64_t stride, int64_t n, int64_t *out);

/* The way back, dense: one rounding to nearest even; to integers saturating, NaN = 0. */
void lb_convert_store_f64(lb_dtype t, const double *src, int64_t n, void *dst);
void lb_convert_store_f32(lb_dtype t, const float *src, int64_t n, void *dst);
void lb_convert_store_i64(lb_dtype t, const int64_t *src, int64_t n, void *dst);

/* Calls fn for every run of equally spaced elements in [start, start + n) of t in row-major order. */
typedef void (*lb_run_fn)(void *ctx, const void *src, int64_t stride, int64_t n);
void lb_convert_runs(const lb_tensor *t, int64_t start, int64_t n, lb_run_fn fn, void *ctx);

/* The last two dims [N][K] and the product of those before. */
void lb_tensor_matrices(const lb_tensor *t, int64_t *count, int64_t *n, int64_t *k);

/* A header with t's shape and format over `b` (retained), which holds `bytes` in another layout (interned). */
lb_status lb_tensor_new_repacked(const lb_tensor *t, const char *layout, size_t bytes, lb_buffer *b, lb_tensor **out);

/* lb_pool_for over a device's pool, or one call of fn on this thread if [0, n) is small (n <= grain). */
lb_status lb_convert_for(lb_device *d, int64_t n, int64_t grain, void (*fn)(void *ctx, int64_t begin, int64_t end),
                         void *ctx);

static inline bool lb_dtype_is_integer(lb_dtype t) { return t == LB_I8 || t == LB_U8 || t == LB_I32 || t == LB_I64; }
