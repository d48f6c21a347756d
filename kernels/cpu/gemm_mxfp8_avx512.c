/* gemm_mxfp8_avx512.c: gemm over mxfp8 weights in panels of 32 rows: w = 2^(e - 127) * q, q e4m3 or e5m2, e per 32. */
#include "rows32_float.h"

static const float_table tables[] = { FLOAT_TABLE_8(FLOAT_E4M3), FLOAT_TABLE_8(FLOAT_E5M2) };
#define TABLE(q) &tables[(q)->param[0]]
#define FORMAT (float_format){ .bits = 8, .span = 32, .head_bytes = float_e8m0_head, .scale = float_e8m0_scale }

/* Codes [N][K], then at a multiple of 64 bytes the scales [N][K / 32]. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_8bit(native, k, row, at, codes);
}

static void put_scales(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int r,
                       uint8_t *panel) {
    (void)q;
    const uint8_t *scales = (const uint8_t *)native + float_plane_at((size_t)(n * k )) + row * (k / 32);
    for (int64_t i = 0; i < k / 32; i++) panel[FLOAT_ROWS * i + r] = scales[i];
}

LB_FLOAT_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_mxfp8_avx512 = {
    .name = "gemm.mxfp8.avx512",
    .about = "panels of 32 rows; e4m3 or e5m2 to bf16 by tables of bytes, vdpbf16ps with bf16 activations in sums of 32, "
             "each times its scale in f32",
    .format = "mxfp8",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
