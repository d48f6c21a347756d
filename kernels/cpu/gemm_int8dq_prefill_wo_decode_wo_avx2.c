/* gemm_int8dq_prefill_wo_decode_wo_avx2.c: gemm over int8dq_prefill_wo_decode weights for one token: as int8wo's, over
 * the panels of the kernel for several. */
#include "rows32_int8wo_avx2.h"

static bool supports(const lb_args *a, const char **why) {
    *why = "several rows of activations are for the int8 kernel";
    return lb_arg(a, LB_GEMM_X)->dims[0] == 1;
}

const lb_kernel lb_kernel_gemm_int8dq_prefill_wo_decode_wo_avx2 = {
    .name = "gemm.int8dq_prefill_wo_decode.wo_avx2",
    .about = "for one row of activations: as gemm.int8wo.avx2",
    .format = "int8dq_prefill_wo_decode",
    .supports = supports,
    F32_KERNEL,
};
