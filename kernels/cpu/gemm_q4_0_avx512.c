/* gemm_q4_0_avx512.c: gemm over q4_0 weights in rows16 panels: w = d * (q - 8), 4-bit q. */
#include "rows16_g32.h"

#define FORMAT (g32){ .bits = 4, .bias = 120 }
enum { BLOCK_BYTES = 18 };

G32_TILES(tiles, false)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (void)q;
    g32_run(FORMAT, tiles, panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return g32_panel_bytes(FORMAT, k);
}

/* The scale (f16), then byte j holds elements j (low nibble) and j + 16. */
static void unpack(const g32 f, const uint8_t *block, uint8_t codes[32], uint8_t *scale) {
    (void)f;
    memcpy(scale, block, 2);
    for (int i = 0; i < 16; i++) {
        codes[i] = block[2 + i] & 15;
        codes[i + 16] = block[2 + i] >> 4;
    }
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    (void)q;
    g32_repack(FORMAT, unpack, BLOCK_BYTES, native, n, k, row0, row1, dst);
}

LB_ROWS16_PANEL(lb_act_q8_32_prepare, lb_act_q8_32_bytes, LB_ACT_KIND_Q8_32)

const lb_kernel lb_kernel_gemm_q4_0_avx512 = {
    .name = "gemm.q4_0.avx512",
    .about = "rows16 panels; vpdpbusd over nibbles, whose offset of 8 sums of activations take back, f32 once per 32",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI,
    .format = "q4_0",
    .act = LB_ACT_Q8_32,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8,
    G32_TOLERANCE,
    LB_ROWS16_KERNEL,
};
