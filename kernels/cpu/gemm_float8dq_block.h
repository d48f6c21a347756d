/* gemm_float8dq_block.h: gemm over float8dq-block weights in panels of 32 rows: e4m3 times e4m3, scales per 128 x 128
 * of the weights and per 128 of the activations. For AVX-512, and for AMX, whose sums of 128 are stored and meet their
 * scales while the next are multiplied. */
#pragma once
#define FLOAT_SPAN_SCALES
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE(q) &table
#define FLOAT_SCALES FLOAT_OF_SPAN

LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k, (void)half;
    return _mm512_set1_ps(((const float *)(const void *)panel)[i]);
}
#define FORMAT                                                                                                       \
    (float_format){ .bits = 8, .span = 128, .act = FLOAT_ACT_128, .head_bytes = float_block_head, .scale = scale }

/* e4m3 [N][K], then at a multiple of 64 bytes the f32 scales [ceil(N / 128)][K / 128]. */
#define unpack float_unpack_bytes
#define put_scales float_put_block_scales
#if defined(LB_ROWS32_TILES_DRIVER)
/* A row's numbers, then the scales of its blocks. */
static size_t act_bytes(const lb_quantizer *q, int64_t k) { return (void)q, (size_t)k * 2 + (size_t)(k / 128) * 4; }
static void act_prepare(const lb_quantizer *q, const float *x, int64_t k, void *act) {
    char block[LB_ACT_F8_BLOCK_BYTES] __attribute__((aligned(64)));
    for (int64_t i = 0; i < k / 128; i++) {
        lb_act_f8_128_prepare(q, x + 128 * i, 128, block);
        memcpy((char *)act + 256 * i, block, 256);
        memcpy((char *)act + 2 * k + 4 * i, block + 256, 4);
    }
}
LB_FLOAT_PANEL(act_prepare, act_bytes, LB_ACT_KIND_F8_128)
#else
LB_FLOAT_PANEL(lb_act_f8_128_prepare, lb_act_f8_128_bytes, LB_ACT_KIND_F8_128)
#endif

const lb_kernel LB_ROWS32_SYMBOL(gemm_float8dq_block) = {
    .name = "gemm.float8dq-block." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; e4m3, of activations too, to bf16 by tables of bytes, "
             FLOAT_WITH("sums of 128 times both scales"),
    .format = "float8dq-block",
    .act = LB_ACT_F8_128,
    LB_FLOAT_KERNEL,
};
