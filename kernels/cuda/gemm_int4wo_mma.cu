/* gemm_int4wo_mma.cu: gemm over int4wo weights in mma16, groups of 32 to 256, HQQ's too. */
#include "format_int4wo.cuh"
#include "gemm_mma16.cuh"

LB_GEMM16(lb_format_int4wo<32>, lb_format_int4wo<64>, lb_format_int4wo<128>)

LB_CUDA_KERNEL(gemm_int4wo_mma) = {
    LB_GEMM16_FIELDS("gemm.int4wo.mma", "int4wo",
                     "mma.sync over weights in the order of its fragments; 4 bits, zeros with the sums "
                                                  "of x"),
    LB_GEMM16_CALLS,
};
