/* gemm_int8wo_avx512.c: gemm over int8wo weights in rows16 panels: w = q * s, a scale a row. */
#include "rows16_bf16.h"

#define FORMAT (bf16_format){ .bits = 8 }

BF16_TILES(FORMAT)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    bf16_run(FORMAT, tiles, q, panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return bf16_panel_bytes(FORMAT, q, k); }

/* The int8 plane [N][K], then at a multiple of 64 bytes the f32 scales [N]. */
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    const uint8_t *codes = native;
    const float *scales = (const float *)(const void *)(codes + ((size_t)(n * k) + 63) / 64 * 64);
    size_t bytes = panel_bytes(q, k);
    for (int64_t row = row0; row < row1; row += 16) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 16) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < 16 && row + r < n; r++) {
            memcpy(panel + 4 * r, scales + row + r, 4);
            for (int64_t i = 0; i < k; i++)
                panel[64 + i / 2 * 32 + r / 8 * 16 + r % 8 * 2 + i % 2] = codes[(row + r) * k + i];
        }
    }
}

LB_ROWS16_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_int8wo_avx512 = {
    .name = "gemm.int8wo.avx512",
    .about = "rows16 panels; int8 to bf16 (exact), vdpbf16ps with bf16 activations, sums of 32 in f32, "
             "the row's scale last",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16,
    .format = "int8wo",
    .act = LB_ACT_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 1e-10,
    .tolerance_why = "codes are exact in bf16 and products of bf16 in f32; vdpbf16ps rounds each sum of two products "
                     "and flushes subnormals: NMSE of about 1e-14, more where sums cancel",
    LB_ROWS16_KERNEL,
};
