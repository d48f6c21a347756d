/* rows.cuh: rows [.., K] of any strides on the device, sums and maxima of a block, and element-by-element kernels.
 *
 * What they are held against on an H200 (4.8 TB/s by its datasheet, 132 SMs): the bytes of a kernel's operands, once.
 * To keep the memory busy about 22 KB have to be under way in each SM; 2048 threads with one 16-byte load each are
 * 32. */
#pragma once
#include "engine/kernel_cuda.h"

struct lb_rows {
    float *base;
    int64_t count, length;
    int64_t step;                                    /* from row to row in elements; used if rank == 0 */
    int rank;                                        /* else of the dimensions that count rows */
    int64_t dims[LB_MAX_RANK - 1], strides[LB_MAX_RANK - 1];
};

__device__ static inline float *lb_row(const lb_rows &r, int64_t i) {
    if (r.rank == 0) return r.base + i * r.step;
    int64_t at = 0;
    for (int d = r.rank - 1; d >= 0; d--) at += i % r.dims[d] * r.strides[d], i /= r.dims[d];
    return r.base + at;
}

/* Rows as few dimensions describe them; dense ones are a single long row where `join` allows it. */
static inline lb_rows lb_rows_of(const lb_tensor *t, bool join = false) {
    lb_rows r = {};
    r.base = (float *)lb_tensor_data(t);
    r.count = lb_row_count(t), r.length = lb_row_length(t);
    if (join && lb_tensor_is_dense(t)) {
        r.length *= r.count, r.count = r.length ? 1 : 0;
        return r;
    }
    int64_t inner = 1;
    bool even = true;
    for (int d = t->rank - 2; d >= 0; d--) {
        if (t->dims[d] == 1) continue;
        if (r.step == 0) r.step = t->strides[d];
        else even = even && t->strides[d] == r.step * inner;
        inner *= t->dims[d];
    }
    if (even) return r;
    r.rank = t->rank - 1;
    for (int d = 0; d < r.rank; d++) r.dims[d] = t->dims[d], r.strides[d] = t->strides[d];
    return r;
}
/* [K], the same for every row. */
static inline lb_rows lb_rows_same(const lb_tensor *t) {
    lb_rows r = {};
    r.base = (float *)lb_tensor_data(t), r.count = 1, r.length = t->dims[t->rank - 1];
    return r;
}
/* Every row begins at an address of 16 bytes and holds whole float4s. */
static inline bool lb_rows_by_4(const lb_rows &r) {
    bool fits = (uintptr_t)r.base % 16 == 0 && r.length % 4 == 0 && r.step % 4 == 0;
    for (int d = 0; d < r.rank; d++) fits = fits && r.strides[d] % 4 == 0;
    return fits;
}

/* ---- a block's sums: the same order whatever else runs ---- */

template <int THREADS> __device__ static inline float lb_block_sum(float v, float *scratch /* THREADS / 32, shared */) {
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    if (THREADS == 32) return v;
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
#pragma unroll
    for (int i = 0; i < THREADS / 32; i++) v += scratch[i];
    return v;
}
/* NaN is left out, as fmaxf does. */
template <int THREADS> __device__ static inline float lb_block_max(float v, float *scratch) {
    for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
    if (THREADS == 32) return v;
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    v = scratch[0];
#pragma unroll
    for (int i = 1; i < THREADS / 32; i++) v = fmaxf(v, scratch[i]);
    return v;
}

/* ---- one row a block ----
 * Values of a row stay in registers between its passes where it fits EACH float4s a thread; longer rows, and those that
 * are not aligned, are read again, from L2. */

template <int THREADS, int EACH> struct lb_row_values {
    float4 v[EACH];
    const float *row;
    int64_t k;
    bool kept;

    __device__ void load(const float *r, int64_t length, bool by_4) {
        row = r, k = length;
        kept = by_4 && length <= (int64_t)THREADS * EACH * 4;
        if (!kept) return;
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int64_t at = (int64_t)(j * THREADS + threadIdx.x) * 4;
            v[j] = at < k ? *(const float4 *)(row + at) : make_float4(0, 0, 0, 0);
        }
    }
    /* f(index, value) for this thread's elements. */
    template <class F> __device__ void each(F f) const {
        if (!kept) {
            for (int64_t i = threadIdx.x; i < k; i += THREADS) f(i, row[i]);
            return;
        }
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int64_t at = (int64_t)(j * THREADS + threadIdx.x) * 4;
            if (at >= k) continue;
            f(at, v[j].x), f(at + 1, v[j].y), f(at + 2, v[j].z), f(at + 3, v[j].w);
        }
    }
    /* out[i] = f(i, value) */
    template <class F> __device__ void store(float *out, F f) const {
        if (!kept) {
            for (int64_t i = threadIdx.x; i < k; i += THREADS) out[i] = f(i, row[i]);
            return;
        }
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int64_t at = (int64_t)(j * THREADS + threadIdx.x) * 4;
            if (at >= k) continue;
            *(float4 *)(out + at) = make_float4(f(at, v[j].x), f(at + 1, v[j].y), f(at + 2, v[j].z), f(at + 3, v[j].w));
        }
    }
};

/* Blocks of a grid that gives each row one; more rows than that go round. */
static inline unsigned lb_row_blocks(int64_t rows) { return (unsigned)(rows < (1 << 30) ? rows : 1 << 30); }

/* ---- element by element ---- */

enum { LB_MAP_THREADS = 256 };

/* out = f(a, b) over rows of equal length; b may be one row for all. Four elements a thread. */
template <bool BY_4, class F>
__global__ void __launch_bounds__(LB_MAP_THREADS) lb_map_kernel(lb_rows a, lb_rows b, lb_rows out, F f) {
    int64_t i = ((int64_t)blockIdx.x * LB_MAP_THREADS + threadIdx.x) * (BY_4 ? 4 : 1);
    if (i >= out.length) return;
    for (int64_t r = blockIdx.y; r < out.count; r += gridDim.y) {
        const float *pa = lb_row(a, r) + i, *pb = lb_row(b, r) + i;
        float *po = lb_row(out, r) + i;
        if (BY_4) {
            float4 x = *(const float4 *)pa, y = *(const float4 *)pb;
            *(float4 *)po = make_float4(f(x.x, y.x), f(x.y, y.y), f(x.z, y.z), f(x.w, y.w));
        } else {
            *po = f(*pa, *pb);
        }
    }
}

/* Of one operand: give it twice, the second read is free. */
template <class F> static void lb_map(lb_rows a, lb_rows b, lb_rows out, F f, const lb_launch *l) {
    if (out.count == 0 || out.length == 0) return;
    bool by_4 = lb_rows_by_4(a) && lb_rows_by_4(b) && lb_rows_by_4(out);
    int64_t each = LB_MAP_THREADS * (by_4 ? 4 : 1);
    dim3 grid((unsigned)((out.length + each - 1) / each), (unsigned)(out.count < 65535 ? out.count : 65535));
    if (by_4) LB_CUDA_LAUNCH((lb_map_kernel<true, F>), grid, LB_MAP_THREADS, 0, lb_cuda_stream(l), a, b, out, f);
    else LB_CUDA_LAUNCH((lb_map_kernel<false, F>), grid, LB_MAP_THREADS, 0, lb_cuda_stream(l), a, b, out, f);
}
