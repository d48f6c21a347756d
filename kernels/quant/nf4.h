/* nf4.h: what nf4 and nf4-dq share: the 16 levels, blocks of 64, codes two a byte.
 *
 * The levels are NF4's (quantiles of the normal distribution), to four decimals as torchao has them, and rounded to
 * bf16, which is what they are there in a bf16 model: products with bf16 activations are then exact in f32. */
#pragma once
#include <math.h>

#include "minifloat.h"

enum { NF4_BLOCK = 64 };

static const float lb_nf4_levels[16] = { -1.0f,          -0.6953125f,    -0.5234375f,     -0.39453125f,
                                         -0.28515625f,   -0.1845703125f, -0.09130859375f, 0.0f,
                                         0.07958984375f, 0.1611328125f,  0.24609375f,     0.337890625f,
                                         0.44140625f,    0.5625f,        0.72265625f,     1.0f };

/* 64 weights (clean) to codes of the levels nearest to w / amax, the lower where two are as near. */
LB_INLINE void lb_nf4_encode(const float *x, float amax, uint8_t *out) {
    float v[NF4_BLOCK], best[NF4_BLOCK];
    int32_t code[NF4_BLOCK];
    for (int i = 0; i < NF4_BLOCK; i++) {
        v[i] = amax > 0 ? x[i] / amax : 0.0f;
        best[i] = fabsf(v[i] - lb_nf4_levels[0]);
        code[i] = 0;
    }
    for (int l = 1; l < 16; l++)
        for (int i = 0; i < NF4_BLOCK; i++) {
            float d = fabsf(v[i] - lb_nf4_levels[l]);
            code[i] = d < best[i] ? l : code[i];
            best[i] = d < best[i] ? d : best[i];
        }
    for (int i = 0; i < NF4_BLOCK / 2; i++) out[i] = (uint8_t)(code[2 * i] << 4 | code[2 * i + 1]);
}

LB_INLINE void lb_nf4_decode(const uint8_t *codes, float scale, float *dst) {
    for (int i = 0; i < NF4_BLOCK / 2; i++) {
        dst[2 * i] = lb_nf4_levels[codes[i] >> 4] * scale;
        dst[2 * i + 1] = lb_nf4_levels[codes[i] & 15] * scale;
    }
}

/* Both formats begin with the plane of codes [N][K / 2]. */
static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n;
    *length = (size_t)(k / 2);
    *offset = (size_t)row * *length;
}
