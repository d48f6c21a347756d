/* gemm_fp6.h: gemm over fp6 weights in panels of 32 rows: w = q * s, q e3m2, a scale a row.
 * For AVX-512 and AMX. */
#pragma once
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_6(FLOAT_E3M2);
#define TABLE(q) &table
#define FLOAT_SCALES FLOAT_OF_ROW
#define FORMAT (float_format){ .bits = 6, .span = 128, .head_bytes = float_row_head, .scale = float_row_scale }

/* e3m2 [N][K], four in three bytes, then at a multiple of 64 bytes the f32 scales [N]. */
#define unpack float_unpack_sixes
#define put_scales float_put_row_scale_6bit
LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel LB_ROWS32_SYMBOL(gemm_fp6) = {
    .name = "gemm.fp6." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; e3m2 to bf16 by a table of 64, "
             FLOAT_WITH("sums of 128, the row's scale with each"),
    .format = "fp6",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
