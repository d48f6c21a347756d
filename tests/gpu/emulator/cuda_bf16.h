/* cuda_bf16.h: bfloat16 for kernels that run on the CPU; each operation is rounded once, to nearest even. */
#pragma once
#include "cuda_fp16.h"

struct __nv_bfloat16_raw { unsigned short x; };
struct __nv_bfloat16 {
    unsigned short bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(__nv_bfloat16_raw r) : bits(r.x) {}
    explicit inline __nv_bfloat16(float v);
    operator __nv_bfloat16_raw() const { return { bits }; }
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
    __nv_bfloat162() = default;
    __nv_bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) : x(a), y(b) {}
};

static inline unsigned short lb_emu_bf16_bits(double v) {
    if (isnan(v)) return 0x7fff;
    float f = (float)lb_emu_round(v, 7, -126); /* to Inf, where it is too large */
    return (unsigned short)(__float_as_uint(f) >> 16);
}
inline __nv_bfloat16::__nv_bfloat16(float v) : bits(lb_emu_bf16_bits(v)) {}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short u) { return __nv_bfloat16_raw{ u }; }
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) { return h.bits; }
static inline float __bfloat162float(__nv_bfloat16 h) { return __uint_as_float((unsigned)h.bits << 16); }
static inline __nv_bfloat16 __double2bfloat16(double v) { return __nv_bfloat16_raw{ lb_emu_bf16_bits(v) }; }
static inline __nv_bfloat16 __float2bfloat16_rn(float v) { return __double2bfloat16(v); }
static inline __nv_bfloat16 __float2bfloat16(float v) { return __double2bfloat16(v); }
static inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) {
    return __nv_bfloat162(__float2bfloat16_rn(a), __float2bfloat16_rn(b));
}
static inline __nv_bfloat162 __float22bfloat162_rn(float2 v) { return __floats2bfloat162_rn(v.x, v.y); }
static inline __nv_bfloat162 __float2bfloat162_rn(float v) { return __floats2bfloat162_rn(v, v); }
static inline __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 a) { return __nv_bfloat162(a, a); }
static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return __nv_bfloat162(a, b); }
static inline float2 __bfloat1622float2(__nv_bfloat162 h) {
    return make_float2(__bfloat162float(h.x), __bfloat162float(h.y));
}
static inline float __low2float(__nv_bfloat162 h) { return __bfloat162float(h.x); }
static inline float __high2float(__nv_bfloat162 h) { return __bfloat162float(h.y); }

#define LB_EMU_BF16(name, expression)                                                                                 \
    static inline __nv_bfloat16 name(__nv_bfloat16 l, __nv_bfloat16 r) {                                              \
        double a = __bfloat162float(l), b = __bfloat162float(r);                                                      \
        return __double2bfloat16(expression);                                                                         \
    }                                                                                                                 \
    static inline __nv_bfloat162 name##2(__nv_bfloat162 l, __nv_bfloat162 r) {                                        \
        return __nv_bfloat162(name(l.x, r.x), name(l.y, r.y));                                                        \
    }
LB_EMU_BF16(__hadd, a + b)
LB_EMU_BF16(__hsub, a - b)
LB_EMU_BF16(__hmul, a * b)
LB_EMU_BF16(__hmax, fmax(a, b))
LB_EMU_BF16(__hmin, fmin(a, b))
static inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
    return __double2bfloat16(fma((double)__bfloat162float(a), (double)__bfloat162float(b),
                                 (double)__bfloat162float(c)));
}
static inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) {
    return __nv_bfloat162(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
}
