/* gemm_int8wo_wgmma.cu: many rows of x with int8wo weights in mma16, by wgmma. */
#include "format_int8wo.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_int8wo)

LB_CUDA_KERNEL(gemm_int8wo_wgmma) = {
    LB_WGMMA_FIELDS("gemm.int8wo.wgmma", "int8wo"),
};
