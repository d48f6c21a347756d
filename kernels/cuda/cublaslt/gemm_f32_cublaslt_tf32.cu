/* gemm_f32_cublaslt_tf32.cu: f32 weights through cuBLASLt, multiplied in tf32. */
#include "cublaslt.cuh"

static bool supports(const lb_args *a, const char **why) { return lt_supports(a, 4, why); }
static size_t workspace(const lb_args *a, int parts) { return (void)a, (void)parts, LT_WORKSPACE; }

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    lt_product p = { x->dims[0], w->dims[0], w->dims[1], CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F };
    p.device = lb_cuda_info_now()->device;
    lt_run(l, p, lb_tensor_data(w), lb_tensor_data(x), lb_tensor_data(lb_arg(a, LB_GEMM_OUT)), l->workspace);
}

LB_CUDA_KERNEL(gemm_f32_cublaslt_tf32) = {
    .name = "gemm.f32.cublaslt_tf32",
    .op = "gemm",
    .device = "cuda",
    .about = "cuBLASLt, the algorithm that its heuristic puts first",
    .source = "NVIDIA cuBLASLt",
    .isa = LB_ISA_SM80,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_TF32,
    .tolerance = 1e-6,
    .tolerance_why = "both operands are rounded to 10 bits of mantissa: 2^-11 each",
    .priority = 0,
    .supports = supports,
    .workspace_bytes = workspace,
    .launch = launch,
};
