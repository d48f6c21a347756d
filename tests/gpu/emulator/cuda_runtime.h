/* cuda_runtime.h: what kernels use of CUDA C, for a C++ compiler; see emulator.h. What is not here is not emulated. */
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "emulator.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __managed__ static
#define __shared__ static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

/* ---- vectors ---- */

#define LB_EMU_VECTORS(type, name, a1, a2, a4)                                                                        \
    struct name##1 { type x; };                                                                                       \
    struct alignas(a2) name##2 { type x, y; };                                                                        \
    struct name##3 { type x, y, z; };                                                                                 \
    struct alignas(a4) name##4 { type x, y, z, w; };                                                                  \
    static inline name##1 make_##name##1(type x) { return { x }; }                                                    \
    static inline name##2 make_##name##2(type x, type y) { return { x, y }; }                                         \
    static inline name##3 make_##name##3(type x, type y, type z) { return { x, y, z }; }                              \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return { x, y, z, w }; }
LB_EMU_VECTORS(signed char, char, 1, 2, 4)
LB_EMU_VECTORS(unsigned char, uchar, 1, 2, 4)
LB_EMU_VECTORS(short, short, 2, 4, 8)
LB_EMU_VECTORS(unsigned short, ushort, 2, 4, 8)
LB_EMU_VECTORS(int, int, 4, 8, 16)
LB_EMU_VECTORS(float, float, 4, 8, 16)
LB_EMU_VECTORS(double, double, 8, 16, 16)
LB_EMU_VECTORS(long long, longlong, 8, 16, 16)
LB_EMU_VECTORS(unsigned long long, ulonglong, 8, 16, 16)
struct uint1 { unsigned x; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline uint2 make_uint2(unsigned x, unsigned y) { return { x, y }; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return { x, y, z }; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return { x, y, z, w }; }

/* ---- bits ---- */

template <class To, class From> static inline To lb_emu_bits(From f) {
    static_assert(sizeof(To) == sizeof(From), "");
    To t;
    memcpy(&t, &f, sizeof t);
    return t;
}
static inline unsigned __float_as_uint(float f) { return lb_emu_bits<unsigned>(f); }
static inline int __float_as_int(float f) { return lb_emu_bits<int>(f); }
static inline float __uint_as_float(unsigned u) { return lb_emu_bits<float>(u); }
static inline float __int_as_float(int u) { return lb_emu_bits<float>(u); }
static inline long long __double_as_longlong(double d) { return lb_emu_bits<long long>(d); }
static inline double __longlong_as_double(long long d) { return lb_emu_bits<double>(d); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (x >> i & 1u) << (31 - i);
    return r;
}
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s) {
    uint64_t both = (uint64_t)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) {
        unsigned n = s >> 4 * i & 15, byte = (unsigned)(both >> 8 * (n & 7)) & 255u;
        r |= (n & 8 ? (byte & 128 ? 255u : 0u) : byte) << 8 * i;
    }
    return r;
}
static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n) {
    return (unsigned)(((uint64_t)hi << 32 | lo) << (n & 31) >> 32);
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n) {
    return (unsigned)(((uint64_t)hi << 32 | lo) >> (n & 31));
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c += (int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i);
    return c;
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 4; i++) c += (uint8_t)(a >> 8 * i) * (uint8_t)(b >> 8 * i);
    return c;
}
template <class F> static inline unsigned lb_emu_bytes(unsigned a, unsigned b, F f) {
    unsigned r = 0;
    for (int i = 0; i < 4; i++) r |= (unsigned)(uint8_t)f((uint8_t)(a >> 8 * i), (uint8_t)(b >> 8 * i)) << 8 * i;
    return r;
}
static inline unsigned __vadd4(unsigned a, unsigned b) { return lb_emu_bytes(a, b, [](int x, int y) { return x + y; });
    }
