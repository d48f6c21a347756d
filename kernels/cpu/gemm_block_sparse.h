/* gemm_block_sparse.h: gemm over block-sparse weights in panels of 32 rows: bf16 blocks of 64
 * columns. For AVX-512 and AMX. */
#pragma once
#include "rows32_blocks.h"

static const float_table none;
#define TABLE &none
#define FORMAT (float_format){ .bits = 16, .act = FLOAT_ACT_PLAIN }

LB_BLOCKS_FLOAT(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel LB_ROWS32_SYMBOL(gemm_block_sparse) = {
    .name = "gemm.block-sparse." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; kept blocks of 64 columns one after the other, " BLOCKS_WITH,
    .format = "block-sparse",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
