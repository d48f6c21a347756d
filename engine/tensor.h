/* tensor.h: dtype + shape + strides over a refcounted buffer. Weights are [N][K], K contiguous. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "device.h"
#include "dtype.h"
#include "status.h"

#define LB_MAX_RANK 8

typedef struct lb_quantizer lb_quantizer;

struct lb_mirror;

typedef struct lb_buffer {
    atomic_int refs;
    lb_device *device;            /* retained */
    void *data;                   /* where the host reads and writes it; see lb_tensor_data */
    size_t size_bytes;
    void (*release)(struct lb_buffer *b);  /* frees `data`; NULL = lb_device_free */
    void *owner;                  /* for release(): a mapping, a file, ... */
    struct lb_mirror *mirror;     /* of devices with a memory of their own: mirror.h; else NULL */
    bool repacked;                /* a layout was made of a tensor in it (tensor_quant.c, under its lock) */
} lb_buffer;

/* Of a buffer with a mirror: its bytes, brought here first if the device has newer ones, and the host's from now on. */
void *lb_buffer_host(lb_buffer *b);

/* New buffer with one reference; contents undefined. */
lb_status lb_buffer_new(lb_device *d, size_t bytes, lb_buffer **out);
/* Wraps memory that release() will free (a mapped file); takes ownership of it on success only. */
lb_status lb_buffer_wrap(lb_device *d, void *data, size_t bytes, void (*release)(lb_buffer *),
                         void *owner, lb_buffer **out);
lb_buffer *lb_buffer_retain(lb_buffer *b);
void lb_buffer_release(lb_buffer *b);

typedef struct lb_tensor {
    atomic_int refs;
    lb_dtype dtype;
    const lb_quantizer *quantizer;  /* iff dtype == LB_QUANT; interned, never freed */
    const char *layout;             /* NULL = native; else an interned layout name ("rows16") */
    int rank;
    int64_t dims[LB_MAX_RANK];
    int64_t strides[LB_MAX_RANK];   /* in elements; unused for LB_QUANT (always dense) */
    lb_buffer *buffer;              /* retained */
    size_t offset_bytes;            /* of element 0 in the buffer */
    size_t layout_bytes;            /* stored bytes if `layout` is set */
    struct lb_tensor *repacked;     /* cached other layouts of this tensor, a list through `repacked` */
} lb_tensor;

/* New dense row-major tensor on `d`. `q` is given iff dtype is LB_QUANT: the last two dims are [N][K], any
 * before them count matrices; K must be a multiple of the quantizer's block, else LB_EINVAL says so.
 * Sizes are overflow-checked; zero-sized dims are legal. Contents undefined. */
lb_status lb_tensor_new(lb_device *d, lb_dtype dtype, const lb_quantizer *q, int rank, const int64_t *dims,
                        lb_tensor **out);
/* As above over an existing buffer (retained) at an offset; checks that it fits. */
lb_status lb_tensor_wrap(lb_buffer *b, size_t offset_bytes, lb_dtype dtype, const lb_quantizer *q, int rank,
                         const int64_t *dims, lb_tensor **out);
lb_tensor *lb_tensor_retain(lb_tensor *t);
void lb_tensor_release(lb_tensor *t);

/* Element 0, for the host to read and write. (Kernels of other devices are given tensors whose data lie there.) */
static inline void *lb_tensor_data(const lb_tensor *t) {
    return (char *)(t->buffer->mirror ? lb_buffer_host(t->buffer) : t->buffer->data) + t->offset_bytes;
}
/* The same address, only to tell tensors apart: nothing is moved, and nothing may be read through it. */
static inline uintptr_t lb_tensor_address(const lb_tensor *t) { return (uintptr_t)t->buffer->data + t->offset_bytes; }
static inline const float *lb_tensor_f32(const lb_tensor *t) { return (const float *)lb_tensor_data(t); }

int64_t lb_tensor_numel(const lb_tensor *t);
bool lb_tensor_is_dense(const lb_tensor *t);
/* Bytes of the stored elements (packed bytes and all metadata for LB_QUANT, of its current layout). */
size_t lb_tensor_size_bytes(const lb_tensor *t);

