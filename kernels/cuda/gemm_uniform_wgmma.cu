/* gemm_uniform_wgmma.cu: many rows of x with uniform-2 to uniform-8 weights in mma16, by wgmma. */
#include "format_uniform.cuh"
#include "gemm_wgmma.cuh"

LB_WGMMA(lb_format_uniform<2>, lb_format_uniform<3>, lb_format_uniform<4>, lb_format_uniform<5>, lb_format_uniform<6>,
         lb_format_uniform<7>, lb_format_uniform<8>)

LB_CUDA_KERNEL(gemm_uniform_wgmma) = {
    LB_WGMMA_FIELDS("gemm.uniform.wgmma", "uniform"),
};
