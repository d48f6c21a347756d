/* dtype.c: names and sizes of element types, and f16 by integer arithmetic. */
#include "dtype.h"

#include <strings.h>

static const char *const names[LB_DTYPE_COUNT] = {
    "f32", "f16", "bf16", "f64", "i8", "u8", "i32", "i64", "f8e4m3", "quantized",
};
static const size_t sizes[LB_DTYPE_COUNT] = { 4, 2, 2, 8, 1, 1, 4, 8, 1, 0 };

static const struct {
    const char *name;
    lb_dtype dtype;
} aliases[] = {
    { "bfloat16", LB_BF16 }, { "byte", LB_U8 },    { "double", LB_F64 }, { "float", LB_F32 },
    { "float16", LB_F16 },   { "float32", LB_F32 }, { "float64", LB_F64 }, { "float8_e4m3fn", LB_F8E4M3 },
    { "fp8", LB_F8E4M3 },    { "half", LB_F16 },
    { "int", LB_I32 },       { "int32", LB_I32 },  { "int64", LB_I64 },  { "int8", LB_I8 },
    { "long", LB_I64 },      { "uint8", LB_U8 },
};

const char *lb_dtype_name(lb_dtype t) { return (unsigned)t < LB_DTYPE_COUNT ? names[t] : "unknown"; }

size_t lb_dtype_size(lb_dtype t) { return (unsigned)t < LB_DTYPE_COUNT ? sizes[t] : 0; }

lb_dtype lb_dtype_parse(const char *name) {
    if (!name) return LB_DTYPE_COUNT;
    if (strncmp(name, "torch.", 6) == 0) name += 6;
    for (int i = 0; i < LB_QUANT; i++) /* "quantized" needs a quantizer: it is not a type that one can ask for */
        if (strcasecmp(name, names[i]) == 0) return (lb_dtype)i;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcasecmp(name, aliases[i].name) == 0) return aliases[i].dtype;
    return LB_DTYPE_COUNT;
}

float lb_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, fraction = h & 0x3ffu;
    if (exponent == 31) return lb_f32_from_bits(sign | 0x7f800000u | fraction << 13 | (fraction ? 0x400000u : 0));
    if (exponent) return lb_f32_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    if (!fraction) return lb_f32_from_bits(sign);
    /* Subnormal: fraction * 2^-24, exact in f32. */
    uint32_t shift = (uint32_t)__builtin_clz(fraction) - 21; /* brings the top bit to bit 10 */
    return lb_f32_from_bits(sign | (113 - shift) << 23 | ((fraction << shift) & 0x3ffu) << 13);
}

uint16_t lb_f32_to_f16(float f) {
    uint32_t u = lb_f32_bits(f), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x1ffu)); /* NaN stays NaN */
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);                       /* 65520 and up round to Inf */
    if (a >= 0x38800000u)                                                          /* normal: 2^-14 and up */
        return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
    if (a < 0x33000000u) return (uint16_t)sign; /* below 2^-25; 2^-25 itself is a tie, and goes to even 0 below */
    uint32_t shift = 126u - (a >> 23), m = (a & 0x7fffffu) | 0x800000u; /* 14 .. 24 */
    uint32_t q = m >> shift, rest = m & ((1u << shift) - 1u), half = 1u << (shift - 1);
    q += rest > half || (rest == half && (q & 1u));
    return (uint16_t)(sign | q);
}

float lb_f8e4m3_to_f32(uint8_t h) {
    uint32_t sign = (uint32_t)(h & 0x80u) << 24, a = h & 0x7fu;
    if (a == 0x7f) return lb_f32_from_bits(sign | 0x7fc00000u);
    if (a >= 8) return lb_f32_from_bits(sign | ((a << 20) + (120u << 23)));
    float small = (float)a * 0x1p-9f; /* subnormal: multiples of 2^-9, exact */
    return sign ? -small : small;
}

uint8_t lb_f32_to_f8e4m3(float f) {
    uint32_t u = lb_f32_bits(f), sign = u >> 24 & 0x80u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint8_t)(sign | 0x7fu);
    if (a >= 0x43e00000u) return (uint8_t)(sign | 0x7eu); /* 448 and up */
    if (a >= 0x3c800000u) {                               /* normal: 2^-6 and up */
        uint32_t r = (a - (120u << 23) + 0x7ffffu + (a >> 20 & 1u)) >> 20;
        return (uint8_t)(sign | (r > 0x7eu ? 0x7eu : r));
    }
    return (uint8_t)(sign | (uint32_t)rintf(lb_f32_from_bits(a) * 512.0f));
}
