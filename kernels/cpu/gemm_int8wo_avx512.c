/* gemm_int8wo_avx512.c: gemm over int8wo weights in rows16 panels: w = q * s, a scale a row. */
#include "rows16_bf16.h"

#define FORMAT (bf16_format){ .bits = 8 }

BF16_TILES(FORMAT)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    bf16_run(FORMAT, tiles, q, panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return bf16_panel_bytes(FORMAT, q, k); }

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    bf16_repack_int8(q, native, n, k, row0, row1, dst);
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
