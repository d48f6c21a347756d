/* linear_f32_cublaslt.cu: f32 weights through cuBLASLt with bias and function. */
#include "linear_cublaslt.cuh"

static bool supports(const lb_args *a, const char **why) { return lt_linear_supports(a, 4, why); }
static void launch(const lb_args *a, const lb_launch *l) { lt_linear_launch<float>(a, l, CUDA_R_32F); }

LB_CUDA_KERNEL(linear_f32_cublaslt) = {
    LT_LINEAR("linear.f32.cublaslt", "f32", LB_ACT_F32, LB_COMPUTE_F32, float, 1e-10, "")
};
