/* rows32_float_panel.h: what rows32_float.h has for panels by tiles of bf16 (bf16_panel_amx.h): codes by tables, scales
 * of spans or of rows. */
#pragma once
#include "bf16_panel_amx.h"

typedef struct float_of { const lb_quantizer *q; int64_t k; float_regs regs; } float_of;

LB_INLINE const uint8_t *float_panel_open(const float_format f, const float_of *of, const uint8_t *panel,
                                          const uint8_t *p, int64_t i, pairs_head *to) {
    LB_UNROLL for (int h = 0; h < 2; h++) to->s[h] = f.scale(of->q, panel, of->k, i, h);
    return p;
}
LB_INLINE const uint8_t *float_panel_expand(const float_format f, const float_of *of, const uint8_t *p,
                                            pairs_run *to) {
    const int each = float_piece_pairs(f);
    float_ask(p, (int)float_run_bytes(f) / 32);
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int i = 0; i < 16; i += each, p += 64 * float_piece_vectors(f)) {
            __m512i w[8];
            float_decode(f, &of->regs, p, w);
            LB_UNROLL for (int j = 0; j < each; j++) to->of[h][i + j] = w[j];
        }
    return p;
}

LB_INLINE void float_panels(const float_format f, const pairs_format pairs, const float_table *table,
                            const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,
                            int64_t k, int cols, float *out, int64_t out_stride) {
    const float_of of = { q, k, float_open(f, table) };
    pairs_run_panels(pairs, (pairs_problem){
        .of = &of, .panels = panels, .codes = (const uint8_t *)panels + f.head_bytes(q, k),
        .panel_bytes = float_panel_bytes(f, q, k), .count = count, .act = act, .stride = stride,
        .padded = lb_act_bf16_padded(k), .span = f.span, .cols = cols, .out = out, .out_stride = out_stride });
}

/* The functions of a file from FORMAT, TABLE (of q, a pointer), FLOAT_SCALES, unpack() and put_scales(). */
#define LB_FLOAT_FUNCTIONS                                                                                           \
    LB_INLINE const uint8_t *open_span(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i,            \
                                       pairs_head *to) {                                                             \
        return float_panel_open(FORMAT, of, panel, p, i, to);                                                        \
    }                                                                                                                \
    LB_INLINE const uint8_t *expand(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i,               \
                                    pairs_run *to) {                                                                 \
        (void)panel, (void)i;                                                                                        \
        return float_panel_expand(FORMAT, of, p, to);                                                                \
    }                                                                                                                \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        (void)step;                                                                                                  \
        const pairs_format f = {                                                                                     \
            .of_row = FLOAT_SCALES == FLOAT_OF_ROW, .open = open_span, .expand = expand,                             \
            .act_apart = FORMAT.act == FLOAT_ACT_128 ? LB_ACT_F8_BLOCK_BYTES : 256,                                  \
            .act_scaled = FORMAT.act == FLOAT_ACT_ROW };                                                             \
        float_panels(FORMAT, f, TABLE(q), q, panels, count, act, stride, k, cols, out, out_stride);                  \
    }                                                                                                                \
    LB_PAIRS_RUN                                                                                                     \
    LB_FLOAT_LAYOUT
#define LB_FLOAT_PANEL(prepare, bytes, kind)                                                                         \
    LB_FLOAT_FUNCTIONS                                                                                               \
    LB_ROWS32_PANELS(prepare, bytes, kind, &panels_ops)

/* The descriptor, but for name, format, about and activations. */
#define FLOAT_WITH(how) "tdpbf16ps on tiles of bf16 activations, scales and zeros on the sums of all that they are for"
#define LB_FLOAT_KERNEL LB_ROWS32_KERNEL, LB_FLOAT_ARITHMETIC
#define LB_FLOAT_ARITHMETIC                                                                                          \
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VBMI | LB_ISA_AMX_BF16, .acc = LB_ACC_F32,                                  \
    .compute = LB_COMPUTE_BF16, LB_FLOAT_BOUND
#define LB_FLOAT_BOUND                                                                                               \
    .tolerance = 1e-10,                                                                                              \
    .tolerance_why = "codes are exact in bf16 and products of bf16 in f32; tdpbf16ps rounds each sum and flushes "   \
                     "subnormals: NMSE of about 1e-13, which grows with K (1.7e-12 at 131072), more where sums cancel"
