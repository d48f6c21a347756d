/* gemm_q6_k_wgmma.cu: many rows of x with q6_k weights in mma16, by wgmma. */
#include "format_q6_k.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_q6_k)

LB_CUDA_KERNEL(gemm_q6_k_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q6_k.wgmma", "q6_k"),
};
