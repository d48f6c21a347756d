/* gemm_q5_k_wgmma.cu: many rows of x with q5_k weights in mma16, by wgmma. */
#include "format_q5_k.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_q5_k)

LB_CUDA_KERNEL(gemm_q5_k_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q5_k.wgmma", "q5_k"),
};
