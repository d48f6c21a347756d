/* quantize_any_search.cu: the K-quants and uniform, whose scales are searched for (kernels/quant/kquant_search.h): the
 * CPU's operations one by one, in its order, so that the bits are its own.
 *
 * A thread has a sub-block of 16 or 32 in registers and does what a lane of the CPU's vectors does; neighbours in a
 * warp make a super-block and exchange scales by shuffles. Counted: 16 instructions a weight and candidate, 22
 * candidates for q4_k, 17 for q2_k and q5_k, 19 x 8 for q6_k, 12 x 9 for uniform: 110 to 350 a weight, against 5 bytes
 * to move. */
#include "engine/ops/recipes.h"
#include "cells.cuh"
#include "exact.cuh"

namespace {

typedef lb_exact F;
enum { THREADS = 128 };

/* ---- searches ---- */

struct sums { F l, l2, xl; };

template <int SUB> __device__ sums candidate(const F *t, F inverse, F min, F nmax, F *codes) {
    sums s = { 0.0f, 0.0f, 0.0f };
#pragma unroll
    for (int i = 0; i < SUB; i++) {
        F l = lb_exact_clamp(lb_exact_nearest(inverse * (t[i] - min)), 0.0f, nmax);
        s.l = s.l + l, s.l2 = s.l2 + l * l, s.xl = s.xl + l * t[i];
        codes[i] = l;
    }
    return s;
}
template <int SUB> __device__ F error_of(const F *t, F scale, F min, const F *codes) {
    F err = 0.0f;
#pragma unroll
    for (int i = 0; i < SUB; i++) {
        F d = scale * codes[i] + min - t[i];
        err = err + d * d;
    }
    return err;
}

/* *scale >= 0 and *deep = -min >= 0 */
template <int SUB> __device__ void search_min(const F *t, F nmax, F from, int steps, F *scale, F *deep) {
    F codes[SUB], lo = 0.0f, hi = t[0], sum_x = 0.0f, count = (float)SUB;
#pragma unroll
    for (int i = 0; i < SUB; i++) lo = lo < t[i] ? lo : t[i], hi = hi > t[i] ? hi : t[i], sum_x = sum_x + t[i];
    F best_scale = (hi - lo) * (F(1.0f) / nmax), best_min = lo;
    candidate<SUB>(t, lb_exact_ratio(nmax, hi - lo), lo, nmax, codes);
    F best = error_of<SUB>(t, best_scale, best_min, codes);
#pragma unroll 1
    for (int step = 0; step <= steps; step++) {
        F inverse = lb_exact_ratio(nmax + from + F(0.1f) * (float)step, hi - best_min);
        sums s = candidate<SUB>(t, inverse, best_min, nmax, codes);
        F det = count * s.l2 - s.l * s.l;
        F a = lb_exact_ratio(count * s.xl - sum_x * s.l, det), b = lb_exact_ratio(s.l2 * sum_x - s.l * s.xl, det);
        if (b > 0.0f) a = lb_exact_ratio(s.xl, s.l2), b = 0.0f;
        F err = error_of<SUB>(t, a, b, codes);
        if (det > 0.0f && err < best && a >= 0.0f) best = err, best_scale = a, best_min = b;
    }
    *scale = best_scale, *deep = F(0.0f) - best_min;
}

template <int SUB> __device__ F extreme(const F *t) {
    F m = t[0];
#pragma unroll
    for (int i = 1; i < SUB; i++) m = lb_exact_size(t[i]) > lb_exact_size(m) ? t[i] : m;
    return m;
}

__device__ F search_symmetric6(const F *t) {
    F best = 0.0f, best_scale = 0.0f, max = extreme<16>(t);
#pragma unroll 1
    for (int step = -9; step <= 9; step++) {
        F inverse = lb_exact_ratio(-(F(32.0f) + F(0.1f) * (float)step).v, max), xl = 0.0f, l2 = 0.0f;
#pragma unroll
        for (int i = 0; i < 16; i++) {
            F l = lb_exact_clamp(lb_exact_nearest(inverse * t[i]), -32.0f, 31.0f);
            xl = xl + l * t[i], l2 = l2 + l * l;
        }
        F gain = lb_exact_ratio(xl * xl, l2);
        if (gain > best) best = gain, best_scale = lb_exact_ratio(xl, l2);
    }
    return best_scale;
}

__device__ F search_symmetric3(const F *t) {
    F codes[16], xl = 0.0f, l2 = 0.0f, inverse = lb_exact_ratio(-4.0f, extreme<16>(t));
#pragma unroll
    for (int i = 0; i < 16; i++) {
        F l = lb_exact_clamp(lb_exact_nearest(inverse * t[i]), -4.0f, 3.0f);
        codes[i] = l, xl = xl + l * t[i], l2 = l2 + l * l;
    }
#pragma unroll 1
    for (int pass = 0; pass < 5; pass++)
#pragma unroll
        for (int i = 0; i < 16; i++) {
            F other_xl = xl - t[i] * codes[i], other_l2 = l2 - codes[i] * codes[i];
            F wanted = lb_exact_clamp(lb_exact_ratio(t[i] * other_l2, other_xl), -8.0f, 8.0f);
            F l = lb_exact_clamp(lb_exact_nearest(wanted), -4.0f, 3.0f);
            F new_xl = other_xl + t[i] * l, new_l2 = other_l2 + l * l;
            if (other_xl > 0.0f && new_l2 > 0.0f && new_xl * new_xl * l2 > xl * xl * new_l2)
                codes[i] = l, xl = new_xl, l2 = new_l2;
        }
    return lb_exact_ratio(xl, l2);
}

__device__ F search_uniform(const F *t, F middle, F least_factor) {
    F top = 0.0f, best = 0.0f;
#pragma unroll
    for (int i = 0; i < 32; i++) top = top > lb_exact_size(t[i]) ? top : lb_exact_size(t[i]);
    F best_scale = top * (F(1.0f) / middle), unit = lb_exact_ratio(middle, top);
#pragma unroll 1
    for (int f = 0; f < 12; f++) {
        F inverse = unit * (F(1.0f) / (F(1.0f) - (F(1.0f) - least_factor) * (float)f / 11.0f)), xl = 0.0f, l2 = 0.0f;
#pragma unroll
        for (int i = 0; i < 32; i++) {
            F l = lb_exact_clamp(lb_exact_nearest(inverse * t[i] + middle), 0.0f, F(2.0f) * middle) - middle;
            xl = xl + t[i] * l, l2 = l2 + l * l;
        }
        F gain = lb_exact_ratio(xl * xl, l2);
        if (gain > best) best = gain, best_scale = lb_exact_ratio(xl, l2);
    }
    return best_scale;
}

/* ---- a sub-block's place ---- */

template <int SUB> __device__ void load(const float *x, int64_t s, int64_t count, F *t) {
#pragma unroll
    for (int i = 0; i < SUB / 4; i++) {
        float4 v = s < count ? __ldcs((const float4 *)(x + s * SUB) + i) : make_float4(0, 0, 0, 0);
        t[4 * i] = lb_clean_value(v.x), t[4 * i + 1] = lb_clean_value(v.y);
        t[4 * i + 2] = lb_clean_value(v.z), t[4 * i + 3] = lb_clean_value(v.w);
    }
}

/* The codes of this thread's sub-block into `to`. */
template <int SUB> __device__ void put_codes(const F *t, F step, F add, F lo, F hi, uint8_t *to) {
#pragma unroll
    for (int i = 0; i < SUB; i++) {
        F at = lb_exact_clamp(lb_exact_ratio(t[i] + add, step), -1000.0f, 1000.0f);
        to[i] = (uint8_t)(int)(lb_exact_clamp(lb_exact_nearest(at), lo, hi) - lo).v;
    }
}

/* The most of WIDTH lanes' values >= 0. */
template <int WIDTH> __device__ F most_of(F v) {
    for (int o = WIDTH / 2; o; o >>= 1) v = fmaxf(v.v, __shfl_xor_sync(LB_FULL, v.v, o));
    return v > 0.0f ? v : F(0.0f);
}
/* The first of 16 lanes' values whose size is the largest. */
__device__ F extreme_of(F v) {
    F top = 0.0f;
    for (int j = 0; j < 16; j++) {
        F s = __shfl_sync(LB_FULL, v.v, j, 16);
        top = lb_exact_size(s) > lb_exact_size(top) ? s : top;
    }
    return top;
}
__device__ int level(F scale, F top, float most) {
    int l = __float2int_rn((F(lb_ratio(most, top.v)) * scale).v);
    return l < 0 ? 0 : l > (int)most ? (int)most : l;
}
/* 0 where lane + by is not of the same super-block. */
__device__ int ahead(int v, int by) { return __shfl_down_sync(LB_FULL, v, by, 16); }

/* ---- super-blocks ---- */

/* Codes of a super-block's elements, sub-blocks SUB + 4 bytes apart, and how its lanes write bytes: lane p the p-th,
 * ... */
template <int SUB> struct super_block {
    enum { LANES = 256 / SUB, STEP = SUB + 4 };
    const uint8_t *codes;
    uint8_t *out;
    int p;
    bool real;
    __device__ unsigned q(int e) const { return codes[e / SUB * STEP + e % SUB]; }
    template <class B> __device__ void put(int at, int bytes, B byte) const {
        for (int i = p; i < bytes && real; i += LANES) out[at + i] = (uint8_t)byte(i);
    }
    __device__ void put_f16(int at, uint16_t h) const {
        if (p == 0 && real) out[at] = (uint8_t)h, out[at + 1] = (uint8_t)(h >> 8);
    }
};

__device__ void q2_k(const F *t, uint8_t *mine, const super_block<16> &b) {
    F scale, deep;
    search_min<16>(t, 3.0f, -0.5f, 15, &scale, &deep);
    F top = most_of<16>(scale), bottom = most_of<16>(deep);
    uint16_t d = lb_scale_f16((top / 15.0f).v), dmin = lb_scale_f16((bottom / 15.0f).v);
    int s = level(scale, top, 15.0f), m = level(deep, bottom, 15.0f);
    put_codes<16>(t, F(lb_f16_value(d)) * (float)s, F(lb_f16_value(dmin)) * (float)m, 0.0f, 3.0f, mine);
    __syncwarp();
    if (b.real) b.out[b.p] = (uint8_t)(s | m << 4);
    b.put(16, 64, [&](int i) {
        int e = i / 32 * 128 + i % 32;
        return b.q(e) | b.q(e + 32) << 2 | b.q(e + 64) << 4 | b.q(e + 96) << 6;
    });
    b.put_f16(80, d), b.put_f16(82, dmin);
}

__device__ void q3_k(const F *t, uint8_t *mine, const super_block<16> &b) {
    F scale = search_symmetric3(t), top = extreme_of(scale), inverse = lb_ratio(-32.0f, top.v);
    uint16_t d = lb_scale_f16((top / -32.0f).v);
    float l = fminf(fmaxf(rintf((inverse * scale).v), -32.0f), 31.0f);
    put_codes<16>(t, F(lb_f16_value(d)) * l, 0.0f, -4.0f, 3.0f, mine);
    __syncwarp();
    int code = (int)l + 32, by_4 = ahead(code, 4), by_8 = ahead(code, 8), by_12 = ahead(code, 12);
    if (b.p < 8 && b.real) b.out[96 + b.p] = (uint8_t)((code & 15) | (by_8 & 15) << 4);
    if (b.p < 4 && b.real)
        b.out[104 + b.p] = (uint8_t)(code >> 4 | by_4 >> 4 << 2 | by_8 >> 4 << 4 | by_12 >> 4 << 6);
    b.put(0, 32, [&](int i) {
        unsigned high = 0;
        for (int j = 0; j < 8; j++) high |= b.q(32 * j + i) >> 2 << j;
        return high;
    });
    b.put(32, 64, [&](int i) {
        int e = i / 32 * 128 + i % 32;
        return (b.q(e) & 3) | (b.q(e + 32) & 3) << 2 | (b.q(e + 64) & 3) << 4 | (b.q(e + 96) & 3) << 6;
    });
    b.put_f16(108, d);
}

__device__ void q6_k(const F *t, uint8_t *mine, const super_block<16> &b) {
    F scale = search_symmetric6(t), top = extreme_of(scale), inverse = lb_ratio(-128.0f, top.v);
    uint16_t d = lb_scale_f16((top / -128.0f).v);
    float l = fminf(fmaxf(rintf((inverse * scale).v), -128.0f), 127.0f);
    put_codes<16>(t, F(lb_f16_value(d)) * l, 0.0f, -32.0f, 31.0f, mine);
    __syncwarp();
    if (b.real) b.out[192 + b.p] = (uint8_t)(int8_t)(int)l;
    b.put(0, 128, [&](int i) { /* 64 of each half; elements 64 apart share a byte */
        int e = i / 64 * 128 + i % 64;
        return (b.q(e) & 15) | (b.q(e + 64) & 15) << 4;
    });
    b.put(128, 64, [&](int i) {
        int e = i / 32 * 128 + i % 32;
        return b.q(e) >> 4 | b.q(e + 32) >> 4 << 2 | b.q(e + 64) >> 4 << 4 | b.q(e + 96) >> 4 << 6;
    });
    b.put_f16(208, d);
}

/* q4_k, and q5_k with a plane of fifth bits before the nibbles. */
template <bool FIVE> __device__ void q45_k(const F *t, uint8_t *mine, const super_block<32> &b) {
    constexpr int HIGH = 16, CODES = FIVE ? 48 : 16;
    const float nmax = FIVE ? 31.0f : 15.0f;
    F scale, deep;
    search_min<32>(t, nmax, FIVE ? -0.5f : -1.0f, FIVE ? 15 : 20, &scale, &deep);
    F top = most_of<8>(scale), bottom = most_of<8>(deep);
    uint16_t d = lb_scale_f16((top / 63.0f).v), dmin = lb_scale_f16((bottom / 63.0f).v);
    int s = level(scale, top, 63.0f), m = level(deep, bottom, 63.0f);
    put_codes<32>(t, F(lb_f16_value(d)) * (float)s, F(lb_f16_value(dmin)) * (float)m, 0.0f, nmax, mine);
    __syncwarp();
    b.put_f16(0, d), b.put_f16(2, dmin);
    int s4 = ahead(s, 4), m4 = ahead(m, 4);
    if (b.p < 4 && b.real) {
        b.out[4 + b.p] = (uint8_t)(s | s4 >> 4 << 6);
        b.out[8 + b.p] = (uint8_t)(m | m4 >> 4 << 6);
        b.out[12 + b.p] = (uint8_t)((s4 & 15) | (m4 & 15) << 4);
    }
    if (FIVE)
        b.put(HIGH, 32, [&](int i) {
            unsigned high = 0;
            for (int j = 0; j < 8; j++) high |= b.q(32 * j + i) >> 4 << j;
            return high;
        });
    b.put(CODES, 128, [&](int i) {
        int e = i / 32 * 64 + i % 32;
        return (b.q(e) & 15) | (b.q(e + 32) & 15) << 4;
    });
}

template <int RECIPE> __global__ void __launch_bounds__(THREADS) super_kernel(const float *x, int64_t subs,
                                                                              uint8_t *out) {
    constexpr int SUB = RECIPE == LB_QUANTIZE_Q4_K || RECIPE == LB_QUANTIZE_Q5_K ? 32 : 16, LANES = 256 / SUB;
    constexpr int BYTES = RECIPE == LB_QUANTIZE_Q2_K ? 84 : RECIPE == LB_QUANTIZE_Q3_K ? 110 :
        RECIPE == LB_QUANTIZE_Q4_K ? 144
                        : RECIPE == LB_QUANTIZE_Q5_K ? 176 : 210;
    __shared__ uint8_t codes[THREADS * (SUB + 4)];
    int64_t s = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    int p = threadIdx.x % LANES;
    F t[SUB];
    load<SUB>(x, s, subs, t);
    uint8_t *mine = codes + threadIdx.x * (SUB + 4);
    super_block<SUB> b = { codes + (threadIdx.x - p) * (SUB + 4), out + s / LANES * BYTES, p, s < subs };
    if constexpr (RECIPE == LB_QUANTIZE_Q2_K) q2_k(t, mine, b);
    else if constexpr (RECIPE == LB_QUANTIZE_Q3_K) q3_k(t, mine, b);
    else if constexpr (RECIPE == LB_QUANTIZE_Q6_K) q6_k(t, mine, b);
    else q45_k<RECIPE == LB_QUANTIZE_Q5_K>(t, mine, b);
}

/* Blocks of 32: the scale, then the codes as a stream, the first in the lowest bits: `bits` words. */
__global__ void __launch_bounds__(THREADS) uniform_kernel(const float *x, int64_t blocks, int bits, float least_factor,
                                                          uint32_t *out) {
    int64_t b = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (b >= blocks) return;
    F t[32], middle = (float)((1 << bits) - 1) * 0.5f, top = (float)((1 << bits) - 1);
    load<32>(x, b, blocks, t);
    F s = search_uniform(t, middle, least_factor), inverse = lb_ratio(1.0f, s.v);
    uint32_t *to = out + b * (1 + bits);
    *to++ = inverse.v == 0 ? 0 : __float_as_uint(s.v);
    uint64_t word = 0;
    int filled = 0;
#pragma unroll
    for (int i = 0; i < 32; i++) {
        F v = t[i] * inverse + middle;
        v = v > top ? top : v < 0.0f ? F(0.0f) : v;
        word |= (uint64_t)(uint32_t)(int)lb_exact_nearest(v).v << filled, filled += bits;
        if (filled >= 32) *to++ = (uint32_t)word, word >>= 32, filled -= 32;
    }
}

/* ---- host ---- */

unsigned blocks_of(int64_t threads) { return (unsigned)((threads + THREADS - 1) / THREADS); }

template <int RECIPE> void run_super(const float *x, int64_t weights, uint8_t *out, const lb_launch *l) {
    int64_t subs = weights / (RECIPE == LB_QUANTIZE_Q4_K || RECIPE == LB_QUANTIZE_Q5_K ? 32 : 16);
    LB_CUDA_LAUNCH_IF_ANY(super_kernel<RECIPE>, blocks_of(subs), THREADS, 0, lb_cuda_stream(l), x, subs, out);
}
void run_uniform(const float *x, int64_t weights, int bits, uint8_t *out, const lb_launch *l) {
    static const float factors[9] = { 0, 0, 0.45f, 0.6f, 0.75f, 0.85f, 0.92f, 0.95f, 0.97f }; /* uniform.c's */
    LB_CUDA_LAUNCH_IF_ANY(uniform_kernel, blocks_of(weights / 32), THREADS, 0, lb_cuda_stream(l), x, weights / 32, bits,
                          factors[bits], (uint32_t *)out);
}

bool supports(const lb_args *a, const char **why) {
    int to = (int)a->p[LB_QUANTIZE_P_TO];
    *why = "this recipe has no search";
    if (to < LB_QUANTIZE_Q2_K || to >= LB_QUANTIZE_INT4WO_HQQ) return false;
    *why = "x does not begin at an address of 16 bytes, or out at one of 4";
    return (uintptr_t)lb_tensor_data(lb_arg(a, LB_QUANTIZE_X)) % 16 == 0 &&
           (uintptr_t)lb_tensor_data(lb_arg(a, LB_QUANTIZE_OUT)) % 4 == 0;
}

void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *t = lb_arg(a, LB_QUANTIZE_X);
    const float *x = (const float *)lb_tensor_data(t);
    uint8_t *out = (uint8_t *)lb_tensor_data(lb_arg(a, LB_QUANTIZE_OUT));
    int64_t weights = t->dims[0] * t->dims[1];
    int to = (int)a->p[LB_QUANTIZE_P_TO];
    if (weights == 0) return;
    switch (to) {
    case LB_QUANTIZE_Q2_K: run_super<LB_QUANTIZE_Q2_K>(x, weights, out, l); break;
    case LB_QUANTIZE_Q3_K: run_super<LB_QUANTIZE_Q3_K>(x, weights, out, l); break;
    case LB_QUANTIZE_Q4_K: run_super<LB_QUANTIZE_Q4_K>(x, weights, out, l); break;
    case LB_QUANTIZE_Q5_K: run_super<LB_QUANTIZE_Q5_K>(x, weights, out, l); break;
    case LB_QUANTIZE_Q6_K: run_super<LB_QUANTIZE_Q6_K>(x, weights, out, l); break;
    default: run_uniform(x, weights, 2 + to - LB_QUANTIZE_UNIFORM, out, l); break;
    }
}

} // namespace

LB_CUDA_KERNEL(quantize_any_search) = {
    .name = "quantize.any.search", .op = "quantize", .device = "cuda",
    .about = "K-quants and uniform: a thread a sub-block, the CPU's search operation by operation",
        .source = "luabench",
    .isa = LB_ISA_SM80, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-30, .tolerance_why = "bytes", .priority = 1, .supports = supports, .launch = launch,
};
