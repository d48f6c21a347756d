/* gemm_int8dq_prefill_wo_decode_wo_avx512.c: gemm over int8dq_prefill_wo_decode weights for one token: as int8wo's. */
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

static bool supports(const lb_args *a, const char **why) {
    *why = "several rows of activations are for the int8 kernel";
    return lb_arg(a, LB_GEMM_X)->dims[0] == 1;
}

LB_ROWS16_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_int8dq_prefill_wo_decode_wo_avx512 = {
    .name = "gemm.int8dq_prefill_wo_decode.wo_avx512",
    .about = "for one row of activations: as gemm.int8wo.avx512",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16,
    .format = "int8dq_prefill_wo_decode",
    .act = LB_ACT_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 1e-10,
    .tolerance_why = "codes are exact in bf16 and products of bf16 in f32; vdpbf16ps rounds each sum of two products "
                     "and flushes subnormals: NMSE of about 1e-14, more where sums cancel",
    .supports = supports,
    LB_ROWS16_KERNEL,
};
