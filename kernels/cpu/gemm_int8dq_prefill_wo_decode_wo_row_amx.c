/* gemm_int8dq_prefill_wo_decode_wo_row_amx.c: gemm over int8dq_prefill_wo_decode weights for one token: as int8wo's.
 * Compiled for AMX. */
#define LB_ONE_ROW
#define LB_ROWS32_LAYOUT "rows32_wo" /* the kernel for several rows has the other */
#include "rows32_int8wo_row.h"

const lb_kernel lb_kernel_gemm_int8dq_prefill_wo_decode_wo_row_amx = {
    .name = "gemm.int8dq_prefill_wo_decode.wo_row_amx",
    .about = "for one row of activations: as gemm.int8wo.row_amx",
    .format = "int8dq_prefill_wo_decode",
    INT8WO_ROW_KERNEL,
};
