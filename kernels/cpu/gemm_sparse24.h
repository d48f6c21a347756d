/* gemm_sparse24.h: gemm over sparse24 weights in panels of 32 rows: two bf16 of every four. For AVX-512 and AMX. */
#pragma once
#include "rows32_sparse24.h"

static const float_table none;
#define TABLE &none
#define FORMAT (float_format){ .bits = 16, .act = FLOAT_ACT_PLAIN }

LB_S24_FLOAT(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel LB_ROWS32_SYMBOL(gemm_sparse24) = {
    .name = "gemm.sparse24." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; kept values spread out by vpshufb, " S24_WITH(" onto the total in f32"),
    .format = "sparse24",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
