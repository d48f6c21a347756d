/* rows32_float_row.h: what the kernels of floating-point codes share for one row of x: codes to bf16 by tables as for
 * more rows, products by tiles of bf16 of which x is the only row (amx.h). A run's pairs are made while the tiles
 * multiply the one before. Where there are tiles, vdpbf16ps takes two cycles a product of 32 and some ten through its
 * sum (Emerald Rapids), which with a panel's two sums is longer than memory takes for the codes. */
#pragma once
#include "amx.h"

/* tmm0, tmm1: sums of rows 0..15 and 16..31 of a panel; tmm4: x; tmm6, tmm7: weights. */
static const lb_tiles float_row_shape = {
    .palette = 1,
    .row_bytes = { 64, 64, 0, 0, 64, 0, 64, 64 },
    .rows = { 1, 1, 0, 0, 1, 0, 16, 16 },
};

/* Tiles of a run's weights, and sums of a span. */
typedef struct float_row_pairs { __m512i of[2][16]; } float_row_pairs;
typedef struct float_row_sums { float of[2][16]; } __attribute__((aligned(64))) float_row_sums;

LB_INLINE void float_row_expand(const float_format f, const float_regs *t, const uint8_t *p, float_row_pairs *to) {
    const int each = float_piece_pairs(f);
    float_ask(p, (int)float_run_bytes(f) / 32);
    LB_UNROLL for (int half = 0; half < 2; half++)
        LB_UNROLL for (int i = 0; i < 16; i += each, p += 64 * float_piece_vectors(f)) {
            __m512i w[8];
            float_decode(f, t, p, w);
            LB_UNROLL for (int j = 0; j < each; j++) to->of[half][i + j] = w[j];
        }
}

/* total += the sums of span i times its scales. */
LB_INLINE void float_row_close(const float_format f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i,
                               const float_row_sums *s, __m512 total[2]) {
    LB_UNROLL for (int half = 0; half < 2; half++)
        total[half] = _mm512_fmadd_ps(_mm512_load_ps(s->of[half]), f.scale(q, panel, k, i, half), total[half]);
}

/* The constants are f and `of_row`: a scale is that of a row, for the sum of all K. K is not 0: gemm_panel.c has that
 * case. */
LB_INLINE void float_row(const float_format f, const float_table *table, const bool of_row, const lb_quantizer *q,
                         const uint8_t *panel, const void *act, int64_t k, float *out) {
    const float_regs regs = float_open(f, table);
    const int64_t padded = lb_act_bf16_padded(k), runs = padded / 32, each = of_row ? runs : f.span / 32;
    const uint8_t *p = panel + f.head_bytes(q, k);
    float_row_pairs pairs[2];
    float_row_sums sums[2];
    __m512 total[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    int64_t spans = 0, in_span = 0;
    lb_tiles_open(&float_row_shape);
    for (int64_t i = 0; i <= runs; i++, p += 2 * float_run_bytes(f)) {
        if (i < runs) float_row_expand(f, &regs, p, &pairs[i % 2]);
        const int64_t j = i - 1;
        if (j < 0) continue;
        if (in_span == 0) {
            LB_TILE_ZERO(0);
            LB_TILE_ZERO(1);
        }
        LB_TILE_STEP(LB_TILE_BF16, (const uint16_t *)act + 32 * j, pairs[j % 2].of);
        if (++in_span < each && j < runs - 1) continue;
        LB_TILE_STORE(0, sums[spans % 2].of[0], 64);
        LB_TILE_STORE(1, sums[spans % 2].of[1], 64);
        if (spans > 0) float_row_close(f, q, panel, k, spans - 1, &sums[(spans + 1) % 2], total);
        spans++, in_span = 0;
    }
    lb_tiles_close();
    float_row_close(f, q, panel, k, spans - 1, &sums[(spans + 1) % 2], total);
    LB_UNROLL for (int half = 0; half < 2; half++) {
        if (f.act == FLOAT_ACT_ROW) total[half] = _mm512_mul_ps(total[half], float_act_scale(f, act, 0, padded, 0));
        _mm512_storeu_ps(out + 16 * half, total[half]);
    }
}

static inline bool float_row_supports(const lb_args *a, const char **why) {
    *why = "tiles whose only row is x's are for one row of activations";
    return lb_arg(a, LB_GEMM_X)->dims[0] == 1;
}

/* The functions of a file from FORMAT, TABLE (of q, a pointer), FLOAT_SCALES, unpack() and put_scales(). */
#define LB_FLOAT_FUNCTIONS                                                                                           \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)stride, (void)cols, (void)out_stride;                                                                  \
        float_row(FORMAT, TABLE(q), FLOAT_SCALES == FLOAT_OF_ROW, q, panel, act, k, out);                            \
    }                                                                                                                \
    LB_FLOAT_LAYOUT
#define LB_FLOAT_PANEL(prepare, bytes, kind)                                                                         \
    LB_FLOAT_FUNCTIONS                                                                                               \
    LB_ROWS32_PANEL(prepare, bytes, kind)

/* The descriptor, but for name, format, about and activations. */
#define FLOAT_WITH(how) "tdpbf16ps on tiles with one row of bf16 activations, " how
#define LB_FLOAT_KERNEL                                                                                              \
    LB_ROWS32_KERNEL, .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VBMI | LB_ISA_AMX_BF16, .acc = LB_ACC_F32,                \
    .compute = LB_COMPUTE_BF16, .supports = float_row_supports, .tolerance = 1e-10,                                  \
    .tolerance_why = "codes are exact in bf16 and products of bf16 in f32; tdpbf16ps rounds each sum and flushes "   \
                     "subnormals: NMSE of about 1e-13, which grows with K (1.7e-12 at 131072), more where sums cancel"
