/* quantize_any_hqq.cu: half-quadratic quantization (kernels/quant/hqq.h) of int4wo and uintx, the CPU's operations one
 * by one: eight lanes have a group, as the CPU's sums have eight; lane j the elements j, j + 8, ... in registers.
 *
 * Counted: some 60 instructions, two of them divisions, a weight and round, and up to 20 rounds; 4.5 bytes to move. A
 * warp goes on until the last of its four groups is done. */
#include "engine/ops/recipes.h"
#include "cells.cuh"
#include "exact.cuh"

namespace {

typedef lb_exact F;
enum { THREADS = 128, ROUNDS = 20 };

/* lb_hqq_power: a^-0.3 */
__device__ F power(F a) {
    uint32_t bits = __float_as_uint(a.v), shifted = bits - 0x3f400000u;
    int32_t exponent = (int32_t)shifted >> 23;
    F m = __uint_as_float(bits - ((uint32_t)exponent << 23)), t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
    F log2 = F((float)exponent) +
             F(2.885390082f) * t *
                 (F(1.0f) + t2 * (F(0.333333333f) + t2 * (F(0.2f) + t2 * (F(0.142857143f) + t2 * 0.111111111f))));
    F y = F(-0.3f) * log2, whole = lb_exact_nearest(y), f = (y - whole) * 0.693147181f;
    F e = F(1.0f) + f * (F(1.0f) + f * (F(0.5f) + f * (F(0.166666667f) + f * (F(0.0416666667f)
              + f * (F(0.00833333333f) + f * (F(0.00138888889f) + f * 0.000198412698f))))));
    return e * __uint_as_float((uint32_t)((int32_t)whole.v + 127) << 23);
}
__device__ F clamp(F v, F lo, F hi) { return v > hi ? hi : v < lo ? lo : v; }
__device__ F code_of(F w, F s, F z, F top) {
    return clamp(lb_exact_nearest(clamp(w * s + z, -1.0f, top + 1.0f)), 0.0f, top);
}
/* The eight lanes' values, the first first. */
__device__ F ordered_sum(F v) {
    F sum = 0.0f;
    for (int j = 0; j < 8; j++) sum = sum + __shfl_sync(LB_FULL, v.v, j, 8);
    return sum;
}

/* This lane's codes; scale and zero of the group, w = (q - zero) * scale. All lanes of the warp together. */
template <int EACH> __device__ void hqq(const F *x, int bits, uint8_t *q, F *scale, F *zero) {
    F lo = x[0], hi = x[0], top = (float)((1 << bits) - 1), best = 1e4f, beta = 10.0f, g = (float)(8 * EACH);
#pragma unroll
    for (int i = 1; i < EACH; i++) lo = x[i] < lo ? x[i] : lo, hi = x[i] > hi ? x[i] : hi;
    for (int o = 4; o; o >>= 1) {
        lo = fminf(lo.v, __shfl_xor_sync(LB_FULL, lo.v, o, 8));
        hi = fmaxf(hi.v, __shfl_xor_sync(LB_FULL, hi.v, o, 8));
    }
    F s = hi > lo ? top / (hi - lo) : F(2e4f);
    s = s < 2e4f ? s : F(2e4f);
    F z = F(-lo.v) * s;
    if (bits == 4) z = lb_exact_nearest(z);
    bool going = true;
    for (int round = 0; round < ROUNDS && __any_sync(LB_FULL, going); round++) {
        F inverse_beta = F(1.0f) / beta, errors = 0.0f, means = 0.0f;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            F w = x[i], c = code_of(w, s, z, top), d = w - (c - z) / s, a = d < 0.0f ? F(-d.v) : d;
            F e = a - inverse_beta * power(a);
            e = e > 0.0f ? e : F(0.0f);
            e = d < 0.0f ? F(-e.v) : e;
            errors = errors + a;
            means = means + (c - (w - e) * s);
        }
        F error = ordered_sum(errors) / g, mean = ordered_sum(means) / g;
        if (!going) continue;
        z = mean;
        beta = beta * 1.01f;
        going = error < best;
        if (going) best = error;
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) q[8 * i] = (uint8_t)(int)code_of(x[i], s, z, top).v;
    *scale = F(1.0f) / s, *zero = z;
}

