/* gemm_sparse24_float8dq.h: gemm over sparse24-float8dq weights in panels of 32 rows: two e4m3 of every four, times
 * e4m3, scales of row and token. For AVX-512 and AMX. */
#pragma once
#define TILES_ACT_SCALED true
#include "rows32_sparse24.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE &table
#define FORMAT (float_format){ .bits = 8, .act = FLOAT_ACT_ROW }

LB_S24_FLOAT(lb_act_f8_row_prepare, lb_act_f8_row_bytes, LB_ACT_KIND_F8_ROW)

const lb_kernel LB_ROWS32_SYMBOL(gemm_sparse24_float8dq) = {
    .name = "gemm.sparse24-float8dq." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; e4m3 to bf16 by tables of bytes; kept values spread out by vpshufb, " S24_WITH("")
             ", scales of row and token at the end",
    .format = "sparse24-float8dq",
    .act = LB_ACT_F8_ROW,
    LB_FLOAT_KERNEL,
};
