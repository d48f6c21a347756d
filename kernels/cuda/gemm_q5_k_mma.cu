/* gemm_q5_k_mma.cu: gemm over q5_k weights in mma16. */
#include "format_q5_k.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_q5_k)

LB_CUDA_KERNEL(gemm_q5_k_mma) = {
    LB_GEMM16_FIELDS("gemm.q5_k.mma", "q5_k",
                     "mma.sync over weights in the order of its fragments; 5 bits, minima with the sums of x"),
    LB_GEMM16_CALLS,
};
