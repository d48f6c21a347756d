/* gemm_uniform_avx512.c: gemm over uniform-2 to uniform-8 weights in rows16 panels: w = (q - (2^b - 1) / 2) * s. */
#include "rows16_g32.h"

/* The offset of b bits is 2^(b-1) - 1/2. */
#define FORMAT(b) (g32){ .bits = b, .bias = 128 - (1 << (b - 1)), .half = true, .wide = true }

G32_TILES(tiles, false)
G32_TILES(tiles_half, true)

/* A function for each width, so that each knows its shifts. */
#define RUN(b)                                                                                                       \
    static __attribute__((noinline)) void run_##b(const void *panel, const void *act, size_t stride, int64_t k,      \
                                                  int cols, float *out, int64_t out_stride) {                        \
        g32_run(FORMAT(b), b == 8 ? tiles_half : tiles, panel, act, stride, k, cols, out, out_stride);              \
    }
RUN(2) RUN(3) RUN(4) RUN(5) RUN(6) RUN(7) RUN(8)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    switch (q->bits) {
    case 2: run_2(panel, act, stride, k, cols, out, out_stride); break;
    case 3: run_3(panel, act, stride, k, cols, out, out_stride); break;
    case 4: run_4(panel, act, stride, k, cols, out, out_stride); break;
    case 5: run_5(panel, act, stride, k, cols, out, out_stride); break;
    case 6: run_6(panel, act, stride, k, cols, out, out_stride); break;
    case 7: run_7(panel, act, stride, k, cols, out, out_stride); break;
    default: run_8(panel, act, stride, k, cols, out, out_stride);
    }
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    return g32_panel_bytes(FORMAT(q->bits), k);
}

/* The scale (f32), then 32 indices of b bits, the first in the lowest bits. */
static void unpack(const g32 f, const uint8_t *block, uint8_t codes[32], uint8_t *scale) {
    memcpy(scale, block, 4);
    for (int i = 0; i < 32; i++) {
        int bit = i * f.bits, high = bit % 8 + f.bits > 8; /* an index may straddle two bytes */
        uint32_t two = block[4 + bit / 8] | (high ? (uint32_t)block[5 + bit / 8] << 8 : 0);
        codes[i] = (uint8_t)(two >> bit % 8 & ((1u << f.bits) - 1));
    }
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    g32_repack(FORMAT(q->bits), unpack, 4 + 4 * (size_t)q->bits, native, n, k, row0, row1, dst);
}

LB_ROWS16_PANEL(lb_act_q8_32_prepare, lb_act_q8_32_bytes, LB_ACT_KIND_Q8_32)

const lb_kernel lb_kernel_gemm_uniform_avx512 = {
    .name = "gemm.uniform.avx512",
    .about = "rows16 panels with the codes as bit fields; vpdpbusd, whose offset of (2^b - 1) / 2 sums of activations "
             "take back, f32 once per 32",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI,
    .format = "uniform",
    .act = LB_ACT_Q8_32,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8,
    G32_TOLERANCE,
    LB_ROWS16_KERNEL,
};
