/* cuda_fp16.h: half precision for kernels that run on the CPU; each operation is rounded once, to nearest even. */
#pragma once
#include "cuda_runtime.h"

struct __half_raw { unsigned short x; };
struct __half2_raw { unsigned short x, y; };
struct __half {
    unsigned short bits;
    __half() = default;
    __half(__half_raw r) : bits(r.x) {}
    explicit inline __half(float v);
    operator __half_raw() const { return { bits }; }
};
struct alignas(4) __half2 {
    __half x, y;
    __half2() = default;
    __half2(__half a, __half b) : x(a), y(b) {}
    __half2(__half2_raw r) : x(__half_raw{ r.x }), y(__half_raw{ r.y }) {}
};
typedef __half half;
typedef __half2 half2;

/* To `fraction` bits and exponents from `least` on, without range. */
static inline double lb_emu_round(double v, int fraction, int least) {
    uint64_t bits = lb_emu_bits<uint64_t>(v), half = 1ull << (51 - fraction);
    int e = (int)(bits >> 52 & 2047) - 1023;
    if (v == 0 || e == 1024) return v;
    if (e < least) return ldexp(nearbyint(ldexp(v, fraction - least)), least - fraction);
    /* to nearest, ties to even, in the double's own bits: a carry out of the fraction raises the exponent */
    bits += half - 1 + (bits >> (52 - fraction) & 1);
    return lb_emu_bits<double>(bits & ~(2 * half - 1));
}
static inline unsigned short lb_emu_half_bits(double v) {
    unsigned short sign = signbit(v) ? 0x8000 : 0;
    if (isnan(v)) return 0x7fff;
    double r = fabs(lb_emu_round(v, 10, -14));
    if (r >= 65536) return sign | 0x7c00;
    if (r < 0x1p-14) return (unsigned short)(sign | (int)(r * 0x1p24));
    return (unsigned short)(sign | (unsigned)((lb_emu_bits<uint64_t>(r) >> 42) - (1008ull << 10)));
}
inline __half::__half(float v) : bits(lb_emu_half_bits(v)) {}
static inline float lb_emu_half_value(unsigned short h) {
    unsigned e = h >> 10 & 31, m = h & 1023;
    float v = e == 31 ? m ? NAN : INFINITY : e ? __uint_as_float((e + 112) << 23 | m << 13) : (float)m * 0x1p-24f;
    return h & 0x8000 ? -v : v;
}
static inline __half __ushort_as_half(unsigned short u) { return __half_raw{ u }; }
static inline __half __short_as_half(short u) { return __half_raw{ (unsigned short)u }; }
static inline unsigned short __half_as_ushort(__half h) { return h.bits; }
static inline float __half2float(__half h) { return lb_emu_half_value(h.bits); }
static inline __half __double2half(double v) { return __half_raw{ lb_emu_half_bits(v) }; }
static inline __half __float2half_rn(float v) { return __double2half(v); }
static inline __half __float2half(float v) { return __double2half(v); }
static inline __half __int2half_rn(int v) { return __double2half(v); }
static inline __half2 __floats2half2_rn(float a, float b) { return __half2(__float2half_rn(a), __float2half_rn(b)); }
static inline __half2 __float22half2_rn(float2 v) { return __floats2half2_rn(v.x, v.y); }
static inline __half2 __float2half2_rn(float v) { return __floats2half2_rn(v, v); }
static inline __half2 __halves2half2(__half a, __half b) { return __half2(a, b); }
static inline __half2 __half2half2(__half a) { return __half2(a, a); }
static inline float2 __half22float2(__half2 h) { return make_float2(__half2float(h.x), __half2float(h.y)); }
static inline float __low2float(__half2 h) { return __half2float(h.x); }
static inline float __high2float(__half2 h) { return __half2float(h.y); }
static inline __half __low2half(__half2 h) { return h.x; }
static inline __half __high2half(__half2 h) { return h.y; }

#define LB_EMU_HALF(name, expression)                                                                                 \
    static inline __half name(__half l, __half r) {                                                                   \
        double a = __half2float(l), b = __half2float(r);                                                              \
        return __double2half(expression);                                                                             \
    }                                                                                                                 \
    static inline __half2 name##2(__half2 l, __half2 r) { return __half2(name(l.x, r.x), name(l.y, r.y)); }
LB_EMU_HALF(__hadd, a + b)
LB_EMU_HALF(__hsub, a - b)
LB_EMU_HALF(__hmul, a * b)
LB_EMU_HALF(__hmax, fmax(a, b))
LB_EMU_HALF(__hmin, fmin(a, b))
static inline __half __hfma(__half a, __half b, __half c) {
    return __double2half(fma((double)__half2float(a), (double)__half2float(b), (double)__half2float(c)));
}
static inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
    return __half2(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
}
