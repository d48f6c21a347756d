/* gemm_q6_k_mma.cu: gemm over q6_k weights in mma16. */
#include "format_q6_k.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_q6_k)

LB_CUDA_KERNEL(gemm_q6_k_mma) = {
    LB_GEMM16_FIELDS("gemm.q6_k.mma", "q6_k",
                     "mma.sync over weights in the order of its fragments; 6 bits in planes of 4 and 2"),
    LB_GEMM16_CALLS,
};
