/* gemm_float8wo.h: gemm over float8wo weights in panels of 32 rows: w = q * s, q e4m3, a scale a row.
 * For AVX-512 and AMX. */
#pragma once
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE(q) &table
#define FLOAT_SCALES FLOAT_OF_ROW
#define FORMAT (float_format){ .bits = 8, .span = 128, .head_bytes = float_row_head, .scale = float_row_scale }

/* e4m3 [N][K], then at a multiple of 64 bytes the f32 scales [N]. */
#define unpack float_unpack_bytes
#define put_scales float_put_row_scale
LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel LB_ROWS32_SYMBOL(gemm_float8wo) = {
    .name = "gemm.float8wo." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; e4m3 to bf16 by tables of bytes, "
             FLOAT_WITH("sums of 128, the row's scale with each"),
    .format = "float8wo",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