static inline unsigned __vsub4(unsigned a, unsigned b) { return lb_emu_bytes(a, b, [](int x, int y) { return x - y; });
    }

/* ---- arithmetic: these are never contracted to an fma, other products and sums may be, as nvcc does it ---- */

#ifdef __SSE2__
template <class T> static __forceinline__ T lb_emu_alone(T v) {
    __asm__("" : "+x"(v));
    return v;
}
#else
template <class T> static inline T lb_emu_alone(T v) {
    volatile T alone = v;
    return alone;
}
#endif
static __forceinline__ float __fadd_rn(float a, float b) { return lb_emu_alone(a + b); }
static __forceinline__ float __fsub_rn(float a, float b) { return lb_emu_alone(a - b); }
static __forceinline__ float __fmul_rn(float a, float b) { return lb_emu_alone(a * b); }
static __forceinline__ float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __frsqrt_rn(float a) { return (float)(1.0 / sqrt((double)a)); }
static inline double __dadd_rn(double a, double b) { return lb_emu_alone(a + b); }
static inline double __dsub_rn(double a, double b) { return lb_emu_alone(a - b); }
static inline double __dmul_rn(double a, double b) { return lb_emu_alone(a * b); }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
static inline float __fdividef(float a, float b) { return a / b; }
#define __expf(a) ((float)(expf)(a))   /* glibc has a function of this name */
#define __exp2f(a) ((float)(exp2f)(a))   /* glibc has a function of this name */
#define __logf(a) ((float)(logf)(a))   /* glibc has a function of this name */
#define __log2f(a) ((float)(log2f)(a))   /* glibc has a function of this name */
static inline float __saturatef(float a) { return a > 0 ? a < 1 ? a : 1.0f : 0.0f; }
static inline int __float2int_rn(float a) { return (int)rintf(a); }
static inline int __float2int_rz(float a) { return (int)a; }
static inline unsigned __float2uint_rn(float a) { return (unsigned)rintf(a); }
static inline float __int2float_rn(int a) { return (float)a; }
static inline float __uint2float_rn(unsigned a) { return (float)a; }
static inline float __double2float_rn(double a) { return (float)a; }

#define LB_EMU_LEAST(type)                                                                                            \
    static inline type min(type a, type b) { return b < a ? b : a; }                                                  \
    static inline type max(type a, type b) { return a < b ? b : a; }
