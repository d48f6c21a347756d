/* gemm_q2_k_mma.cu: gemm over q2_k weights in mma16. */
#include "format_q2_k.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_q2_k)

LB_CUDA_KERNEL(gemm_q2_k_mma) = {
    LB_GEMM16_FIELDS("gemm.q2_k.mma", "q2_k",
                     "mma.sync over weights in the order of its fragments; 2 bits, minima with the sums of x"),
    LB_GEMM16_CALLS,
};
