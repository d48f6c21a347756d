/* gemm_q4_k_wgmma.cu: many rows of x with q4_k weights in mma16, by wgmma. */
#include "format_q4_k.cuh"
#include "minima32_wgmma.cuh"

LB_WGMMA(lb_wgmma_minima32<lb_format_q4_k, 4>)

LB_CUDA_KERNEL(gemm_q4_k_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q4_k.wgmma", "q4_k"),
};
