/* vec.h: what kernels share that are written once and compiled for each instruction set.
 *
 * A body (rms_norm_f32.h and the like) is included by one file for each of _portable, _avx2, _avx512; the compiler's
 * flags for that file decide the width here. VF is one vector register of floats. */
#pragma once
#include <math.h>
#include <string.h>

#include "engine/kernel.h"
#include "engine/ops/kv.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define ISA_TEXT "avx512"
#define ISA_NAME avx512
#define ISA_BITS LB_ISA_AVX512
#define ISA_PRIORITY 10
typedef __m512 VF;
#elif defined(__AVX2__)
#include <immintrin.h>
#define ISA_TEXT "avx2"
#define ISA_NAME avx2
#define ISA_BITS LB_ISA_AVX2
#define ISA_PRIORITY 5
typedef __m256 VF;
#else
#define ISA_TEXT "portable"
#define ISA_NAME portable
#define ISA_BITS LB_ISA_PORTABLE
#define ISA_PRIORITY 1
typedef float VF __attribute__((vector_size(16), may_alias));
#endif

#if defined(__GNUC__) && !defined(__clang__)
/* gcc takes a comparison of floats, which may raise a flag that nobody reads, for control flow that it cannot
 * vectorise */
#pragma GCC optimize("no-trapping-math")
#endif

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
/* lb_kernel_rms_norm_f32_avx512 of KERNEL_SYMBOL(rms_norm_f32) */
#define KERNEL_SYMBOL(name) PASTE(PASTE(lb_kernel, name), ISA_NAME)

enum { LANES = sizeof(VF) / 4 };
typedef VF VFU __attribute__((aligned(4), may_alias));

static inline VF vf_load(const float *p) { return *(const VFU *)p; }
static inline void vf_store(float *p, VF v) { *(VFU *)p = v; }
static inline VF vf_zero(void) { return (VF){ 0 }; }
#if defined(__AVX512F__)
static inline VF vf_set(float x) { return _mm512_set1_ps(x); }
static inline VF vf_fma(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
static inline VF vf_max(VF a, VF b) { return _mm512_max_ps(a, b); }
#elif defined(__AVX2__)
static inline VF vf_set(float x) { return _mm256_set1_ps(x); }
static inline VF vf_fma(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
static inline VF vf_max(VF a, VF b) { return _mm256_max_ps(a, b); }
#else
static inline VF vf_set(float x) { return (VF){ x, x, x, x }; }
static inline VF vf_fma(VF a, VF b, VF c) { return a * b + c; }
static inline VF vf_max(VF a, VF b) {
    VF r;
    for (int i = 0; i < LANES; i++) r[i] = a[i] > b[i] ? a[i] : b[i];
    return r;
}
#endif
static inline float vf_sum(VF v) {
    float s[LANES];
    memcpy(s, &v, sizeof v);
    for (int n = LANES / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) s[i] += s[i + n];
    return s[0];
}
static inline float vf_most(VF v) {
    float s[LANES];
    memcpy(s, &v, sizeof v);
    for (int n = LANES / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) s[i] = s[i] > s[i + n] ? s[i] : s[i + n];
    return s[0];
}

#if defined(__FMA__)
#define FMAF(a, b, c) __builtin_fmaf(a, b, c)
#else
#define FMAF(a, b, c) ((a) * (b) + (c))
#endif

/* e^x for loops that the compiler vectorises; as exp_f32.h, but 0 below -87.3 and infinite above 88.7. Relative error
 * below 2e-7; NaN gives NaN. */
static inline float vexp(float x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    float c = x < -87.3f ? -87.3f : x;
    c = c > 88.7f ? 88.7f : c;
    float shifted = FMAF(c, 1.44269504f, magic), n = shifted - magic;
    float r = FMAF(-n, 1.42860677e-6f, FMAF(-n, 0.693145751953125f, c));
    float p = FMAF(1.0f / 5040, r, 1.0f / 720);
    p = FMAF(p, r, 1.0f / 120);
    p = FMAF(p, r, 1.0f / 24);
    p = FMAF(p, r, 1.0f / 6);
    p = FMAF(p, r, 0.5f);
    p = FMAF(p, r, 1.0f);
    p = FMAF(p, r, 1.0f);
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    int32_t e = (int32_t)(bits - 0x4b400000u), half = e >> 1;
    uint32_t first = (uint32_t)(half + 127) << 23, second = (uint32_t)(e - half + 127) << 23;
    float f, s;
    memcpy(&f, &first, 4);
    memcpy(&s, &second, 4);
    float v = p * f * s;
    v = x < -87.3f ? 0.0f : v;
    return x > 88.7f ? INFINITY : v;
}

static inline void add_scaled(float scale, const float *restrict x, float *restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += scale * x[i];
}

/* Sum of squares, of values, and of squared distances from `mean`, in 4 vectors of lanes. */
#define ROW_SUM_(NAME, TERM, SCALAR)                                                                    \
    static inline float NAME(const float *x, int64_t n, float mean) {                                   \
        VF a[4] = { vf_zero(), vf_zero(), vf_zero(), vf_zero() }, m = vf_set(mean);                     \
        int64_t i = 0;                                                                                  \
        (void)m;                                                                                        \
        for (; i + 4 * LANES <= n; i += 4 * LANES)                                                      \
            for (int c = 0; c < 4; c++) {                                                               \
                VF v = vf_load(x + i + c * LANES);                                                      \
                a[c] = TERM;                                                                            \
            }                                                                                           \
        float s = vf_sum((a[0] + a[1]) + (a[2] + a[3]));                                                \
        for (; i < n; i++) s += SCALAR;                                                                 \
        return s;                                                                                       \
    }
ROW_SUM_(row_squares, vf_fma(v, v, a[c]), x[i] * x[i])
ROW_SUM_(row_sum, a[c] + v, x[i])
ROW_SUM_(row_spread, vf_fma(v - m, v - m, a[c]), (x[i] - mean) * (x[i] - mean))

static inline float row_max(const float *x, int64_t n) {
    int64_t whole = n / LANES * LANES;
    VF a = vf_set(-INFINITY);
    for (int64_t i = 0; i < whole; i += LANES) a = vf_max(vf_load(x + i), a); /* NaN in x: a stays */
    float m = vf_most(a);
    for (int64_t i = whole; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

/* This part's rows. */
static inline void my_rows(const lb_launch *l, int64_t rows, int64_t *begin, int64_t *end) {
    lb_split(rows, 1, l->part, l->parts, begin, end);
}

/* Where there are fewer rows than parts, rows are cut into `pieces` runs of columns. */
static inline int64_t row_pieces(int64_t rows, int64_t columns, int parts) {
    int64_t most = columns / 256 > 1 ? columns / 256 : 1, want = rows > 0 ? (parts + rows - 1) / rows : 1;
    return want < most ? want : most;
}
