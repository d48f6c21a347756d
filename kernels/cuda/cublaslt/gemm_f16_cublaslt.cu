/* gemm_f16_cublaslt.cu: f16 weights through cuBLASLt; x is rounded to f16, sums are f32. */
#include <cuda_fp16.h>
#include "cublaslt.cuh"

static bool supports(const lb_args *a, const char **why) { return lt_supports(a, 8, why); }
static void launch(const lb_args *a, const lb_launch *l) { lt_half_launch<__half>(a, l, CUDA_R_16F); }

LB_CUDA_KERNEL(gemm_f16_cublaslt) = {
    .name = "gemm.f16.cublaslt",
    .op = "gemm",
    .device = "cuda",
    .about = "cuBLASLt, the algorithm that its heuristic puts first",
    .source = "NVIDIA cuBLASLt",
    .isa = LB_ISA_SM80,
    .format = "f16",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F16,
    .tolerance = 1e-6,
    .tolerance_why = "x is rounded to f16, 2^-12 each",
    .priority = 10,
    .supports = supports,
    .workspace_bytes = lt_half_workspace<__half>,
    .launch = launch,
};
