/* gemm_q4_0_wgmma.cu: many rows of x with q4_0 weights in mma16, by wgmma. */
#include "format_q4_0.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_q4_0)

LB_CUDA_KERNEL(gemm_q4_0_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q4_0.wgmma", "q4_0"),
};
