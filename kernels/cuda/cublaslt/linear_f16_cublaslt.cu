/* linear_f16_cublaslt.cu: f16 weights through cuBLASLt with bias and function; x is rounded to f16. */
#include <cuda_fp16.h>
#include "linear_cublaslt.cuh"

static bool supports(const lb_args *a, const char **why) { return lt_linear_supports(a, 8, why); }
static void launch(const lb_args *a, const lb_launch *l) { lt_linear_launch<__half>(a, l, CUDA_R_16F); }

LB_CUDA_KERNEL(linear_f16_cublaslt) = {
    LT_LINEAR("linear.f16.cublaslt", "f16", LB_ACT_F32, LB_COMPUTE_F16, __half, 1e-6,
              "x is rounded to f16, 2^-12 each; ")
};
