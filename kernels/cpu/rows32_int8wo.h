/* rows32_int8wo.h: what the kernels of int8 weights with a scale a row and bf16 activations share: w = q * s. */
#pragma once
#include "rows32_float.h"

#define INT8_BF16(c) FLOAT_INTEGER(c)
static const float_table table = FLOAT_TABLE_8(INT8_BF16);
#define TABLE(q) &table
#define FLOAT_SCALES FLOAT_OF_ROW
#define FORMAT                                                                                                       \
    (float_format){ .bits = 8, .integer = true, .span = 128, .head_bytes = float_row_head, .scale = float_row_scale }

/* int8 [N][K], then at a multiple of 64 bytes the f32 scales [N]. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_int8(native, k, row, at, codes);
}
#define put_scales float_put_row_scale

LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)
