/* gemm_mxfp8.h: gemm over mxfp8 weights in panels of 32 rows: w = 2^(e - 127) * q, q e4m3 or e5m2, e per 32.
 * For AVX-512 and AMX. */
#pragma once
#include "rows32_float.h"

static const float_table tables[] = { FLOAT_TABLE_8(FLOAT_E4M3), FLOAT_TABLE_8(FLOAT_E5M2) };
#define TABLE(q) &tables[(q)->param[0]]
#define FLOAT_SCALES FLOAT_EXACT
#define FORMAT (float_format){ .bits = 8, .span = 32, .head_bytes = float_e8m0_head, .scale = float_e8m0_scale }

/* Codes [N][K], then at a multiple of 64 bytes the scales [N][K / 32]. */
#define unpack float_unpack_bytes
#define put_scales float_put_e8m0
LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel LB_ROWS32_SYMBOL(gemm_mxfp8) = {
    .name = "gemm.mxfp8." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; e4m3 or e5m2 to bf16 by tables of bytes, "
             FLOAT_WITH("sums of 32, each times its scale in f32"),
    .format = "mxfp8",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
