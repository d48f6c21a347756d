/* cuda_fp8.h: conversions to and from e4m3 and e5m2 for kernels that run on the CPU. */
#pragma once
#include "cuda_fp16.h"

typedef unsigned char __nv_fp8_storage_t;
typedef unsigned short __nv_fp8x2_storage_t;
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };

static inline __nv_fp8_storage_t __nv_cvt_double_to_fp8(double v, __nv_saturation_t saturate,
                                                        __nv_fp8_interpretation_t kind) {
    bool e4m3 = kind == __NV_E4M3;
    int fraction = e4m3 ? 3 : 2, least = e4m3 ? -6 : -14, bias = e4m3 ? 7 : 15;
    double top = e4m3 ? 448 : 57344, r = fabs(lb_emu_round(v, fraction, least));
    unsigned char sign = signbit(v) ? 0x80 : 0;
    if (isnan(v)) return 0x7f;
    if (r > top) return sign | (saturate == __NV_SATFINITE ? e4m3 ? 0x7e : 0x7b : e4m3 ? 0x7f : 0x7c);
    if (r < ldexp(1, least)) return (unsigned char)(sign | (int)ldexp(r, fraction - least));
    int e = ilogb(r);
    return (unsigned char)(sign | (e + bias) << fraction | ((int)ldexp(r, fraction - e) - (1 << fraction)));
}
static inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float v, __nv_saturation_t s, __nv_fp8_interpretation_t k) {
    return __nv_cvt_double_to_fp8(v, s, k);
}
static inline __nv_fp8x2_storage_t __nv_cvt_float2_to_fp8x2(float2 v, __nv_saturation_t s,
                                                            __nv_fp8_interpretation_t k) {
    return (unsigned short)(__nv_cvt_double_to_fp8(v.x, s, k) | __nv_cvt_double_to_fp8(v.y, s, k) << 8);
}
static inline __half_raw __nv_cvt_fp8_to_halfraw(__nv_fp8_storage_t h, __nv_fp8_interpretation_t kind) {
    bool e4m3 = kind == __NV_E4M3;
    int fraction = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15, m = h & ((1 << fraction) - 1), e = (h & 0x7f) >> fraction;
    double v = e ? ldexp(1.0 + ldexp(m, -fraction), e - bias) : ldexp(m, 1 - bias - fraction);
    if (e4m3 ? (h & 0x7f) == 0x7f : e == 31 && m) v = NAN;
    else if (!e4m3 && e == 31) v = INFINITY;
    return __double2half(h & 0x80 ? -v : v);
}
static inline __half2_raw __nv_cvt_fp8x2_to_halfraw2(__nv_fp8x2_storage_t h, __nv_fp8_interpretation_t kind) {
    __half_raw lo = __nv_cvt_fp8_to_halfraw((unsigned char)h, kind),
        hi = __nv_cvt_fp8_to_halfraw((unsigned char)(h >> 8), kind);
    return { lo.x, hi.x };
}
