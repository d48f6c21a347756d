/* gemm_q4_k_mma.cu: gemm over q4_k weights in mma16. */
#include "format_q4_k.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_q4_k)

LB_CUDA_KERNEL(gemm_q4_k_mma) = {
    LB_GEMM16_FIELDS("gemm.q4_k.mma", "q4_k",
                     "mma.sync over weights in the order of its fragments; 4 bits, minima with the sums of x"),
    LB_GEMM16_CALLS,
};