/* Where a group's results go: int4wo has (scale, zero) pairs of bf16 at `scales`, zeros is NULL. */
struct places { uint8_t *codes, *scales, *zeros; };

template <int EACH>
__global__ void __launch_bounds__(THREADS) groups_kernel(const float *x, int64_t groups, int bits, places to) {
    constexpr int GROUP = 8 * EACH;
    __shared__ uint8_t codes[THREADS / 8 * GROUP];
    int64_t g = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / 8;
    int lane = threadIdx.x % 8;
    uint8_t *group = codes + threadIdx.x / 8 * GROUP;
    F w[EACH], scale, zero;
#pragma unroll
    for (int i = 0; i < EACH; i++) w[i] = g < groups ? lb_clean_value(__ldcs(x + g * GROUP + 8 * i + lane)) : 0.0f;
    hqq<EACH>(w, bits, group + lane, &scale, &zero);
    __syncwarp();
    if (g >= groups) return;
    for (int i = lane; i < EACH; i += 8) { /* eight codes make `bits` bytes; int4wo has the first in the high nibble */
        uint64_t word = 0;
        for (int j = 0; j < 8; j++) word |= (uint64_t)group[8 * i + j] << bits * (to.zeros ? j : j ^ 1);
        for (int j = 0; j < bits; j++) to.codes[(g * EACH + i) * bits + j] = (uint8_t)(word >> 8 * j);
    }
    if (lane) return;
    if (to.zeros) {
        ((float *)to.scales)[g] = scale.v, ((float *)to.zeros)[g] = zero.v;
    } else {
        ((uint16_t *)to.scales)[2 * g] = lb_bf16_of(scale.v);
        ((uint16_t *)to.scales)[2 * g + 1] = lb_bf16_of(((F(8.0f) - zero) * scale).v);
    }
}

/* ---- host ---- */

size_t plane_after(size_t bytes) { return (bytes + 63) / 64 * 64; }

template <int EACH> void run(const float *x, int64_t weights, int bits, bool int4wo, uint8_t *out, const lb_launch *l) {
    int64_t groups = weights / (8 * EACH);
    size_t scales = plane_after((size_t)(weights / 8 * bits)), zeros = plane_after(scales + (size_t)groups * 4);
    places to = { out, out + scales, int4wo ? NULL : out + zeros };
    LB_CUDA_LAUNCH_IF_ANY(groups_kernel<EACH>, (unsigned)((groups * 8 + THREADS - 1) / THREADS), THREADS, 0,
                          lb_cuda_stream(l), x, groups, bits, to);
}

bool supports(const lb_args *a, const char **why) {
    *why = "this recipe is not HQQ";
    if ((int)a->p[LB_QUANTIZE_P_TO] < LB_QUANTIZE_INT4WO_HQQ) return false;
    *why = "out does not begin at an address of 4 bytes";
    return (uintptr_t)lb_tensor_data(lb_arg(a, LB_QUANTIZE_OUT)) % 4 == 0;
}

void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *t = lb_arg(a, LB_QUANTIZE_X);
    const float *x = (const float *)lb_tensor_data(t);
    uint8_t *out = (uint8_t *)lb_tensor_data(lb_arg(a, LB_QUANTIZE_OUT));
    int64_t weights = t->dims[0] * t->dims[1];
    int i = (int)a->p[LB_QUANTIZE_P_TO] - LB_QUANTIZE_INT4WO_HQQ;
    bool int4wo = i < 4;
    int bits = int4wo ? 4 : i / 4; /* uintx begins at 4, with one bit */
    if (weights == 0) return;
    switch (i % 4) {
    case 0: run<4>(x, weights, bits, int4wo, out, l); break;
    case 1: run<8>(x, weights, bits, int4wo, out, l); break;
    case 2: run<16>(x, weights, bits, int4wo, out, l); break;
    default: run<32>(x, weights, bits, int4wo, out, l); break;
    }
}

} // namespace

LB_CUDA_KERNEL(quantize_any_hqq) = {
    .name = "quantize.any.hqq", .op = "quantize", .device = "cuda",
    .about = "eight lanes a group, whose sums run in the CPU's order", .source = "luabench",
    .isa = LB_ISA_SM80, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-30, .tolerance_why = "bytes", .priority = 1, .supports = supports, .launch = launch,
};
