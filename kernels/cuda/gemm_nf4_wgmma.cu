/* gemm_nf4_wgmma.cu: many rows of x with nf4 weights in mma16, by wgmma. */
#include "format_nf4.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_nf4)

LB_CUDA_KERNEL(gemm_nf4_wgmma) = {
    LB_WGMMA_FIELDS("gemm.nf4.wgmma", "nf4"),
};
