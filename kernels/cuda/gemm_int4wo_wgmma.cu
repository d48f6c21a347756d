/* gemm_int4wo_wgmma.cu: many rows of x with int4wo weights, groups of 32 to 256 in mma16, by wgmma. */
#include "format_int4wo.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_int4wo<32>, lb_format_int4wo<64>, lb_format_int4wo<128>)

LB_CUDA_KERNEL(gemm_int4wo_wgmma) = {
    LB_WGMMA_FIELDS("gemm.int4wo.wgmma", "int4wo"),
};
