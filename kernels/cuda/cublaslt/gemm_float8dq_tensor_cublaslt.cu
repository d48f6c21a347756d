/* gemm_float8dq_tensor_cublaslt.cu: e4m3 weights with one scale, x e4m3 with one scale, through cuBLASLt. */
#include "codes8.cuh"

enum : int32_t { MODE_W = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F, MODE_X = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F };

static bool supports(const lb_args *a, const char **why) {
    return lt_f8_supports(a, MODE_W, MODE_X, why);
}

static void launch(const lb_args *a, const lb_launch *l) {
    lt_coding c = lt_coding_of(a, l, MODE_X);
    const float4 *x = (const float4 *)c.x;
    int64_t n4 = c.m * c.k / 4, blocks = (n4 + LT_ROW_THREADS - 1) / LT_ROW_THREADS;
    unsigned grid = (unsigned)(blocks < LT_MAX_BLOCKS ? blocks : LT_MAX_BLOCKS);
    LB_CUDA_LAUNCH_IF_ANY(lt_amax_all, grid, LT_ROW_THREADS, 0, lb_cuda_stream(l), x, n4, c.most);
    LB_CUDA_LAUNCH_IF_ANY(lt_code_all, grid, LT_ROW_THREADS, 0, lb_cuda_stream(l), x, n4, c.most, c.codes, c.scales);
    lt_run_f8(a, l, c, MODE_W, MODE_X);
}

LB_CUDA_KERNEL(gemm_float8dq_tensor_cublaslt) = {
    .name = "gemm.float8dq_tensor.cublaslt",
    LT_F8_FIELDS,
    .format = "float8dq-tensor",
    .act = LB_ACT_F8_TENSOR,
    LT_F8_TOLERANCE,
    .priority = 20,
    .supports = supports,
    .workspace_bytes = lt_f8_workspace,
    .launch = launch,
};
