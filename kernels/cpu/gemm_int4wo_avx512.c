/* gemm_int4wo_avx512.c: gemm over int4wo weights in rows16 panels: w = (q - 8) * s + z, groups of 32 to 256. */
#include "rows16_bf16.h"

#define FORMAT (bf16_format){ .bits = 4 }

BF16_TILES(FORMAT)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    bf16_run(FORMAT, tiles, q, panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return bf16_panel_bytes(FORMAT, q, k); }

/* Nibbles [N][K/2], even k high; then at a multiple of 64 bytes bf16 [N][K/g][2], scale and zero. */
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    const uint8_t *codes = native, *scales = codes + ((size_t)(n * (k / 2)) + 63) / 64 * 64;
    int64_t groups = k / q->group;
    size_t bytes = panel_bytes(q, k), group_bytes = 64 + (size_t)(q->group / 32) * bf16_run_bytes(FORMAT);
    for (int64_t row = row0; row < row1; row += 16) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 16) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < 16 && row + r < n; r++)
            for (int64_t g = 0; g < groups; g++) {
                uint8_t *to = panel + (size_t)g * group_bytes;
                memcpy(to + 4 * r, scales + ((row + r) * groups + g) * 4, 4);
                for (int64_t p = 0; p < q->group / 2; p++) { /* pair p of the group: vector p / 4, nibble p % 4 */
                    uint8_t two = codes[((row + r) * k + g * q->group) / 2 + p];
                    uint8_t *words = to + 64 + p / 4 * 64 + 4 * r + p % 4 / 2;
                    words[0] |= (uint8_t)((two >> 4) << p % 2 * 4);
                    words[2] |= (uint8_t)((two & 15) << p % 2 * 4);
                }
            }
    }
}

LB_ROWS16_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_int4wo_avx512 = {
    .name = "gemm.int4wo.avx512",
    .about = "rows16 panels; nibbles to bf16 by a table, vdpbf16ps with bf16 activations, per 32 one f32 step with "
             "the group's scale and one with its zero",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16,
    .format = "int4wo",
    .act = LB_ACT_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 1e-10,
    .tolerance_why = "codes are exact in bf16 and products of bf16 in f32; vdpbf16ps rounds each sum of two products "
                     "and flushes subnormals: NMSE of about 1e-14, more where sums cancel",
    LB_ROWS16_KERNEL,
};
