/* exact.cuh: f32 arithmetic rounded after each operation, for code that has to give the CPU's bits: nvcc makes one fma
 * of a product and a sum of floats, of these never. */
#pragma once
#include "engine/kernel_cuda.h"

struct lb_exact {
    float v;
    lb_exact() = default;
    __device__ __forceinline__ lb_exact(float f) : v(f) {}
};
__device__ static __forceinline__ lb_exact operator+(lb_exact a, lb_exact b) { return __fadd_rn(a.v, b.v); }
__device__ static __forceinline__ lb_exact operator-(lb_exact a, lb_exact b) { return __fsub_rn(a.v, b.v); }
__device__ static __forceinline__ lb_exact operator*(lb_exact a, lb_exact b) { return __fmul_rn(a.v, b.v); }
__device__ static __forceinline__ lb_exact operator/(lb_exact a, lb_exact b) { return __fdiv_rn(a.v, b.v); }
__device__ static __forceinline__ bool operator<(lb_exact a, lb_exact b) { return a.v < b.v; }
__device__ static __forceinline__ bool operator>(lb_exact a, lb_exact b) { return a.v > b.v; }
__device__ static __forceinline__ bool operator>=(lb_exact a, lb_exact b) { return a.v >= b.v; }

/* Nearest even, of sizes below 2^22. */
__device__ static __forceinline__ lb_exact lb_exact_nearest(lb_exact v) { return v + 12582912.0f - 12582912.0f; }
/* What comparisons leave of NaN is as the CPU's vectors leave it: the bound. */
__device__ static __forceinline__ lb_exact lb_exact_clamp(lb_exact v, lb_exact lo, lb_exact hi) {
    v = v < hi ? v : hi;
    return v > lo ? v : lo;
}
__device__ static __forceinline__ lb_exact lb_exact_size(lb_exact v) {
    return __uint_as_float(__float_as_uint(v.v) & 0x7fffffffu); }
/* a / b where b is not 0, else 0. */
__device__ static __forceinline__ lb_exact lb_exact_ratio(lb_exact a,
                                                          lb_exact b) { return b.v != 0.0f ? a / b : lb_exact(0.0f); }
