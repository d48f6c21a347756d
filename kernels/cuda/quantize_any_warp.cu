/* quantize_any_warp.cu: weights into the bytes of a format, with the bits of the CPU's quantizers (kernels/quant/):
 * every product, quotient and sum that these round is rounded here (__fmul_rn and its like), none becomes an fma.
 *
 * 4 bytes in and 0.53 to 1.03 out a weight. A warp has eight blocks of 32, or eight groups, whose loads it issues
 * first: 1 KB under way. What bounds it is instructions: about 40 for 32 weights of q8_0 and 55 of q4_0, where an SM of
 * an H200 has 30 in the time that its memory needs for them; int4wo and nf4 10 and 30 a weight and lane. Predicted, of
 * the copy bandwidth: q8_0 70, q4_0 and mxfp4 55, int4wo 60, nf4 25, int8wo and float8wo (a row a block) 85 %. */
#include "engine/ops/recipes.h"
#include "cells.cuh"
#include "rows.cuh"

namespace {

enum { WARPS = 8, EACH = 8, ROW_THREADS = 256, ROW_EACH = 8 };

/* ---- blocks of 32, one after another ---- */

/* minifloat.h's lb_mini_encode of e2m1. */
__device__ uint32_t e2m1_of(float x) {
    uint32_t u = __float_as_uint(x), sign = u >> 31 << 3;
    float a = __uint_as_float(u & 0x7fffffffu);
    a = a > 6.0f ? 6.0f : a;
    u = __float_as_uint(a);
    uint32_t normal = ((u + (1u << 21) - 1 + (u >> 22 & 1u)) >> 22) - (126u << 1);
    uint32_t magic = (uint32_t)(127 - 1 + 23 - 1 + 1) << 23;
    uint32_t small = __float_as_uint(__fadd_rn(a, __uint_as_float(magic))) - magic;
    return (u < 127u << 23 ? small : normal) | sign;
}
/* 17 bytes. */
__device__ void mxfp4_put(float value, uint8_t *dst, int lane) {
    float x = lb_clean_value(value);
    int e = (int)(__float_as_uint(lb_warp_max(fabsf(x))) >> 23) - 2;
    e = e < 0 ? 0 : e > 254 ? 254 : e;
    float inverse = __uint_as_float(e == 254 ? 0x00400000u : (uint32_t)(254 - (e ? e : 1)) << 23);
    uint32_t q = e2m1_of(__fmul_rn(x, inverse)), high = __shfl_down_sync(LB_FULL, q, 16);
    if (lane == 0) dst[0] = (uint8_t)e;
    if (lane < 16) dst[1 + lane] = (uint8_t)(q | high << 4);
}

template <int RECIPE> __global__ void __launch_bounds__(WARPS * 32) blocks_kernel(const float *x, int64_t blocks,
                                                                                  uint8_t *out) {
    constexpr int BYTES = RECIPE == LB_QUANTIZE_Q4_0 ? 18 : RECIPE == LB_QUANTIZE_Q8_0 ? 34 : 17;
    int64_t first = ((int64_t)blockIdx.x * WARPS + threadIdx.x / 32) * EACH;
    int lane = threadIdx.x % 32;
    float v[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++) v[i] = first + i < blocks ? __ldcs(x + (first + i) * 32 + lane) : 0.0f;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (first + i >= blocks) break;
        uint8_t *to = out + (first + i) * BYTES;
        if (RECIPE == LB_QUANTIZE_Q4_0) lb_q4_0_put(v[i], to, lane);
        else if (RECIPE == LB_QUANTIZE_Q8_0) lb_q8_0_put(v[i], to, lane);
        else mxfp4_put(v[i], to, lane);
    }
}

/* ---- groups, with codes and scales in planes ---- */

/* The first code of a byte is its high nibble; E codes of this lane, neighbours. */
template <int E> __device__ void put_codes(const uint32_t q[E], uint8_t *codes, int lane) {
    if constexpr (E == 1) {
        uint32_t next = __shfl_down_sync(LB_FULL, q[0], 1);
        if (lane % 2 == 0) codes[lane / 2] = (uint8_t)(q[0] << 4 | next);
    } else {
#pragma unroll
        for (int i = 0; i < E / 2; i++) codes[lane * (E / 2) + i] = (uint8_t)(q[2 * i] << 4 | q[2 * i + 1]);
    }
}

__device__ float to_bf16(float v) { return lb_bf16_value(lb_bf16_of(v)); }

