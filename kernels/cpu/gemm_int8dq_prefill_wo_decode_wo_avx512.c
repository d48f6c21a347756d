/* gemm_int8dq_prefill_wo_decode_wo_avx512.c: gemm over int8dq_prefill_wo_decode weights for one token: as int8wo's. */
#define LB_ROWS32_LAYOUT "rows32_wo"      /* the kernel for several rows has the other */
#include "rows32_int8wo.h"

static bool supports(const lb_args *a, const char **why) {
    *why = "several rows of activations are for the int8 kernel";
    return lb_arg(a, LB_GEMM_X)->dims[0] == 1;
}

const lb_kernel lb_kernel_gemm_int8dq_prefill_wo_decode_wo_avx512 = {
    .name = "gemm.int8dq_prefill_wo_decode.wo_avx512",
    .about = "for one row of activations: as gemm.int8wo.avx512",
    .format = "int8dq_prefill_wo_decode",
    .act = LB_ACT_BF16,
    .supports = supports,
    LB_FLOAT_KERNEL,
};
