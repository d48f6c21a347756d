/* gemm_q8_0_wgmma.cu: many rows of x with q8_0 weights in mma16, by wgmma. */
#include "format_q8_0.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_q8_0)

LB_CUDA_KERNEL(gemm_q8_0_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q8_0.wgmma", "q8_0"),
};
