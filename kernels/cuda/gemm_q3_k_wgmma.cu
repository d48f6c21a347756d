/* gemm_q3_k_wgmma.cu: many rows of x with q3_k weights in mma16, by wgmma. */
#include "format_q3_k.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_q3_k)

LB_CUDA_KERNEL(gemm_q3_k_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q3_k.wgmma", "q3_k"),
};
