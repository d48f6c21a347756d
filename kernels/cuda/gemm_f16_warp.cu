/* gemm_f16_warp.cu: f16 weights without cuBLASLt, or of shapes that it does not take. */
#include "gemm_warp.cuh"

static void launch(const lb_args *a, const lb_launch *l) { lb_gemm_warp_launch(a, l, LB_F16); }

LB_CUDA_KERNEL(gemm_f16_warp) = {
    .name = "gemm.f16.warp", .op = "gemm", .device = "cuda", .about = LB_GEMM_WARP_ABOUT, .source = "luabench",
    .isa = LB_ISA_SM80, .format = "f16", LB_GEMM_WARP_NUMBERS, .priority = 1, .launch = launch,
};
