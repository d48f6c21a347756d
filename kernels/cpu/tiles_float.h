/* tiles_float.h: what rows32_float.h has for AMX: panels' codes as pairs of bf16 for gemm_tiles.h, their scales, but
 * for a row's or a long span's, multiplied in. */
#pragma once
#include "gemm_tiles.h"
#include "tiles_split.h"

/* Pair p of half of the rows: codes, by `scales` (FLOAT_OF_ROW, ...) times s. */
LB_INLINE void tiles_put(const int scales, __m512i codes, __m512 s, tiles_pairs *to, int64_t p, int half) {
    if (scales == FLOAT_OF_ROW || scales == FLOAT_OF_SPAN) {
        to->w[p][half] = codes;
        return;
    }
    to->w[p][half] = tiles_cut(_mm512_mul_ps(tiles_even(codes), s), _mm512_mul_ps(tiles_odd(codes), s));
}

/* tiles_format.expand of a format; the constants are f and `scales`. */
LB_INLINE const void *float_pairs(const float_format f, const float_table *table, const int scales,
                                  const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at, int64_t some,
                                  tiles_pairs *to) {
    const float_regs regs = float_open(f, table);
    const int each = float_piece_pairs(f);
    const uint8_t *p = panel + f.head_bytes(q, k) + (size_t)(at / 32) * 2 * float_run_bytes(f);
    for (int64_t run = at / 32; run < (at + some) / 32; run++)
        LB_UNROLL for (int half = 0; half < 2; half++) {
            __m512 s = _mm512_setzero_ps();
            LB_UNROLL for (int i = 0; i < 16; i += each, p += 64 * float_piece_vectors(f)) {
                __m512i w[8];
                float_decode(f, &regs, p, w);
                if (scales != FLOAT_OF_ROW && scales != FLOAT_OF_SPAN && 2 * i % (f.span < 32 ? f.span : 32) == 0)
                    s = f.scale(q, panel, k, (32 * run + 2 * i) / f.span, half);
                LB_UNROLL for (int j = 0; j < each; j++)
                    tiles_put(scales, w[j], s, to, 16 * run - at / 2 + i + j, half);
            }
        }
    return p;
}

/* row_scales() of a file whose panels begin with 32 f32. */
#define LB_TILES_ROW_SCALES                                                                                          \
    static void row_scales(const lb_quantizer *q, const uint8_t *panel, int64_t k, __m512 to[2]) {                   \
        for (int half = 0; half < 2; half++) to[half] = float_row_scale(q, panel, k, 0, half);                       \
    }

/* The functions of a file from FORMAT, TABLE (of q, a pointer), FLOAT_SCALES, unpack() and put_scales(). */
#define LB_FLOAT_FUNCTIONS                                                                                           \
    static const void *expand(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,      \
                              int64_t some, tiles_pairs *to) {                                                       \
        (void)rows;                                                                                                  \
        return float_pairs(FORMAT, TABLE(q), FLOAT_SCALES, q, panel, k, at, some, to);                               \
    }                                                                                                                \
    static void row_scales(const lb_quantizer *q, const uint8_t *panel, int64_t k, __m512 to[2]) {                   \
        for (int half = 0; half < 2; half++)                                                                         \
            to[half] = FLOAT_SCALES == FLOAT_OF_ROW ? FORMAT.scale(q, panel, k, 0, half) : _mm512_set1_ps(1);        \
    }                                                                                                                \
    TILES_SPAN_SCALES                                                                                                \
    LB_FLOAT_LAYOUT
#define LB_FLOAT_PANEL(prepare, bytes, kind)                                                                         \
    LB_FLOAT_FUNCTIONS                                                                                               \
    LB_ROWS32_PANEL(prepare, bytes, kind)
/* A file whose prepared rows have a scale says so before it includes rows32_float.h. */
#ifndef TILES_ACT_SCALED
#define TILES_ACT_SCALED false
#endif
/* And one whose sums meet the scales of spans how many k these are. */
#ifdef TILES_SPAN
#define TILES_SPAN_SCALES                                                                                            \
    static void span_scales(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, __m512 to[2]) {       \
        for (int half = 0; half < 2; half++) to[half] = FORMAT.scale(q, panel, k, i, half);                          \
    }
#define TILES_SPANS .span = TILES_SPAN, .span_scales = span_scales,
#else
#define TILES_SPAN_SCALES
#define TILES_SPANS
#endif
/* And one that lacks some steps of K how it says which it has. */
#ifndef TILES_STEPS_OF
#define TILES_STEPS_OF
#endif
#define LB_ROWS32_TILES                                                                                              \
    TILES_SPANS TILES_STEPS_OF .terms = 1, .act_scaled = TILES_ACT_SCALED, .scales = row_scales

/* The descriptor, but for name, format, about and activations. */
#define FLOAT_WITH(how)                                                                                              \
    "tdpbf16ps on tiles of bf16 activations, sums of 32 x 32; scales but for a row's are multiplied in before"
#define LB_FLOAT_BOUND                                                                                               \
    .tolerance = 1e-10,                                                                                              \
    .tolerance_why = "codes, or those times their scale, are exact in bf16 and products of bf16 in f32; tdpbf16ps "  \
                     "rounds each sum and flushes subnormals: NMSE of about 1e-13, more where sums cancel"
#define LB_FLOAT_ARITHMETIC TILES_ARITHMETIC, LB_FLOAT_BOUND
#define LB_FLOAT_KERNEL LB_ROWS32_KERNEL, LB_FLOAT_BOUND