template <int E> __device__ void int4wo_put(const float v[E], uint8_t *codes, uint16_t *pair, int lane) {
    float x[E], lo = INFINITY, hi = -INFINITY;
#pragma unroll
    for (int i = 0; i < E; i++) x[i] = lb_clean_value(v[i]), lo = fminf(lo, x[i]), hi = fmaxf(hi, x[i]);
    for (int o = 16; o; o >>= 1) {
        lo = fminf(lo, __shfl_xor_sync(LB_FULL, lo, o));
        hi = fmaxf(hi, __shfl_xor_sync(LB_FULL, hi, o));
    }
    float exact = __fdiv_rn(__fsub_rn(hi, lo), 15.0f);
    exact = exact > 1e-6f ? exact : 1e-6f;
    float s = to_bf16(exact), z = to_bf16(__fadd_rn(lo, __fmul_rn(8.0f, exact)));
    float bottom = __fsub_rn(z, __fmul_rn(8.0f, s));
    uint32_t q[E];
#pragma unroll
    for (int i = 0; i < E; i++) {
        float c = __fdiv_rn(__fsub_rn(x[i], bottom), s);
        c = c > 15.0f ? 15.0f : c < 0.0f ? 0.0f : c;
        q[i] = (uint32_t)__float2int_rn(c);
    }
    put_codes<E>(q, codes, lane);
    if (lane == 0) pair[0] = lb_bf16_of(s), pair[1] = lb_bf16_of(z);
}

/* nf4.h's levels, one a lane, so that a shuffle looks one up. */
__device__ float level_of_lane(int lane) {
    const float levels[16] = { -1.0f, -0.6953125f, -0.5234375f, -0.39453125f, -0.28515625f, -0.1845703125f,
        -0.09130859375f,
                               0.0f, 0.07958984375f, 0.1611328125f, 0.24609375f, 0.337890625f, 0.44140625f, 0.5625f,
                               0.72265625f, 1.0f };
    float v = 0;
#pragma unroll
    for (int i = 0; i < 16; i++) v = lane % 16 == i ? levels[i] : v;
    return v;
}
__device__ void nf4_put(const float v[2], uint8_t *codes, float *scale, float level, int lane) {
    float x[2] = { lb_clean_value(v[0]), lb_clean_value(v[1]) }, amax = lb_warp_max(fmaxf(fabsf(x[0]), fabsf(x[1])));
    uint32_t q[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float c = amax > 0 ? __fdiv_rn(x[i], amax) : 0.0f;
        int at = 0; /* the highest level that is not above c */
#pragma unroll
        for (int step = 8; step; step >>= 1)
            if (__shfl_sync(LB_FULL, level, at + step) <= c) at += step;
        int next = at < 15 ? at + 1 : 15;
        float below = fabsf(__fsub_rn(c, __shfl_sync(LB_FULL, level, at)));
        float above = fabsf(__fsub_rn(c, __shfl_sync(LB_FULL, level, next)));
        q[i] = (uint32_t)(above < below ? next : at);
    }
    put_codes<2>(q, codes, lane);
    if (lane == 0) *scale = amax;
}

template <int E, bool NF4>
__global__ void __launch_bounds__(WARPS * 32) groups_kernel(const float *x, int64_t groups, uint8_t *codes,
                                                            uint8_t *scales) {
    constexpr int AHEAD = EACH / E > 2 ? EACH / E : 2;
    int64_t first = ((int64_t)blockIdx.x * WARPS + threadIdx.x / 32) * AHEAD;
    int lane = threadIdx.x % 32;
    struct alignas(E * 4 > 16 ? 16 : E * 4) values { float v[E]; };
    values v[AHEAD] = {};
    float level = NF4 ? level_of_lane(lane) : 0.0f;
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
        if (first + i < groups) v[i] = *(const values *)(x + (first + i) * (32 * E) + lane * E);
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
        int64_t g = first + i;
        if (g >= groups) break;
        uint8_t *to = codes + g * (16 * E);
        if constexpr (NF4) nf4_put(v[i].v, to, (float *)scales + g, level, lane);
        else int4wo_put<E>(v[i].v, to, (uint16_t *)scales + 2 * g, lane);
    }
}

/* ---- rows ---- */

/* int8_rows.h's rule, and float8.c's. */
template <bool FLOAT> __device__ uint8_t code_of(float value, float s, float inverse) {
    float x = lb_clean_value(value);
    if (FLOAT) return lb_f8_of(__fdiv_rn(x, s > 0 ? s : 1.0f));
    float v = __fmul_rn(x, inverse);
    v = v > 127.0f ? 127.0f : v < -128.0f ? -128.0f : v;
    return (uint8_t)(int8_t)__float2int_rn(v);
}

template <bool FLOAT>
__global__ void __launch_bounds__(ROW_THREADS) rows_kernel(const float *x, int64_t n, int64_t k, uint8_t *codes,
                                                           float *scales, bool by_4) {
    __shared__ float scratch[ROW_THREADS / 32];
    for (int64_t r = blockIdx.x; r < n; r += gridDim.x) {
        lb_row_values<ROW_THREADS, ROW_EACH> row;
        row.load(x + r * k, k, by_4);
        float amax = 0;
        row.each([&](int64_t, float v) { amax = fmaxf(amax, fabsf(lb_clean_value(v))); });
        amax = lb_block_max<ROW_THREADS>(amax, scratch);
        float s = FLOAT ? __fdiv_rn(amax, 448.0f) : __fdiv_rn(amax, 127.5f);
        if (!FLOAT) s = s > 0x1p-23f ? s : 0x1p-23f;
        float inverse = FLOAT ? 0.0f : __fdiv_rn(1.0f, s);
        if (row.kept) {
#pragma unroll
            for (int j = 0; j < ROW_EACH; j++) {
                int64_t at = (int64_t)(j * ROW_THREADS + threadIdx.x) * 4;
                if (at >= k) continue;
                *(uchar4 *)(codes + r * k + at) =
                    make_uchar4(code_of<FLOAT>(row.v[j].x, s, inverse), code_of<FLOAT>(row.v[j].y, s, inverse),
                                code_of<FLOAT>(row.v[j].z, s, inverse), code_of<FLOAT>(row.v[j].w, s, inverse));
            }
        } else {
            row.each([&](int64_t i, float v) { codes[r * k + i] = code_of<FLOAT>(v, s, inverse); });
        }
        if (threadIdx.x == 0) scales[r] = s;
    }
}

