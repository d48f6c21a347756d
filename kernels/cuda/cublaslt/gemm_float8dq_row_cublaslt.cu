/* gemm_float8dq_row_cublaslt.cu: e4m3 weights and x, each with a scale a row, through cuBLASLt. */
#include "codes8.cuh"

enum : int32_t { MODE_W = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F,
    MODE_X = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F };

static bool supports(const lb_args *a, const char **why) {
    return lt_f8_supports(a, MODE_W, MODE_X, why);
}

static void launch(const lb_args *a, const lb_launch *l) {
    lt_coding c = lt_coding_of(a, l, MODE_X);
    LB_CUDA_LAUNCH_IF_ANY((lt_code_rows<lt_to_f8>), (unsigned)c.m, LT_ROW_THREADS, 0, lb_cuda_stream(l), c.x, c.k,
                          c.codes, c.scales);
    lt_run_f8(a, l, c, MODE_W, MODE_X);
}

LB_CUDA_KERNEL(gemm_float8dq_row_cublaslt) = {
    .name = "gemm.float8dq_row.cublaslt",
    LT_F8_FIELDS,
    .format = "float8dq-row",
    .act = LB_ACT_F8_ROW,
    LT_F8_TOLERANCE,
    .priority = 20,
    .supports = supports,
    .workspace_bytes = lt_f8_workspace,
    .launch = launch,
};
