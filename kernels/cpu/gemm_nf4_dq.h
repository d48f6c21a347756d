/* gemm_nf4_dq.h: gemm over nf4-dq weights in panels of 32 rows: w = L[q] * (sq / f + mean), sq int8 per 64.
 * For AVX-512 and AMX. */
#pragma once
#include "rows32_float.h"

#include "rows32_nf4_dq.h"

static const float_table table = FLOAT_TABLE_4(NF4_LEVEL);
#define TABLE(q) &table

LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q;
    places p = places_of(k);
    const float *f = (const float *)(const void *)(panel + 64 + i / p.reach * 128 + 64 * half);
    const uint8_t *s = panel + p.scales + 32 * i + 16 * half;
    _mm_prefetch((const char *)s + 1024, _MM_HINT_T0);
    __m512 codes = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128((const __m128i *)(const void *)s)));
    return _mm512_add_ps(_mm512_div_ps(codes, _mm512_load_ps(f)), _mm512_set1_ps(*(const float *)(const void *)panel));
}
#define FLOAT_SCALES FLOAT_OF_SPAN
#define FORMAT (float_format){ .bits = 4, .span = 64, .head_bytes = head_bytes, .scale = scale }

LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel LB_ROWS32_SYMBOL(gemm_nf4_dq) = {
    .name = "gemm.nf4-dq." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; levels by a table of 16, "
             FLOAT_WITH("sums of 64, each times its scale, made of int8, factor and mean as it comes"),
    .format = "nf4-dq",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
