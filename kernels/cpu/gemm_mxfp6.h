/* gemm_mxfp6.h: gemm over mxfp6 weights in panels of 32 rows: w = 2^(e - 127) * q, q e2m3 or e3m2, e per 32.
 * For AVX-512 and AMX. */
#pragma once
#include "rows32_float.h"

static const float_table tables[] = { FLOAT_TABLE_6(FLOAT_E2M3), FLOAT_TABLE_6(FLOAT_E3M2) };
#define TABLE(q) &tables[(q)->param[0] - 2]
#define FLOAT_SCALES FLOAT_EXACT
#define FORMAT (float_format){ .bits = 6, .span = 32, .head_bytes = float_e8m0_head, .scale = float_e8m0_scale }

/* Codes [N][K], then at a multiple of 64 bytes the scales [N][K / 32]. */
#define unpack float_unpack_sixes
#define put_scales float_put_e8m0_6bit
LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel LB_ROWS32_SYMBOL(gemm_mxfp6) = {
    .name = "gemm.mxfp6." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; e2m3 or e3m2 to bf16 by a table of 64, "
             FLOAT_WITH("sums of 32, each times its scale in f32"),
    .format = "mxfp6",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
