/* gemm_mxfp4_mma.cu: gemm over mxfp4 weights in mma16. */
#include "format_mxfp4.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_mxfp4)

LB_CUDA_KERNEL(gemm_mxfp4_mma) = {
    LB_GEMM16_FIELDS("gemm.mxfp4.mma", "mxfp4",
                     "mma.sync over weights in the order of its fragments; e2m1 by shifts and one product"),
    LB_GEMM16_CALLS,
};
