/* gemm_int8wo_avx2.c: gemm over int8wo weights in panels of 32 rows, of bytes as int8dq's: w = q * s, a scale a row. */
#define LB_ROWS32_LAYOUT "rows32_bytes" /* gemm.int8wo.avx512 has another */
#include "rows32_int8wo_avx2.h"

const lb_kernel lb_kernel_gemm_int8wo_avx2 = {
    .name = "gemm.int8wo.avx2",
    .about = "panels of 32 rows; codes to f32, multiply-adds in sums of 256, the row's scale with each",
    .format = "int8wo",
    F32_KERNEL,
};
