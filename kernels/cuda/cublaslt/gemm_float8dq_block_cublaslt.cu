/* gemm_float8dq_block_cublaslt.cu: e4m3 weights with a scale per 128 x 128, x with one per 128 of a row, through
 * cuBLASLt. */
#include "codes8.cuh"

enum : int32_t { MODE_W = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F,
    MODE_X = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F };

static bool supports(const lb_args *a, const char **why) {
    *why = "cuBLASLt wants the weights' scales in rows of whole fours: K in multiples of 512";
    if (lb_arg(a, LB_GEMM_W)->rank == 2 && lb_arg(a, LB_GEMM_W)->dims[1] % 512) return false;
    return lt_f8_supports(a, MODE_W, MODE_X, why);
}

static size_t workspace_bytes(const lb_args *a, int) {
    const int64_t rows = lt_rows_of(a, MODE_X);
    return lt_places_of(a, rows, rows != lb_arg(a, LB_GEMM_X)->dims[0]).end;
}

static void launch(const lb_args *a, const lb_launch *l) {
    lt_coding c = lt_coding_of(a, l, MODE_X);
    int64_t blocks = c.rows * (c.k / LT_BLOCK), each = LT_ROW_THREADS / 32;
    LB_CUDA_LAUNCH_IF_ANY(lt_code_blocks, (unsigned)((blocks + each - 1) / each), LT_ROW_THREADS, 0, lb_cuda_stream(l),
                          c.x, c.m, c.rows, c.k, c.codes, c.scales);
    lt_run_f8(a, l, c, MODE_W, MODE_X);
}

LB_CUDA_KERNEL(gemm_float8dq_block_cublaslt) = {
    .name = "gemm.float8dq_block.cublaslt",
    LT_F8_FIELDS,
    .format = "float8dq-block",
    .act = LB_ACT_F8_128,
    LT_F8_TOLERANCE,
    .priority = 20,
    .supports = supports,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};
