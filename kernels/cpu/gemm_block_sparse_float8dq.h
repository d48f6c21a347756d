/* gemm_block_sparse_float8dq.h: gemm over block-sparse-float8dq weights in panels of 32 rows: e4m3 blocks
 * of 64 columns times e4m3, scales of row and token. For AVX-512 and AMX. */
#pragma once
#define TILES_ACT_SCALED true
#include "rows32_blocks.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE &table
#define FORMAT (float_format){ .bits = 8, .act = FLOAT_ACT_ROW }

LB_BLOCKS_FLOAT(lb_act_f8_row_prepare, lb_act_f8_row_bytes, LB_ACT_KIND_F8_ROW)

const lb_kernel LB_ROWS32_SYMBOL(gemm_block_sparse_float8dq) = {
    .name = "gemm.block-sparse-float8dq." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; kept blocks of 64 columns one after the other; e4m3 to bf16 by tables of bytes, "
             BLOCKS_WITH
             ", scales of row and token at the end",
    .format = "block-sparse-float8dq",
    .act = LB_ACT_F8_ROW,
    LB_FLOAT_KERNEL,
};
