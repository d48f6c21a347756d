/* gemm_bf16_cublaslt.cu: bf16 weights through cuBLASLt; x is rounded to bf16, sums are f32. */
#include <cuda_bf16.h>
#include "cublaslt.cuh"

static bool supports(const lb_args *a, const char **why) { return lt_supports(a, 8, why); }
static void launch(const lb_args *a, const lb_launch *l) { lt_half_launch<__nv_bfloat16>(a, l, CUDA_R_16BF); }

LB_CUDA_KERNEL(gemm_bf16_cublaslt) = {
    .name = "gemm.bf16.cublaslt",
    .op = "gemm",
    .device = "cuda",
    .about = "cuBLASLt, the algorithm that its heuristic puts first",
    .source = "NVIDIA cuBLASLt",
    .isa = LB_ISA_SM80,
    .format = "bf16",
    .act = LB_ACT_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 4e-9, /* as LB_MMA16_TOLERANCE in gemm_mma16.cuh has it */
    .tolerance_why = "exact products, f32 sums over K in tensor cores, which cut them towards 0 where f32 would round: "
                     "2e-10 of 8192 columns in one chain, 2.4e-9 of 28672",
    .priority = 10,
    .supports = supports,
    .workspace_bytes = lt_half_workspace<__nv_bfloat16>,
    .launch = launch,
};
