/* gemm_int8dq_prefill_wo_decode.h: gemm over int8dq_prefill_wo_decode weights for several tokens: as int8dq's. */
#include "rows32_i8_any.h"

#define FORMAT (i8_format){ .bits = 8 }

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    (void)q;
    const uint8_t *codes = native;
    i8_repack(FORMAT, codes, (const float *)(const void *)(codes + ((size_t)(n * k) + 63) / 64 * 64), n, k, row0, row1,
              dst);
}

static bool supports(const lb_args *a, const char **why) {
    if (!i8_supports(a, why)) return false;
    *why = "one row of activations is for the weight-only kernel";
    return lb_arg(a, LB_GEMM_X)->dims[0] != 1;
}

LB_I8_PANEL(I8_ACT_8)

const lb_kernel LB_ROWS32_SYMBOL(gemm_int8dq_prefill_wo_decode) = {
    .name = "gemm.int8dq_prefill_wo_decode." LB_ROWS32_ISA_TEXT,
    .about = "for several rows of activations (and for fused kernels): as gemm.int8dq",
    .format = "int8dq_prefill_wo_decode",
    .supports = supports,
    LB_ROWS32_I8_KERNEL,
};
