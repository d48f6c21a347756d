/* gemm_q8_0_mma.cu: gemm over q8_0 weights in mma16. */
#include "format_q8_0.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_q8_0)

LB_CUDA_KERNEL(gemm_q8_0_mma) = {
    LB_GEMM16_FIELDS("gemm.q8_0.mma", "q8_0",
                     "mma.sync over weights in the order of its fragments; 8 bits, a scale for each 32"),
    LB_GEMM16_CALLS,
};
