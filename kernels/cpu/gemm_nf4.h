/* gemm_nf4.h: gemm over nf4 weights in panels of 32 rows: w = L[q] * s, a scale per 64.
 * For AVX-512 and AMX. */
#pragma once
#include "rows32_float.h"

#include "rows32_nf4.h"

static const float_table table = FLOAT_TABLE_4(NF4_LEVEL);
#define TABLE(q) &table

LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k;
    const uint8_t *p = panel + 128 * i + 64 * half;
    _mm_prefetch((const char *)p + 2048, _MM_HINT_T0);
    return _mm512_load_ps((const float *)(const void *)p);
}
#define FLOAT_SCALES FLOAT_OF_SPAN
#define FORMAT (float_format){ .bits = 4, .span = 64, .head_bytes = head_bytes, .scale = scale }

LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel LB_ROWS32_SYMBOL(gemm_nf4) = {
    .name = "gemm.nf4." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; levels by a table of 16, "
             FLOAT_WITH("sums of 64, each times its scale in f32"),
    .format = "nf4",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