LB_EMU_LEAST(int)
LB_EMU_LEAST(unsigned)
LB_EMU_LEAST(long)
LB_EMU_LEAST(unsigned long)
LB_EMU_LEAST(long long)
LB_EMU_LEAST(unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

/* ---- memory ---- */

template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldca(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline T __ldlu(const T *p) { return *p; }
template <class T> static inline T __ldcv(const T *p) { return *p; }
template <class T> static inline void __stwb(T *p, T v) { *p = v; }
template <class T> static inline void __stcg(T *p, T v) { *p = v; }
template <class T> static inline void __stcs(T *p, T v) { *p = v; }
template <class T> static inline void __stwt(T *p, T v) { *p = v; }
static inline void __threadfence(void) {}
static inline void __threadfence_block(void) {}
static inline void __threadfence_system(void) {}

template <class T, class U> static inline T atomicAdd(T *p, U v) { T old = *p; *p = (T)(old + (T)v); return old; }
template <class T, class U> static inline T atomicSub(T *p, U v) { T old = *p; *p = (T)(old - (T)v); return old; }
template <class T, class U> static inline T atomicMax(T *p, U v) { T old = *p; *p = old < (T)v ? (T)v : old; return old;
    }
template <class T, class U> static inline T atomicMin(T *p, U v) { T old = *p; *p = (T)v < old ? (T)v : old; return old;
    }
template <class T, class U> static inline T atomicOr(T *p, U v) { T old = *p; *p = old | (T)v; return old; }
template <class T, class U> static inline T atomicAnd(T *p, U v) { T old = *p; *p = old & (T)v; return old; }
template <class T, class U> static inline T atomicExch(T *p, U v) { T old = *p; *p = (T)v; return old; }
template <class T, class U, class V> static inline T atomicCAS(T *p, U want, V v) {
    T old = *p;
    if (old == (T)want) *p = (T)v;
    return old;
}
static inline unsigned atomicInc(unsigned *p, unsigned top) { unsigned old = *p; *p = old >= top ? 0 : old + 1;
    return old; }

/* ---- threads ---- */

#define LB_EMU_TEXT2(x) #x
#define LB_EMU_TEXT(x) LB_EMU_TEXT2(x)
#define __syncthreads() lb_emu_barrier(0, 0, "__syncthreads, " __FILE__ ":" LB_EMU_TEXT(__LINE__))
static inline void lb_emu_nothing(void **, unsigned, void *) {}
static inline void __syncwarp(unsigned mask = 0xffffffffu) {
    char any;
    lb_emu_warp(mask, "__syncwarp", &any, lb_emu_nothing, NULL);
}
static inline void __nanosleep(unsigned) { lb_emu_poll(); }
static inline long long clock64(void) { return (long long)lb_emu_launches(); }

/* A value that each lane brings and takes away. */
struct lb_emu_exchange { unsigned char bytes[16]; int from; };
static inline void lb_emu_exchange_all(void **lanes, unsigned mask, void *) {
    lb_emu_exchange old[32];
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) old[i] = *(lb_emu_exchange *)lanes[i];
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        int from = ((lb_emu_exchange *)lanes[i])->from;
        if (mask >> from & 1) memcpy(((lb_emu_exchange *)lanes[i])->bytes, old[from].bytes, 16);
        else memset(((lb_emu_exchange *)lanes[i])->bytes, 0xff, 16); /* undefined */
    }
}
template <class T> static inline T lb_emu_shuffle(const char *name, unsigned mask, T v, int from) {
    static_assert(sizeof(T) <= 16, "");
    lb_emu_exchange e;
    memset(&e, 0, sizeof e);
    memcpy(e.bytes, &v, sizeof v);
    e.from = from & 31;
    lb_emu_warp(mask, name, &e, lb_emu_exchange_all, NULL);
    memcpy(&v, e.bytes, sizeof v);
    return v;
}
template <class T> static inline T __shfl_sync(unsigned mask, T v, int lane, int width = 32) {
    int self = lb_emu_now->lane, base = self & ~(width - 1);
    return lb_emu_shuffle("__shfl_sync", mask, v, base + (lane & (width - 1)));
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32) {
    int self = lb_emu_now->lane, to = self ^ bits;
    return lb_emu_shuffle("__shfl_xor_sync", mask, v, (to & ~(width - 1)) > (self & ~(width - 1)) ? self : to);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
    int self = lb_emu_now->lane, to = self + (int)by;
    return lb_emu_shuffle("__shfl_down_sync", mask, v, (to & ~(width - 1)) != (self & ~(width - 1)) ? self : to);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
    int self = lb_emu_now->lane, to = self - (int)by;
    return lb_emu_shuffle("__shfl_up_sync", mask, v, to < (self & ~(width - 1)) ? self : to);
}

struct lb_emu_vote { uint64_t mine, bits; };
static inline void lb_emu_vote_all(void **lanes, unsigned mask, void *) {
    unsigned bits = 0;
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1 && ((lb_emu_vote *)lanes[i])->mine) bits |= 1u << i;
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) ((lb_emu_vote *)lanes[i])->bits = bits;
}
static inline void lb_emu_match(void **lanes, unsigned mask, void *) {
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        lb_emu_vote *v = (lb_emu_vote *)lanes[i];
        v->bits = 0;
        for (int j = 0; j < 32; j++)
            if (mask >> j & 1 && ((lb_emu_vote *)lanes[j])->mine == v->mine) v->bits |= 1u << j;
    }
}
static inline unsigned __ballot_sync(unsigned mask, int p) {
    lb_emu_vote v = { p != 0, 0 };
    lb_emu_warp(mask, "__ballot_sync", &v, lb_emu_vote_all, NULL);
    return (unsigned)v.bits;
}
static inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
static inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, p) == mask; }
template <class T> static inline unsigned __match_any_sync(unsigned mask, T value) {
    lb_emu_vote v = { 0, 0 };
    memcpy(&v.mine, &value, sizeof value);
    lb_emu_warp(mask, "__match_any_sync", &v, lb_emu_match, NULL);
    return (unsigned)v.bits;
}