/* ---- host ---- */

size_t plane_after(int64_t bytes) { return ((size_t)bytes + 63) / 64 * 64; }

template <int RECIPE> void run_blocks(const float *x, int64_t weights, uint8_t *out, const lb_launch *l) {
    int64_t blocks = weights / 32;
    LB_CUDA_LAUNCH_IF_ANY(blocks_kernel<RECIPE>, (unsigned)((blocks + WARPS * EACH - 1) / (WARPS * EACH)), WARPS * 32,
                          0, lb_cuda_stream(l), x, blocks, out);
}
template <int E, bool NF4> void run_groups(const float *x, int64_t weights, uint8_t *out, const lb_launch *l) {
    constexpr int AHEAD = EACH / E > 2 ? EACH / E : 2;
    int64_t groups = weights / (32 * E);
    LB_CUDA_LAUNCH_IF_ANY((groups_kernel<E, NF4>), (unsigned)((groups + WARPS * AHEAD - 1) / (WARPS * AHEAD)),
                          WARPS * 32, 0, lb_cuda_stream(l), x, groups, out, out + plane_after(weights / 2));
}
template <bool FLOAT> void run_rows(const float *x, int64_t n, int64_t k, uint8_t *out, const lb_launch *l) {
    bool by_4 = k % 4 == 0 && (uintptr_t)x % 16 == 0 && (uintptr_t)out % 4 == 0;
    LB_CUDA_LAUNCH_IF_ANY(rows_kernel<FLOAT>, lb_row_blocks(n), ROW_THREADS, 0, lb_cuda_stream(l), x, n, k, out,
                          (float *)(out + plane_after(n * k)), by_4);
}

bool supports(const lb_args *a, const char **why) {
    *why = "this recipe searches, or is HQQ: quantize.any.search and quantize.any.hqq have those";
    if ((int)a->p[LB_QUANTIZE_P_TO] > LB_QUANTIZE_FLOAT8WO) return false;
    *why = "x does not begin at an address of 16 bytes, or out at one of 4";
    return (uintptr_t)lb_tensor_data(lb_arg(a, LB_QUANTIZE_X)) % 16 == 0 &&
           (uintptr_t)lb_tensor_data(lb_arg(a, LB_QUANTIZE_OUT)) % 4 == 0;
}

void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *t = lb_arg(a, LB_QUANTIZE_X);
    const float *x = (const float *)lb_tensor_data(t);
    uint8_t *out = (uint8_t *)lb_tensor_data(lb_arg(a, LB_QUANTIZE_OUT));
    int64_t n = t->dims[0], k = t->dims[1];
    if (n == 0 || k == 0) return;
    switch ((int)a->p[LB_QUANTIZE_P_TO]) {
    case LB_QUANTIZE_Q4_0: run_blocks<LB_QUANTIZE_Q4_0>(x, n * k, out, l); break;
    case LB_QUANTIZE_Q8_0: run_blocks<LB_QUANTIZE_Q8_0>(x, n * k, out, l); break;
    case LB_QUANTIZE_MXFP4: run_blocks<LB_QUANTIZE_MXFP4>(x, n * k, out, l); break;
    case LB_QUANTIZE_INT4WO_32: run_groups<1, false>(x, n * k, out, l); break;
    case LB_QUANTIZE_INT4WO_64: run_groups<2, false>(x, n * k, out, l); break;
    case LB_QUANTIZE_INT4WO_128: run_groups<4, false>(x, n * k, out, l); break;
    case LB_QUANTIZE_INT4WO_256: run_groups<8, false>(x, n * k, out, l); break;
    case LB_QUANTIZE_NF4: run_groups<2, true>(x, n * k, out, l); break;
    case LB_QUANTIZE_INT8WO: run_rows<false>(x, n, k, out, l); break;
    default: run_rows<true>(x, n, k, out, l); break;
    }
}

} // namespace

LB_CUDA_KERNEL(quantize_any_warp) = {
    .name = "quantize.any.warp", .op = "quantize", .device = "cuda",
    .about = "a warp a block or group, a block of 256 threads a row; the CPU's roundings one by one",
        .source = "luabench",
    .isa = LB_ISA_SM80, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30, .tolerance_why = "bytes", .priority = 1, .supports = supports, .launch = launch,
};
