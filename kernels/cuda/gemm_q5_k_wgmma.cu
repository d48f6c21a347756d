/* gemm_q5_k_wgmma.cu: many rows of x with q5_k weights in mma16, by wgmma. */
#include "format_q5_k.cuh"
#include "minima32_wgmma.cuh"

LB_WGMMA(lb_wgmma_minima32<lb_format_q5_k, 5>)

LB_CUDA_KERNEL(gemm_q5_k_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q5_k.wgmma", "q5_k"),
};
