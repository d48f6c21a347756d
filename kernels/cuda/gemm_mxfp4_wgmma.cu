/* gemm_mxfp4_wgmma.cu: many rows of x with mxfp4 weights in mma16, by wgmma. */
#include "format_mxfp4.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_mxfp4)

LB_CUDA_KERNEL(gemm_mxfp4_wgmma) = {
    LB_WGMMA_FIELDS("gemm.mxfp4.wgmma", "mxfp4"),
};
