/* kquant.h: what the quantizers of kernels/quant share: block plumbing, input cleaning, K-quant searches. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../../engine/dtype.h"
#include "../../engine/quantizer.h"
#include "../../engine/wide.h"

/* Weights beyond this (and infinities) count as this; NaN counts as 0. It keeps every search's sums finite in f32. */
#define LB_WEIGHT_LIMIT 1e9f

LB_INLINE float lb_clean(float v) {
    float c = v > LB_WEIGHT_LIMIT ? LB_WEIGHT_LIMIT : v;
    c = c < -LB_WEIGHT_LIMIT ? -LB_WEIGHT_LIMIT : c;
    return c == c ? c : 0.0f;
}
LB_INLINE void lb_clean_copy(const float *src, int64_t n, float *dst) {
    for (int64_t i = 0; i < n; i++) dst[i] = lb_clean(src[i]);
}

/* The largest magnitude, of clean values: as integers, because gcc makes no vectors of a maximum of floats. */
LB_INLINE float lb_most_magnitude(const float *x, int64_t n) {
    int32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t bits = (int32_t)(lb_f32_bits(x[i]) & 0x7fffffffu);
        most = bits > most ? bits : most;
    }
    return lb_f32_from_bits((uint32_t)most);
}

/* v, but no less than lo and no more than hi; fminf and fmaxf are calls. */
LB_INLINE float lb_within(float v, float lo, float hi) { return v < lo ? lo : v > hi ? hi : v; }

/* n / d; 0 where d is 0, or so small (subnormal) that the quotient is infinite: such weights become zeros. */
static inline float lb_finite_ratio(float n, float d) {
    float r = d != 0 ? n / d : 0.0f;
    return r - r == 0 ? r : 0.0f;
}

/* f16, saturated: a block scale is never infinite. As lb_f32_to_f16 of what is left, without branches or a call. */
LB_INLINE uint16_t lb_f16_scale(float v) {
    v = v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v;
    uint32_t bits = lb_f32_bits(v), a = bits & 0x7fffffffu;
    uint32_t normal = (a - (112u << 23) + 0xfffu + (a >> 13 & 1u)) >> 13;
    /* below 2^-14: adding 1/2 leaves multiples of 2^-24, rounded to even, in the low bits */
    uint32_t small = lb_f32_bits(lb_f32_from_bits(a) + 0.5f) - 0x3f000000u;
    uint32_t half = a < 0x38800000u ? small : normal;
    return (uint16_t)((bits >> 16 & 0x8000u) | (a > 0x7f800000u ? 0x7e00u : half));
}
static inline void lb_put_f16(uint8_t *at, uint16_t h) { memcpy(at, &h, 2); }
static inline float lb_get_f16(const uint8_t *at) {
    uint16_t h;
    memcpy(&h, at, 2);
    return lb_f16_to_f32(h);
}

/* symmetric3 takes so many super-blocks of 256 at once. */
enum { LB_BLOCKS3 = 4 };

/* Searches over 16 sub-blocks that lie one after another in x (already clean); results per sub-block. */
typedef struct lb_kquant_search {
    void (*min16)(const float *x, float nmax, float from, int steps, float *scale, float *negated_min);
    void (*min32)(const float *x, float nmax, float from, int steps, float *scale, float *negated_min);
    void (*symmetric6)(const float *x, float *scale);
    void (*symmetric3)(const float *x, float *scale);  /* LB_BLOCKS3 * 16 sub-blocks of 16 */
    void (*uniform)(const float *x, float middle, float least_factor, float *scale); /* sub-blocks of 32 */
    void (*codebook)(const float *x, const float *levels, float *scale);  /* 16 ascending levels, sub-blocks of 32 */
    void (*codebook_codes)(const float *x, const float *levels, const float *inverse, uint8_t *q);
    void (*codes16)(const float *x, const float *step, const float *add, float lo, float hi, uint8_t *q);
    void (*codes32)(const float *x, const float *step, const float *add, float lo, float hi, uint8_t *q);
} lb_kquant_search;

/* The variant for this processor; all give the same bits. */
const lb_kquant_search *lb_kquant_search_get(void);
extern const lb_kquant_search lb_kquant_search_portable, lb_kquant_search_avx2, lb_kquant_search_avx512;

/* What needs no search. Blocks: how many of them were made; the one after is not clean. Rows: false = not clean. */
typedef struct lb_plain_quantizers {
    int64_t (*q8_0)(const float *src, int64_t count, uint8_t *dst);
    int64_t (*q4_0)(const float *src, int64_t count, uint8_t *dst);
    bool (*int8_row)(const float *x, int64_t k, int8_t *codes, float *scale);
} lb_plain_quantizers;
/* The variant for this processor; NULL = none: gcc's own vectors do. */
const lb_plain_quantizers *lb_plain_quantizers_get(void);
extern const lb_plain_quantizers lb_plain_avx512;

/* q4_k and q5_k are alike but for the fifth bit: two super-blocks at a time. */
void lb_kquant_pair(const float *x, float nmax, float from, int steps, float d[2], float dmin[2], uint8_t sc[16],
                    uint8_t m[16], uint8_t *codes);
void lb_scales12_pack(const uint8_t sc[8], const uint8_t m[8], uint8_t out[12]);
void lb_scales12_unpack(const uint8_t in[12], uint8_t sc[8], uint8_t m[8]);

/* Functions of a format whose rows are blocks one after another: BLOCK elements in BYTES bytes each, quantized and
 * dequantized by quantize_blocks(src, count, dst) and dequantize_blocks(src, count, dst). Defines the family. */
#define LB_BLOCK_QUANTIZER(id, BLOCK, BYTES, BITS, ABOUT, SOURCE)                                                     \
    static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {                                           \
        (void)q;                                                                                                      \
        return (size_t)n * (size_t)(k / BLOCK) * BYTES;                                                               \
    }                                                                                                                 \
    static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,   \
                         void *dst) {                                                                                 \
        (void)q, (void)n;                                                                                             \
        int64_t per_row = k / BLOCK;                                                                                  \
        quantize_blocks(src + row0 * k, (row1 - row0) * per_row, (uint8_t *)dst + (size_t)(row0 * per_row) * BYTES);  \
    }                                                                                                                 \
    static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                           float *dst) {                                                                              \
        (void)q, (void)n;                                                                                             \
        int64_t per_row = k / BLOCK;                                                                                  \
        dequantize_blocks((const uint8_t *)src + (size_t)(row0 * per_row) * BYTES, (row1 - row0) * per_row, dst);     \
    }                                                                                                                 \
    static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {  \
        (void)q, (void)n;                                                                                             \
        *length = (size_t)(k / BLOCK) * BYTES;                                                                        \
        *offset = (size_t)row * *length;                                                                              \
    }                                                                                                                 \
    static bool parse(const char *name, lb_quantizer *out, char why[64]) {                                            \
        why[0] = 0;                                                                                                   \
        if (strcmp(name, #id)) return false;                                                                          \
        *out = (lb_quantizer){ .name = #id, .k_multiple = BLOCK, .group = BLOCK, .bits = BITS,                        \
                               .family = &lb_quantizer_##id, .size_bytes = size_bytes, .quantize = quantize,          \
                               .dequantize = dequantize, .row_span = row_span };                                      \
        return true;                                                                                                  \
    }                                                                                                                 \
    static const char *const members[] = { #id, NULL };                                                               \
    const lb_quantizer_family lb_quantizer_##id = { .name = #id, .about = ABOUT, .source = SOURCE,                    \
                                                    .members = members, .parse = parse };
