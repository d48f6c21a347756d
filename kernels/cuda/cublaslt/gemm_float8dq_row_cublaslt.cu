/* gemm_float8dq_row_cublaslt.cu: e4m3 weights and x, each with a scale a row, through cuBLASLt. */
#include "codes8.cuh"

enum : int32_t { MODE_W = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F, MODE_X = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F };

static bool supports(const lb_args *a, const char **why) {
    return lt_f8_supports(a, MODE_W, MODE_X, why);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    lt_places at = lt_places_of(a, false);
    char *space = (char *)l->workspace;
    uint32_t *codes = (uint32_t *)(void *)(space + at.codes);
    float *scales = (float *)(void *)(space + at.scales);
    const float *from = lb_tensor_f32(x);
    int64_t m = x->dims[0], k = x->dims[1];
    LB_CUDA_LAUNCH((lt_code_rows<lt_to_f8>), (unsigned)m, LT_ROW_THREADS, 0, lb_cuda_stream(l), from, k, codes, scales);
    lt_run(l, lt_f8_product(x, w, MODE_W, MODE_X), lb_tensor_data(w), codes, lb_tensor_data(lb_arg(a, LB_GEMM_OUT)), space,
           lt_scales_behind(w), scales);
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
