/* gemm_f32_cublaslt_tf32.cu: f32 weights through cuBLASLt, multiplied in tf32. */
#include "cublaslt.cuh"

static bool supports(const lb_args *a, const char **why) { return lt_supports(a, 4, why); }
static void launch(const lb_args *a, const lb_launch *l) { lt_f32_launch(a, l, CUBLAS_COMPUTE_32F_FAST_TF32); }

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
    /* Nothing says whether the library rounds operands to 10 bits behind the leading one, or the tensor cores cut the
     * rest off. Cut, each loses up to 2^-10 of itself: in the mean square 2^-20 / 3, times 1 / 2 for where in its
     * octave it is, and in the mean 0.7 x 2^-11. Of random operands that is an NMSE of 2 x 1.6e-7 + 2 x (3.4e-4)^2 =
     * 5.5e-7; of any whose products have one sign at most (2 x 2^-10)^2. */
    .tolerance = 4e-6,
    .tolerance_why = "both operands have 10 bits of mantissa: cut, 2^-10 each at most, together squared 3.8e-6",
    .priority = 0,
    .supports = supports,
    .workspace_bytes = lt_f32_workspace,
    .launch = launch,
};
