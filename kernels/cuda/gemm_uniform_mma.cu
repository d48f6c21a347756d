/* gemm_uniform_mma.cu: gemm over uniform-2 to uniform-8 weights in mma16. */
#include "format_uniform.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_uniform<2>, lb_format_uniform<3>, lb_format_uniform<4>, lb_format_uniform<5>, lb_format_uniform<6>,
          lb_format_uniform<7>, lb_format_uniform<8>)

LB_CUDA_KERNEL(gemm_uniform_mma) = {
    LB_GEMM16_FIELDS("gemm.uniform.mma", "uniform",
                     "mma.sync over weights in the order of its fragments; bits in planes of 4, 2 and 1"),
    LB_GEMM16_CALLS,
};
