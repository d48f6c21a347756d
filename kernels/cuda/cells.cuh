/* cells.cuh: values of every type that caches and tables have, to and from f32, with the bits of the CPU's conversions
 * (dtype.h, kernels/quant/q8_0.c, q4_0.c). Products that the CPU rounds are __fmul_rn here, so that no fma takes their
 * place. */
#pragma once
#include "engine/kernel_cuda.h"
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

__device__ static inline float lb_f16_value(uint16_t h) { return __half2float(__ushort_as_half(h)); }
__device__ static inline uint16_t lb_f16_of(float v) { return __half_as_ushort(__float2half_rn(v)); }
__device__ static inline float lb_bf16_value(uint16_t h) { return __uint_as_float((uint32_t)h << 16); }
__device__ static inline uint16_t lb_bf16_of(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }
__device__ static inline float lb_f8_value(uint8_t h) {
    float v = __uint_as_float((uint32_t)(h & 0x7f) << 20) * 0x1p120f; /* exact, subnormals too */
    v = (h & 0x7f) == 0x7f ? __uint_as_float(0x7fc00000u) : v;
    return h & 0x80 ? -v : v;
}
__device__ static inline uint8_t lb_f8_of(float v) {
    return (uint8_t)__nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3);
}

/* Element i of a row of a float type; or of blocks of q8_0 or q4_0. */
__device__ static inline float lb_cell(lb_dtype type, int packed, const char *row, int64_t i) {
    switch (type) {
    case LB_F32: return ((const float *)row)[i];
    case LB_F16: return lb_f16_value(((const uint16_t *)row)[i]);
    case LB_BF16: return lb_bf16_value(((const uint16_t *)row)[i]);
    case LB_F64: return (float)((const double *)row)[i];
    case LB_F8E4M3: return lb_f8_value(((const uint8_t *)row)[i]);
    default: break;
    }
    int64_t b = i / 32;
    int j = (int)(i % 32);
    if (packed == LB_PACKED_Q8_0) {
        const char *p = row + b * 34;
        return __fmul_rn(lb_f16_value(*(const uint16_t *)p), (float)(int8_t)p[2 + j]);
    }
    const uint8_t *p = (const uint8_t *)row + b * 18;
    int q = j < 16 ? p[2 + j] & 15 : p[2 + j - 16] >> 4;
    return __fmul_rn(lb_f16_value(*(const uint16_t *)p), (float)(q - 8));
}
__device__ static inline void lb_cell_put(lb_dtype type, char *row, int64_t i, float v) {
    switch (type) {
    case LB_F32: ((float *)row)[i] = v; break;
    case LB_F16: ((uint16_t *)row)[i] = lb_f16_of(v); break;
    case LB_BF16: ((uint16_t *)row)[i] = lb_bf16_of(v); break;
    default: ((uint8_t *)row)[i] = lb_f8_of(v); break;
    }
}

/* ---- blocks of 32 weights, one a lane ---- */

#define LB_FULL 0xffffffffu

/* kquant.h's lb_clean, lb_finite_ratio and lb_f16_scale. */
__device__ static inline float lb_clean_value(float v) {
    const float limit = 1e9f;
    float c = v > limit ? limit : v;
    c = c < -limit ? -limit : c;
    return c == c ? c : 0.0f;
}
__device__ static inline float lb_ratio(float n, float d) {
    float r = d != 0 ? __fdiv_rn(n, d) : 0.0f;
    return r - r == 0 ? r : 0.0f;
}
__device__ static inline uint16_t lb_scale_f16(float v) {
    return lb_f16_of(v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v);
}
__device__ static inline float lb_warp_max(float v) {
    for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(LB_FULL, v, o));
    return v;
}
/* The first of the 32 values whose size is the largest; 0 if all are 0. */
__device__ static inline float lb_warp_extreme(float x) {
    float amax = lb_warp_max(fabsf(x));
    int first = __ffs((int)__ballot_sync(LB_FULL, fabsf(x) == amax)) - 1;
    float extreme = __shfl_sync(LB_FULL, x, first);
    return amax > 0 ? extreme : 0.0f;
}
/* In a cache a block with NaN or Inf has NaN as its factor; all 32 lanes. */
__device__ static inline bool lb_block_finite(float value) { return !__any_sync(LB_FULL, !(value - value == 0)); }
/* 34 bytes at an even address. */
__device__ static inline void lb_q8_0_put(float value, uint8_t *dst, int lane) {
    float x = lb_clean_value(value), d = __fdiv_rn(lb_warp_max(fabsf(x)), 127.0f), inverse = lb_ratio(1.0f, d);
    float v = __fmul_rn(x, inverse), whole = (float)(int)v, rest = v - whole;
    whole += rest >= 0.5f ? 1.0f : rest <= -0.5f ? -1.0f : 0.0f;
    if (lane == 0) *(uint16_t *)dst = lb_scale_f16(d);
    dst[2 + lane] = (uint8_t)(int8_t)(int)whole;
}
/* 18 bytes at an even address. */
__device__ static inline void lb_q4_0_put(float value, uint8_t *dst, int lane) {
    float x = lb_clean_value(value), d = __fdiv_rn(lb_warp_extreme(x), -8.0f), inverse = lb_ratio(1.0f, d);
    int q = (int)__fadd_rn(__fmul_rn(x, inverse), 8.5f);
    q = q > 15 ? 15 : q;
    int high = __shfl_down_sync(LB_FULL, q, 16);
    if (lane == 0) *(uint16_t *)dst = lb_scale_f16(d);
    if (lane < 16) dst[2 + lane] = (uint8_t)(q | high << 4);
}

/* ---- batches and caches, as kv.h has them, by whole warps ---- */

/* lb_batch_owner without its walk over the sequences. */
__device__ static inline int64_t lb_owner(const lb_batch &b, int64_t row) {
    int64_t begin, end, lo = 0, hi = b.sequences;
    if (!b.starts) {
        int64_t each = b.sequences ? b.rows / b.sequences : 0;
        return each && row / each < b.sequences ? row / each : -1;
    }
    while (hi - lo > 1) { /* the last whose rows begin at or before `row` */
        int64_t mid = (lo + hi) / 2;
        if (b.starts[mid] <= row) lo = mid;
        else hi = mid;
    }
    if (b.sequences == 0) return -1;
    lb_batch_rows(&b, lo, &begin, &end);
    return row >= begin && row < end ? lo : -1;
}
/* lb_kv_length, 32 pages at a time; all lanes with the same arguments. */
__device__ static inline int64_t lb_warp_kv_length(const lb_kv &c, int64_t b, int64_t wanted, int lane) {
    int64_t n = lb_clamp(wanted, 0, c.capacity);
    if (!c.pages || n == 0) return n;
    int64_t pages = (n + c.rows - 1) / c.rows;
    for (int64_t p = 0; p < pages; p += 32) {
        int32_t page = p + lane < pages ? c.pages[b * c.pages_each + p + lane] : 0;
        unsigned bad = __ballot_sync(LB_FULL, p + lane < pages && (page < 0 || page >= c.page_count));
        if (bad) return (p + __ffs((int)bad) - 1) * c.rows;
    }
    return n;
}
