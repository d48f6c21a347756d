/* gemm_stored_float8dq_row_cublaslt.cu: e4m3 times e4m3 as both are stored, a scale a row: cuBLASLt's product and
 * nothing else. */
#include "codes8.cuh"

enum : int32_t { MODE = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F };

static bool supports(const lb_args *a, const char **why) { return lt_stored_supports(a, MODE, why); }

static void launch(const lb_args *a, const lb_launch *l) { lt_run_stored(a, l, MODE); }

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
    .workspace_bytes = lt_stored_workspace,
    .launch = launch,
};
