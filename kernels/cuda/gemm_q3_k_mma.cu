/* gemm_q3_k_mma.cu: gemm over q3_k weights in mma16. */
#include "format_q3_k.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_q3_k)

LB_CUDA_KERNEL(gemm_q3_k_mma) = {
    LB_GEMM16_FIELDS("gemm.q3_k.mma", "q3_k",
                     "mma.sync over weights in the order of its fragments; 3 bits in planes of 2 and 1"),
    LB_GEMM16_CALLS,
};
