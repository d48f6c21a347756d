/* activation.h: how a kernel turns f32 activations into what its inner loop multiplies.
 *
 * The definition here is the reference: a kernel's own (vectorised) form must give the same bits, because the
 * oracle multiplies exactly these values. All formats but LB_ACT_F8_TENSOR work row by row, so a row's result never
 * depends on the batch it is in.
 *
 * Codes have none for NaN and Inf, which must not vanish: what shares a scale with one has NaN as its values. Where one
 * is NaN, so is the maximum of magnitudes, and the scale with it; where one is Inf the scale is Inf; all codes are
 * 0. */
#pragma once
#include <stdint.h>

typedef enum lb_act {
    LB_ACT_F32 = 0,   /* used as they are */
    LB_ACT_BF16,      /* rounded to bf16, nearest even */
    LB_ACT_Q8_32,     /* int8, blocks of 32 along K: amax = max|x|; d = amax / 127; id = amax > 0 ? 127 / amax : 0;
                         q = (int)rint(x * id) (f32 multiply, nearest even); value = d * q */
    LB_ACT_Q8_256,    /* the same with blocks of 256 */
    LB_ACT_Q8_ROW,    /* the same with one block for the whole row */
    LB_ACT_I8_TOKEN,  /* int8, one scale a row, as torchao's dynamic symmetric activations:
                         d = max(amax / 127.5f, 2^-23); q = clamp(rint(x * (1 / d)), -128, 127); value = d * q */
    LB_ACT_I8_TOKEN_ASYM, /* the same, asymmetric: lo = min(x, 0); hi = max(x, 0); d = max((hi - lo) / 255, 2^-126);
                         zero = clamp(-128 - rint(lo / d), -128, 127); q = clamp(rint(x * (1 / d)) + zero, -128, 127);
                         value = d * (q - zero) */
    LB_ACT_F8_ROW,    /* e4m3, one scale a row, as torchao's dynamic float8: d = amax / 448; q = e4m3(x / d), to even;
                         value = d * q. All are 0 where d is 0 */
    LB_ACT_F8_128,    /* the same with blocks of 128 */
    LB_ACT_F8_TENSOR, /* the same with one scale for all rows: the only format whose rows depend on one another */
    LB_ACT_COUNT
} lb_act;

const char *lb_act_name(lb_act a);
int64_t lb_act_block(lb_act a, int64_t k); /* elements per scale; 1 for F32/BF16, k for a row */

/* What LB_ACT_I8_TOKEN_ASYM makes of a row's range, lo <= 0 <= hi: the scale, its inverse, the zero. A range that is
 * infinite or NaN gives codes of 0, whose values are NaN. */
typedef struct lb_act_asym { float d, id, zero; } lb_act_asym;
lb_act_asym lb_act_asym_of(float lo, float hi);

/* One row of int8 codes q[k] and scales d[ceil(k / block)] (int8 formats only). The last block may be short.
 * LB_ACT_I8_TOKEN_ASYM: d[0] is the scale, d[1] the zero. */
void lb_act_quantize_row(lb_act a, const float *x, int64_t k, int8_t *q, float *d);
/* The values as the kernel sees them, in f64 (exact: d * q is formed in f64 from the f32 d). */
void lb_act_values_row(lb_act a, const float *x, int64_t k, double *out);
/* Of `rows` rows, one after another: what LB_ACT_F8_TENSOR needs; for the others the same row by row. */
void lb_act_values(lb_act a, const float *x, int64_t rows, int64_t k, double *out);
