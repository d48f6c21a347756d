/* linear_cublaslt.cuh: f(w x + bias) of float weights, several matrices one below the other, by cuBLASLt: each into its
 * columns of out, with the bias in the library's own epilogue. Functions are taken over out once all products are
 * there: the library has no silu, does not say how exact its gelu is, nor that its relu keeps NaN. */
#pragma once
#include "../act.cuh"
#include "cublaslt.cuh"

static bool lt_linear_supports(const lb_args *a, int64_t multiple, const char **why) {
    const lt_functions *f = lt();
    if (f->why) return *why = f->why, false;
    if (lb_tensor_numel(lb_arg(a, LB_LINEAR_OUT)) == 0 || lb_arg(a, LB_LINEAR_X)->dims[1] == 0)
        return *why = "takes no empty operands", false;
    *why = "needs rows of whole 16 bytes, and N a multiple of 4";
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        if (w->rank != 2 || w->dims[0] == 0 || w->dims[1] % multiple || w->dims[0] % 4) return false;
    }
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++)
        if (!lt_addresses(a->t[LB_LINEAR_W].items[i], lb_arg(a, LB_LINEAR_X), lb_arg(a, LB_LINEAR_OUT), why))
            return false;
    /* each matrix's part, too, as N is a multiple of 4; the epilogue does not say what it needs, others found 8 or
     * 16 */
    const lb_tensor *bias = lb_arg(a, LB_LINEAR_BIAS);
    if (bias && (uintptr_t)lb_tensor_data(bias) % 16) return *why = "needs a bias at an address of 16 bytes", false;
    return true;
}

static __global__ void lt_function(float *out, int64_t n, lb_activate f) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x)
        out[i] = f(out[i], 0.0f);
}

template <class T> static size_t lt_linear_workspace(const lb_args *a, int) {
    size_t converted = sizeof(T) == sizeof(float) ? 0 : (size_t)lb_tensor_numel(lb_arg(a, LB_LINEAR_X)) * sizeof(T);
    return lt_aligned(converted) + LT_WORKSPACE;
}

template <class T> static void lt_linear_launch(const lb_args *a, const lb_launch *l, cudaDataType_t type) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X), *out = lb_arg(a, LB_LINEAR_OUT), *bias = lb_arg(a, LB_LINEAR_BIAS);
    const int kind = (int)a->p[LB_LINEAR_P_ACTIVATION];
    const void *rows = lb_tensor_data(x);
    char *workspace = (char *)l->workspace;
    int64_t n = lb_tensor_numel(x), blocks = (n + 1023) / 1024, all = lb_tensor_numel(out), column = 0;
    if constexpr (sizeof(T) != sizeof(float)) {
        LB_CUDA_LAUNCH_IF_ANY((lt_convert<T>), (unsigned)(blocks < 4096 ? blocks : 4096), 256, 0, lb_cuda_stream(l),
                              (const float *)rows, (T *)workspace, n);
        rows = workspace;
        workspace += lt_aligned((size_t)n * sizeof(T));
    }
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        lt_product p = { x->dims[0], w->dims[0], w->dims[1], CUBLAS_COMPUTE_32F, type, CUDA_R_32F };
        p.device = lb_cuda_info_now()->device;
        p.ld = out->dims[1];
        p.epilogue = bias ? CUBLASLT_EPILOGUE_BIAS : 0;
        lt_run(l, p, lb_tensor_data(w), rows, (float *)lb_tensor_data(out) + column, workspace, nullptr, nullptr,
               bias ? lb_tensor_f32(bias) + column : nullptr);
        column += w->dims[0];
    }
    if (kind == LB_ACTIVATION_NONE) return;
    blocks = (all + 1023) / 1024;
    LB_CUDA_LAUNCH_IF_ANY(lt_function, (unsigned)(blocks < 4096 ? blocks : 4096), 256, 0, lb_cuda_stream(l),
                          (float *)lb_tensor_data(out), all, (lb_activate{ kind, 0.01f }));
}

#define LT_LINEAR(NAME, FORMAT, ACT, COMPUTE, TYPE, TOLERANCE, WHY)                                                    \
    .name = NAME, .op = "linear", .device = "cuda",                                                                    \
    .about = "cuBLASLt, a product a matrix, the bias in its epilogue; functions over the result",                      \
    .source = "NVIDIA cuBLASLt", .isa = LB_ISA_SM80, .format = FORMAT, .act = ACT, .acc = LB_ACC_F32,                  \
    .compute = COMPUTE, .tolerance = TOLERANCE,                                                                        \
    .tolerance_why = WHY "f32 sums over K; a function within 2e-7",                                                    \
    .priority = 10, .supports = supports, .workspace_bytes = lt_linear_workspace<TYPE>, .launch = launch