/* Views retain the buffer. Quantized tensors: only leading (matrix-count) dims can be sliced or reshaped. */
lb_status lb_tensor_reshape(const lb_tensor *t, int rank, const int64_t *dims, lb_tensor **out); /* one dim may be -1 */
lb_status lb_tensor_slice(const lb_tensor *t, int dim, int64_t start, int64_t stop, lb_tensor **out);
lb_status lb_tensor_transpose(const lb_tensor *t, int a, int b, lb_tensor **out);
/* A dense copy (same dtype and device). */
lb_status lb_tensor_clone(const lb_tensor *t, lb_tensor **out);
/* A copy on another device: dense, but for repacked tensors, which stay as they are. */
lb_status lb_tensor_to_device(const lb_tensor *t, lb_device *d, lb_tensor **out);
/* Converts element type; RNE for float to float, RNE + saturate for float to integer. From LB_QUANT: dequantizes. */
lb_status lb_tensor_to_dtype(const lb_tensor *t, lb_dtype dtype, lb_tensor **out);
/* Quantizes [.., N, K] float data (any float dtype, dense or not) on all threads of the tensor's device.
 * `progress` may be NULL; else it is called with done/total rows from the calling thread. */
typedef void (*lb_progress_fn)(void *ctx, int64_t done, int64_t total);
lb_status lb_tensor_quantize(const lb_tensor *t, const lb_quantizer *q, lb_progress_fn progress, void *ctx,
                             lb_tensor **out);
/* The same with sample activations [M, K] f32, for the recipes that have an algorithm for them (LB_EINVAL for
 * others). */
lb_status lb_tensor_quantize_calibrated(const lb_tensor *t, const lb_quantizer *q, const lb_tensor *samples,
                                        lb_progress_fn progress, void *ctx, lb_tensor **out);
/* The same into a tensor that is there: of `q`, t's shape and device, native layout, in memory other than t's, and of
 * which no repacked form (lb_tensor_in_layout) was made, whole or of any view, even one that is gone; else LB_EINVAL or
 * LB_EDEVICE, and nothing is written. Views of its memory, and plans that read it as it lies, have the new weights.
 * After another error (interrupted, no memory) part of it is written. */
lb_status lb_tensor_quantize_into(const lb_tensor *t, const lb_quantizer *q, const lb_tensor *samples,
                                  lb_progress_fn progress, void *ctx, lb_tensor *out);
/* Re-encodes a quantized tensor in a wider format of the same family with exactly the same values; *out is NULL, and
 * the status LB_OK, where the formats do not nest. */
lb_status lb_tensor_widen(const lb_tensor *t, const lb_quantizer *to, lb_tensor **out);
lb_status lb_tensor_dequantize(const lb_tensor *t, lb_tensor **out);
/* One element as double (dequantized if need be); idx has rank entries, in range. */
double lb_tensor_at(const lb_tensor *t, const int64_t *idx);
void lb_tensor_set(lb_tensor *t, const int64_t *idx, double v); /* not for LB_QUANT */

/* Elements [start, start + n) in row-major order, of any dtype (dequantized if need be), dense or not. The range must
 * lie in the tensor. Safe from several threads. Fails only for repacked tensors and for want of memory. */
lb_status lb_tensor_read_f32(const lb_tensor *t, int64_t start, int64_t n, float *out);
lb_status lb_tensor_read_f64(const lb_tensor *t, int64_t start, int64_t n, double *out);

/* The tensor in another memory layout; NULL or "native" = the tensor itself. Converted once on all threads
 * and cached on `t`, which owns the result. `spent_ns` (may be NULL) gets the time of a conversion, 0 if cached.
 * The layouts are those that registered kernels declare; see kernel.h. */
struct lb_kernel;
lb_status lb_tensor_in_layout(lb_tensor *t, const struct lb_kernel *k, lb_tensor **out_borrowed, uint64_t *spent_ns);

/* "f32[2, 3]", "q4_k[64, 4096]" */
void lb_tensor_describe(const lb_tensor *t, char *out, size_t out_bytes);