template <class T> struct lb_emu_sum { T value; };
template <class T, class F> static inline T lb_emu_reduce(const char *name, unsigned mask, T v, F) {
    lb_emu_sum<T> s = { v };
    lb_emu_warp(mask, name, &s, [](void **lanes, unsigned m, void *) {
        F f;
        T all = T();
        bool first = true;
        for (int i = 0; i < 32; i++)
            if (m >> i & 1) all = first ? ((lb_emu_sum<T> *)lanes[i])->value :
                f(all, ((lb_emu_sum<T> *)lanes[i])->value), first = false;
        for (int i = 0; i < 32; i++)
            if (m >> i & 1) ((lb_emu_sum<T> *)lanes[i])->value = all;
    }, NULL);
    return s.value;
}
#define LB_EMU_REDUCE(name, expression)                                                                               \
    struct lb_emu_f_##name { template <class T> T operator()(T a, T b) const { return expression; } };                \
    template <class T> static inline T name(unsigned mask, T v) {                                                     \
        return lb_emu_reduce(#name, mask, v, lb_emu_f_##name());                                                      \
    }
LB_EMU_REDUCE(__reduce_add_sync, a + b)
LB_EMU_REDUCE(__reduce_min_sync, a < b ? a : b)
LB_EMU_REDUCE(__reduce_max_sync, a < b ? b : a)
LB_EMU_REDUCE(__reduce_or_sync, a | b)
LB_EMU_REDUCE(__reduce_and_sync, a & b)

/* ---- what launchers call of the runtime ---- */

typedef void *cudaStream_t;
typedef int cudaError_t;
enum { cudaSuccess = 0 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize, cudaFuncAttributePreferredSharedMemoryCarveout };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice,
                      cudaMemcpyDefault };
static inline cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute, int bytes) {
    lb_emu_shared_most(function, (size_t)bytes);
    return cudaSuccess;
}
static inline cudaError_t cudaGetLastError(void) { return cudaSuccess; }
static inline cudaError_t cudaPeekAtLastError(void) { return cudaSuccess; }
static inline const char *cudaGetErrorString(cudaError_t) { return "no error"; }
static inline cudaError_t cudaGetDevice(int *d) { *d = 0; return cudaSuccess; }
/* few multiprocessors, so that persistent kernels go round more than once */
static inline cudaError_t cudaDeviceGetAttribute(int *v, cudaDeviceAttr, int) { *v = 3; return cudaSuccess; }
template <class F> static inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *n, F, int, size_t) {
    *n = 2;
    return cudaSuccess;
}
static inline cudaError_t cudaMemsetAsync(void *p, int v, size_t n, cudaStream_t = 0) {
    memset(p, v, n);
    return cudaSuccess;
}
static inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind, cudaStream_t = 0) {
    memcpy(to, from, n);
    return cudaSuccess;
}

/* engine/kernel_cuda.h's launch, and its dynamic shared memory. */
#define LB_CUDA_SHARED(name) unsigned char *const name = lb_emu_now->shared
#define LB_CUDA_START(kernel, grid, block, smem, stream, ...)                                                         \
    ((void)(stream), lb_emu_launch(#kernel, kernel, dim3(grid), dim3(block), (size_t)(smem), ##__VA_ARGS__))
