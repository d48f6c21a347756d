/* gemm_nf4_mma.cu: gemm over nf4 weights in mma16. */
#include "format_nf4.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_nf4)

LB_CUDA_KERNEL(gemm_nf4_mma) = {
    LB_GEMM16_FIELDS("gemm.nf4.mma", "nf4",
                     "mma.sync over weights in the order of its fragments; levels by a table in shared memory"),
    LB_GEMM16_CALLS,
};
