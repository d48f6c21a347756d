/* gemm_int8wo_mma.cu: gemm over int8wo weights in mma16. */
#include "format_int8wo.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_int8wo)

LB_CUDA_KERNEL(gemm_int8wo_mma) = {
    LB_GEMM16_FIELDS("gemm.int8wo.mma", "int8wo",
                     "mma.sync over weights in the order of its fragments; 8 bits, a scale a row"),
    LB_GEMM16_CALLS,
};
