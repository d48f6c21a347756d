/* gemm_f32_cublaslt_f32.cu: f32 weights through cuBLASLt, multiplied in f32. */
#include "cublaslt.cuh"

static bool supports(const lb_args *a, const char **why) { return lt_supports(a, 4, why); }
static void launch(const lb_args *a, const lb_launch *l) { lt_f32_launch(a, l, CUBLAS_COMPUTE_32F); }

LB_CUDA_KERNEL(gemm_f32_cublaslt_f32) = {
    .name = "gemm.f32.cublaslt_f32",
    .op = "gemm",
    .device = "cuda",
    .about = "cuBLASLt, the algorithm that its heuristic puts first",
    .source = "NVIDIA cuBLASLt",
    .isa = LB_ISA_SM80,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-10,
    .tolerance_why = "f32 sums over K",
    .priority = 8,
    .supports = supports,
    .workspace_bytes = lt_f32_workspace,
    .launch = launch,
};
