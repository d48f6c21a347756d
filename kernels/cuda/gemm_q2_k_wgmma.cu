/* gemm_q2_k_wgmma.cu: many rows of x with q2_k weights in mma16, by wgmma. */
#include "format_q2_k.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_q2_k)

LB_CUDA_KERNEL(gemm_q2_k_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q2_k.wgmma", "q2_k"),
};
