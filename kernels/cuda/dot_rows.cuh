/* dot_rows.cuh: products of rows of weights of any type with rows of x, in f32: a warp for one row of weights and eight
 * rows of x, so that a launch of up to 8 (decode) reads each weight once. x, 4 K bytes a row, comes from L1. With more
 * rows the weights come again from L2 for each eight; what bounds it then is one f32 fma a product. */
#pragma once
#include "cells.cuh"
#include "rows.cuh"

namespace {

enum { WARPS = 8, TOKENS = 8, LOAD = 8 };

/* Eight neighbours as f32; `at` is a multiple of 8 and the row aligned to 16 bytes, or they are read one by one. */
__device__ static void load(lb_dtype type, int packed, const char *row, int64_t at, int64_t k, bool aligned,
                            float out[LOAD]) {
    if (aligned && at + LOAD <= k && (type == LB_BF16 || type == LB_F16)) {
        uint4 v = __ldcs((const uint4 *)(row + at * 2));
        uint32_t pair[4] = { v.x, v.y, v.z, v.w };
#pragma unroll
        for (int i = 0; i < 4; i++) {
            out[2 * i] = type == LB_BF16 ? __uint_as_float(pair[i] << 16) : lb_f16_value((uint16_t)pair[i]);
            out[2 * i + 1] = type == LB_BF16 ? __uint_as_float(pair[i] & 0xffff0000u) :
                lb_f16_value((uint16_t)(pair[i] >> 16));
        }
        return;
    }
    if (aligned && at + LOAD <= k && type == LB_F32) {
        float4 a = __ldcs((const float4 *)(row + at * 4)), b = __ldcs((const float4 *)(row + at * 4) + 1);
        out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w, out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
        return;
    }
#pragma unroll
    for (int i = 0; i < LOAD; i++) out[i] = at + i < k ? lb_cell(type, packed, row, at + i) : 0.0f;
}

__global__ void __launch_bounds__(WARPS * 32) dot_rows_kernel(lb_rows x, const char *w, lb_dtype type, int packed,
                                                               int64_t row_bytes, int64_t n, int64_t k, int64_t tokens,
                                                               int64_t heads, lb_rows out, bool aligned, bool x_by_4) {
    int64_t r = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, h = blockIdx.y;
    int lane = threadIdx.x % 32;
    if (r >= n) return;
    const char *row = w + (h * n + r) * row_bytes;
    for (int64_t first = (int64_t)blockIdx.z * TOKENS; first < tokens; first += (int64_t)gridDim.z * TOKENS) {
        const float *from[TOKENS];
        float sum[TOKENS] = {};
#pragma unroll
        for (int t = 0; t < TOKENS; t++)
            from[t] = lb_row(x, (first + t < tokens ? first + t : first) * heads + h);
        for (int64_t i = lane * LOAD; i < k; i += 32 * LOAD) {
            float v[LOAD];
            load(type, packed, row, i, k, aligned, v);
#pragma unroll
            for (int t = 0; t < TOKENS; t++) {
                if (first + t >= tokens) break;
                if (x_by_4 && i + LOAD <= k) {
                    float4 a = *(const float4 *)(from[t] + i), b = *(const float4 *)(from[t] + i + 4);
                    sum[t] = fmaf(v[0], a.x, fmaf(v[1], a.y, fmaf(v[2], a.z, fmaf(v[3], a.w, sum[t]))));
                    sum[t] = fmaf(v[4], b.x, fmaf(v[5], b.y, fmaf(v[6], b.z, fmaf(v[7], b.w, sum[t]))));
                } else {
                    for (int j = 0; j < LOAD; j++)
                        if (i + j < k) sum[t] = fmaf(v[j], from[t][i + j], sum[t]);
                }
            }
        }
#pragma unroll
        for (int t = 0; t < TOKENS; t++) {
            float s = sum[t];
            for (int o = 16; o; o >>= 1) s += __shfl_xor_sync(0xffffffffu, s, o);
            if (lane == 0 && first + t < tokens) lb_row(out, (first + t) * heads + h)[r] = s;
        }
    }
}

/* x and out: rows [tokens][heads]; w: [heads][n][k] of a float type or, packed, of q8_0 or q4_0 blocks. */
static inline void dot_rows_launch(const lb_launch *l, const lb_rows &x, const void *w, lb_dtype type, int packed,
                                   int64_t n,
                                   int64_t k, int64_t tokens, int64_t heads, const lb_rows &out) {
    if (tokens == 0 || heads == 0 || n == 0) return;
    int64_t row_bytes = packed ? k / 32 * lb_packed_bytes(packed) : k * (int64_t)lb_dtype_size(type);
    int64_t groups = (tokens + TOKENS - 1) / TOKENS;
    dim3 grid((unsigned)((n + WARPS - 1) / WARPS), (unsigned)heads, (unsigned)(groups < 65535 ? groups : 65535));
    LB_CUDA_LAUNCH(dot_rows_kernel, grid, WARPS * 32, 0, lb_cuda_stream(l), x, (const char *)w, type, packed, row_bytes,
                   n, k,
                   tokens, heads, out, row_bytes % 16 == 0 && (uintptr_t)w % 16 == 0, lb_rows_by_4(x));
}

} // namespace
