/* gemm_stored_float8dq_row_cublaslt.cu: e4m3 times e4m3 as both are stored, a scale a row: cuBLASLt's product and nothing else. */
#include "codes8.cuh"

enum : int32_t { MODE = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F };

static bool supports(const lb_args *a, const char **why) {
    *why = "x is stored in another format than w";
    if (lb_arg(a, LB_GEMM_X)->quantizer != lb_arg(a, LB_GEMM_W)->quantizer) return false;
    return lt_f8_supports(a, MODE, MODE, why);
}

static size_t workspace_bytes(const lb_args *a, int parts) { return (void)a, (void)parts, LT_WORKSPACE; }

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W);
    lt_run(l, lt_f8_product(x, w, MODE, MODE), lb_tensor_data(w), lb_tensor_data(x), lb_tensor_data(lb_arg(a, LB_GEMM_OUT)),
           l->workspace, lt_scales_behind(w), lt_scales_behind(x));
}

LB_CUDA_KERNEL(gemm_stored_float8dq_row_cublaslt) = {
    .name = "gemm_stored.float8dq_row.cublaslt",
    .op = "gemm_stored",
    .device = "cuda",
    .about = "cuBLASLt, the algorithm that its heuristic puts first, without fast accumulation",
    .source = "NVIDIA cuBLASLt",
    .isa = LB_ISA_SM80,
    .format = "float8dq-row",
    .act = LB_ACT_F32,
    LT_F8_TOLERANCE,
    .priority = 20,
    .supports = supports,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};
