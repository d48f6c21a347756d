/* gemm_float8dq_row.h: gemm over float8dq-row weights in panels of 32 rows: e4m3 times e4m3, scales of row and token.
 * No x86 processor multiplies e4m3: both sides are bf16 here, which holds them exactly. For AVX-512 and AMX. */
#pragma once
#define TILES_ACT_SCALED true
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE(q) &table
#define FLOAT_SCALES FLOAT_OF_ROW
#define FORMAT                                                                                                       \
    (float_format){ .bits = 8, .span = 128, .act = FLOAT_ACT_ROW, .head_bytes = float_row_head,                      \
                    .scale = float_row_scale }

/* e4m3 [N][K], then at a multiple of 64 bytes the f32 scales [N]. */
#define unpack float_unpack_bytes
#define put_scales float_put_row_scale
LB_FLOAT_PANEL(lb_act_f8_row_prepare, lb_act_f8_row_bytes, LB_ACT_KIND_F8_ROW)

const lb_kernel LB_ROWS32_SYMBOL(gemm_float8dq_row) = {
    .name = "gemm.float8dq-row." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; e4m3, of activations too, to bf16 by tables of bytes, "
             FLOAT_WITH("sums of 128 times the row's scale, the token's last"),
    .format = "float8dq-row",
    .act = LB_ACT_F8_ROW,
    LB_FLOAT_KERNEL,
};
