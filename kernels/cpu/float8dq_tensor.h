/* float8dq_tensor.h: float8dq-tensor weights in panels of 32 rows with vectors of 512 bits, for AVX-512 and AMX. */
#pragma once
#define TILES_ACT_SCALED true
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE(q) &table
#define FLOAT_SCALES FLOAT_OF_ROW

LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k, (void)i, (void)half;
    return _mm512_set1_ps(*(const float *)(const void *)panel);
}
#define FORMAT                                                                                                       \
    (float_format){ .bits = 8, .span = 128, .act = FLOAT_ACT_ROW, .head_bytes = float_tensor_head, .scale = scale }

/* e4m3 [N][K], then at a multiple of 64 bytes the f32 scales: one. */
#define unpack float_unpack_bytes
#define put_scales float_put_tensor_scale

LB_FLOAT_FUNCTIONS

#define F8_AMAX lb_act_f8_amax
#define F8_PREPARE lb_act_f8_scaled_prepare
#define F8_BYTES lb_act_f8_row_bytes
#define F8_KIND "f8_tensor/bf16"
#include "gemm_float8dq_tensor.h"

const lb_kernel LB_ROWS32_SYMBOL(gemm_float8dq_tensor) = {
    .name = "gemm.float8dq-tensor." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; e4m3, of activations too, to bf16 by tables of bytes, "
             FLOAT_WITH("sums of 128 times the weights' scale, the activations' last") "; a phase of its own finds it",
    F8_TENSOR_KERNEL,
    LB_FLOAT_ARITHMETIC,
};
