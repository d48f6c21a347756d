/* gemm_nvfp4_amx.c: gemm over nvfp4 weights in panels of 32 rows on AMX tiles. As in gemm_nvfp4_many_avx512.c bf16
 * holds q * b exactly, and the matrix's scale is for the sums. */
#include "rows32_nvfp4.h"

#define FLOAT_SCALES FLOAT_EXACT
#define FORMAT (float_format){ .bits = 4, .span = 16, .head_bytes = head_bytes, .scale = block_scale }

static const void *expand(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,
                          int64_t some, tiles_pairs *to) {
    (void)rows;
    return float_pairs(FORMAT, TABLE(q), FLOAT_SCALES, q, panel, k, at, some, to);
}

static void row_scales(const lb_quantizer *q, const uint8_t *panel, int64_t k, __m512 to[2]) {
    (void)q, (void)k;
    to[0] = to[1] = tensor_scale(panel);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return float_panel_bytes(FORMAT, q, k); }
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    float_repack(FORMAT.bits, FORMAT.head_bytes(q, k), unpack, put_scales, q, native, n, k, row0, row1, dst);
}

LB_ROWS32_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_nvfp4_amx = {
    .name = "gemm.nvfp4.amx",
    .about = "panels of 32 rows; e2m1 by a table of 16, times its scale, exact in bf16, " FLOAT_WITH(""),
    .format = "nvfp4",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
