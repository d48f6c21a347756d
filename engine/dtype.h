/* dtype.h: element types of tensors, and scalar conversions that every layer agrees on. */
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum lb_dtype {
    LB_F32 = 0, LB_F16, LB_BF16, LB_F64,
    LB_I8, LB_U8, LB_I32, LB_I64,
    LB_F8E4M3,     /* OCP FP8 E4M3: 448 is the largest value, no Inf, NaN is 0x7f */
    LB_QUANT,      /* blocks of a quantizer; see quantizer.h */
    LB_DTYPE_COUNT
} lb_dtype;

/* "f32", "bf16", ...; "quantized" for LB_QUANT; never NULL. */
const char *lb_dtype_name(lb_dtype t);
/* Also accepts NumPy's and torch's names ("float32", "bfloat16", "int8"). LB_DTYPE_COUNT = unknown. */
lb_dtype lb_dtype_parse(const char *name);
/* Bytes of one element; 0 for LB_QUANT. */
size_t lb_dtype_size(lb_dtype t);

static inline uint32_t lb_f32_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
static inline float lb_f32_from_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

/* bf16: round to nearest even; NaN stays NaN. */
static inline float lb_bf16_to_f32(uint16_t h) { return lb_f32_from_bits((uint32_t)h << 16); }
static inline uint16_t lb_f32_to_bf16(float f) {
    uint32_t u = lb_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

/* f16 (IEEE binary16), round to nearest even, by integer arithmetic: the same bits on every machine. */
float lb_f16_to_f32(uint16_t h);
/* fp8 e4m3: round to nearest even; beyond 448, Inf included, saturates; NaN stays NaN. */
float lb_f8e4m3_to_f32(uint8_t h);
uint8_t lb_f32_to_f8e4m3(float f);
uint16_t lb_f32_to_f16(float f);
