/* gemm_int8dq_cublaslt.cu: int8 weights with a scale a row, x int8 with a scale a row: cuBLASLt's int32 sums, then the
 * scales. */
#include "codes8.cuh"

static lt_product product_of(const lb_tensor *x, const lb_tensor *w) {
    lt_product p = { x->dims[0], w->dims[0], w->dims[1], CUBLAS_COMPUTE_32I, CUDA_R_8I, CUDA_R_32I };
    p.device = lb_cuda_info_now()->device;
    return p;
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W);
    if (!lt_supports(a, 16, why)) return false;
    *why = "int32 sums hold 131071 products; and at most 65535 rows";
    if (w->dims[1] > 131071 || x->dims[0] > 65535) return false;
    return lt_has(product_of(x, w), why);
}

static size_t workspace_bytes(const lb_args *a, int) {
    return lt_places_of(a, lb_arg(a, LB_GEMM_X)->dims[0], true).end;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    lt_places at = lt_places_of(a, x->dims[0], true);
    char *space = (char *)l->workspace;
    uint32_t *codes = (uint32_t *)(void *)(space + at.codes);
    float *scales = (float *)(void *)(space + at.scales);
    int64_t m = x->dims[0], n = w->dims[0], k = x->dims[1];
    LB_CUDA_LAUNCH_IF_ANY((lt_code_rows<lt_to_i8>), (unsigned)m, LT_ROW_THREADS, 0, lb_cuda_stream(l), lb_tensor_f32(x),
                          k, codes, scales);
    lt_run(l, product_of(x, w), lb_tensor_data(w), codes, space + at.sums, space);
    LB_CUDA_LAUNCH_IF_ANY(lt_scale_sums, dim3((unsigned)((n / 4 + LT_ROW_THREADS - 1) / LT_ROW_THREADS), (unsigned)m),
                          LT_ROW_THREADS, 0, lb_cuda_stream(l), (const int4 *)(const void *)(space + at.sums), scales,
                          lt_scales_behind(w), n, (float4 *)lb_tensor_data(lb_arg(a, LB_GEMM_OUT)));
}

LB_CUDA_KERNEL(gemm_int8dq_cublaslt) = {
    .name = "gemm.int8dq.cublaslt",
    .op = "gemm",
    .device = "cuda",
    .about = "x to int8, cuBLASLt's int32 sums by the algorithm that its heuristic puts first, then both scales",
    .source = "NVIDIA cuBLASLt",
    .isa = LB_ISA_SM80,
    .format = "int8dq",
    .act = LB_ACT_I8_TOKEN,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8,
    .tolerance = 1e-12,
    .tolerance_why = "sums are exact; three roundings of 2^-24 each",
    .priority = 20,
    .supports = supports,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};
