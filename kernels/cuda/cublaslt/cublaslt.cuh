/* cublaslt.cuh: dense products through cuBLASLt, found at run time; what the files of this folder share.
 * out[m][n] = sum_k x[m][k] w[n][k] in rows is, in cuBLAS's columns, out (N x M) = w' (K x N, transposed) times x (K x
 * M). */
#pragma once
#include <dlfcn.h>
#include <mutex>
#include <cublasLt.h>
#include "engine/kernel_cuda.h"
#include "engine/cuda/library.h"

enum : size_t { LT_WORKSPACE = (size_t)32 << 20 };
enum : uint32_t { LT_LEAST_ALIGNED = 16 }; /* what all operands' addresses are multiples of */

struct lt_functions {
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtMatmul) matmul;
    decltype(&cublasLtMatmulDescCreate) desc_create;
    decltype(&cublasLtMatmulDescDestroy) desc_destroy;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set;
    decltype(&cublasLtMatrixLayoutCreate) layout_create;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
    decltype(&cublasLtMatmulPreferenceCreate) preference_create;
    decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
    cublasLtHandle_t handle;
    const char *why;             /* NULL: usable */
};

template <class F> static bool lt_find(void *so, const char *name, F *out) {
    *out = (F)dlsym(so, name);
    return *out != nullptr;
}

static void lt_start(lt_functions *f) {
    const char *from = "";
    void *so = lb_cuda_library("cublasLt", &from);
    f->why = from;
    if (!so) return;
    f->why = "the cuBLASLt that was found lacks functions";
    bool all = lt_find(so, "cublasLtCreate", &f->create) && lt_find(so, "cublasLtMatmul", &f->matmul) &&
               lt_find(so, "cublasLtMatmulDescCreate", &f->desc_create) &&
               lt_find(so, "cublasLtMatmulDescDestroy", &f->desc_destroy) &&
               lt_find(so, "cublasLtMatmulDescSetAttribute", &f->desc_set) &&
               lt_find(so, "cublasLtMatrixLayoutCreate", &f->layout_create) &&
               lt_find(so, "cublasLtMatrixLayoutDestroy", &f->layout_destroy) &&
               lt_find(so, "cublasLtMatmulPreferenceCreate", &f->preference_create) &&
               lt_find(so, "cublasLtMatmulPreferenceDestroy", &f->preference_destroy) &&
               lt_find(so, "cublasLtMatmulPreferenceSetAttribute", &f->preference_set) &&
               lt_find(so, "cublasLtMatmulAlgoGetHeuristic", &f->heuristic);
    if (!all) return;
    f->why = f->create(&f->handle) == CUBLAS_STATUS_SUCCESS ? nullptr : "cuBLASLt could not be started";
}

/* Of the current device: a handle belongs to the one that it was made on; made at its first product. */
static const lt_functions *lt() {
    enum { DEVICES = 64 }; /* as many as lb_cuda_info_now() knows */
    static lt_functions devices[DEVICES];
    static std::once_flag once[DEVICES];
    const int device = lb_cuda_info_now()->device;
    std::call_once(once[device], [&] { lt_start(&devices[device]); });
    return &devices[device];
}

/* A product of one shape, with the algorithm that cuBLASLt's heuristic puts first; kept, as choosing takes long. */
struct lt_product {
    int64_t m, n, k;
    cublasComputeType_t compute;
    cudaDataType_t in, out;
    int scaled;                              /* with scales of both sides, which mode_w and mode_x say the layout of */
    int32_t mode_w, mode_x;                  /* cublasLtMatmulMatrixScale_t */
    int device;
    int64_t ld;                              /* of out; 0: n */
    int32_t epilogue;                        /* CUBLASLT_EPILOGUE_BIAS, or 0: none */
    uint32_t aligned;                        /* what all addresses are multiples of; lt_run fills it in */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, d;
    cublasLtMatmulAlgo_t algo;
    lt_product *next;
};

static bool lt_same(const lt_product *a, const lt_product *b) {
    return a->m == b->m && a->n == b->n && a->k == b->k && a->compute == b->compute && a->in == b->in &&
           a->out == b->out && a->scaled == b->scaled && a->mode_w == b->mode_w && a->mode_x == b->mode_x &&
               a->device == b->device &&
           a->ld == b->ld && a->epilogue == b->epilogue && a->aligned == b->aligned;
}

/* f32 on the device; where they are may differ from call to call. */
static bool lt_scales(const lt_functions *f, cublasLtMatmulDesc_t desc, const void *w, const void *x) {
    return f->desc_set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &w, sizeof w) == CUBLAS_STATUS_SUCCESS &&
           f->desc_set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &x, sizeof x) == CUBLAS_STATUS_SUCCESS;
}
static bool lt_scale_modes(const lt_functions *f, const lt_product *p) {
    const void *anywhere = (const void *)(uintptr_t)4096; /* nothing is read while an algorithm is chosen */
    return f->desc_set(p->desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &p->mode_w,
                       sizeof p->mode_w) == CUBLAS_STATUS_SUCCESS &&
           f->desc_set(p->desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &p->mode_x,
                       sizeof p->mode_x) == CUBLAS_STATUS_SUCCESS &&
           lt_scales(f, p->desc, anywhere, anywhere);
}

static bool lt_bias(const lt_functions *f, cublasLtMatmulDesc_t desc, const void *bias) {
    return f->desc_set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias) == CUBLAS_STATUS_SUCCESS;
}
static bool lt_epilogue(const lt_functions *f, const lt_product *p) {
    return f->desc_set(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &p->epilogue, sizeof p->epilogue) ==
               CUBLAS_STATUS_SUCCESS &&
           lt_bias(f, p->desc, (const void *)(uintptr_t)4096);
}
/* The library takes it that addresses are multiples of 256, unless it is told. */
static bool lt_alignment(const lt_functions *f, cublasLtMatmulPreference_t preference, uint32_t bytes) {
    bool ok = true;
    for (auto what : { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                       CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES })
        ok = ok && f->preference_set(preference, what, &bytes, sizeof bytes) == CUBLAS_STATUS_SUCCESS;
    return ok;
}

static bool lt_make(const lt_functions *f, lt_product *p) {
    cublasOperation_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulHeuristicResult_t found;
    size_t workspace = LT_WORKSPACE;
    int count = 0;
    cudaDataType_t scale = p->compute == CUBLAS_COMPUTE_32I ? CUDA_R_32I : CUDA_R_32F;
    bool ok = f->desc_create(&p->desc, p->compute, scale) == CUBLAS_STATUS_SUCCESS &&
              f->desc_set(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                          sizeof transposed) == CUBLAS_STATUS_SUCCESS &&
              f->desc_set(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &plain, sizeof plain) == CUBLAS_STATUS_SUCCESS;
    if (ok && p->scaled) ok = lt_scale_modes(f, p);
    if (ok && p->epilogue) ok = lt_epilogue(f, p);
    ok = ok && f->layout_create(&p->w, p->in, (uint64_t)p->k, (uint64_t)p->n, p->k) == CUBLAS_STATUS_SUCCESS &&
         f->layout_create(&p->x, p->in, (uint64_t)p->k, (uint64_t)p->m, p->k) == CUBLAS_STATUS_SUCCESS &&
         f->layout_create(&p->d, p->out, (uint64_t)p->n, (uint64_t)p->m, p->ld ? p->ld : p->n) ==
             CUBLAS_STATUS_SUCCESS &&
         f->preference_create(&preference) == CUBLAS_STATUS_SUCCESS && lt_alignment(f, preference, p->aligned) &&
         f->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace) ==
             CUBLAS_STATUS_SUCCESS &&
         f->heuristic(f->handle, p->desc, p->w, p->x, p->d, p->d, preference, 1, &found,
                      &count) == CUBLAS_STATUS_SUCCESS &&
         count > 0;
    if (preference) f->preference_destroy(preference);
    if (ok) p->algo = found.algo;
    return ok;
}

static lt_product *lt_product_of(const lt_functions *f, const lt_product *like) {
    static lt_product *known;
    static std::mutex lock;
    std::lock_guard<std::mutex> guard(lock);
    for (lt_product *p = known; p; p = p->next)
        if (lt_same(p, like)) return p;
    lt_product *p = new lt_product(*like);
    if (!lt_make(f, p)) {
        delete p;
        return nullptr;
    }
    p->next = known;
    return known = p;
}

/* Does the library have it? Asked when a plan is recorded, so that a launch does not fail. Of addresses it is known
 * that they are multiples of 16: what may lie less well than by 256 bytes is what has to be there. */
static bool lt_has(const lt_product &p, const char **why) {
    lt_product least = p;
    least.aligned = LT_LEAST_ALIGNED;
    *why = "cuBLASLt has no algorithm for this product on this device";
    return lt_product_of(lt(), &least) != nullptr;
}

/* Enqueues it. What goes wrong the executor hears of. */
static void lt_run(const lb_launch *l, const lt_product &like, const void *w, const void *x, void *out, void *workspace,
                   const void *scale_w = nullptr, const void *scale_x = nullptr, const void *bias = nullptr) {
    const lt_functions *f = lt();
    lt_product with = like;
    with.aligned = ((uintptr_t)w | (uintptr_t)x | (uintptr_t)out) % 256 ? LT_LEAST_ALIGNED : 256;
    if (f->why) return lb_cuda_refuse("%s", f->why);
    lt_product *p = lt_product_of(f, &with);
    if (!p) return lb_cuda_refuse("cuBLASLt has no algorithm for this product on this device");
    if ((p->scaled && !lt_scales(f, p->desc, scale_w, scale_x)) || (p->epilogue && !lt_bias(f, p->desc, bias)))
        return lb_cuda_refuse("cuBLASLt takes no such scales or bias");
    float one = 1, zero = 0;
    int32_t ione = 1, izero = 0;
    bool integers = like.compute == CUBLAS_COMPUTE_32I;
    cublasStatus_t s = f->matmul(f->handle, p->desc, integers ? (void *)&ione : &one, w, p->w, x, p->x,
                                 integers ? (void *)&izero : &zero, out, p->d, out, p->d, &p->algo, workspace,
                                 LT_WORKSPACE, lb_cuda_stream(l));
    if (s != CUBLAS_STATUS_SUCCESS) lb_cuda_refuse("cuBLASLt refused this product: status %d", (int)s);
}

static bool lt_addresses(const lb_tensor *w, const lb_tensor *x, const lb_tensor *out, const char **why) {
    *why = "needs operands that begin at addresses of 16 bytes";
    return ((uintptr_t)lb_tensor_data(w) | (uintptr_t)lb_tensor_data(x) | (uintptr_t)lb_tensor_data(out)) % 16 == 0;
}
/* Shapes that all of these take: 16-byte rows. */
static bool lt_supports(const lb_args *a, int64_t multiple, const char **why) {
    const lb_tensor *w = lb_arg(a, LB_GEMM_W);
    const lt_functions *f = lt();
    if (f->why) return *why = f->why, false;
    if (w->rank != 2) return *why = "takes one matrix", false;
    if (w->dims[0] == 0 || w->dims[1] == 0 || lb_arg(a, LB_GEMM_X)->dims[0] == 0) return *why =
        "takes no empty operands", false;
    if (w->dims[1] % multiple || w->dims[0] % 4) return *why = "needs rows of whole 16 bytes, and N a multiple of 4",
        false;
    return lt_addresses(w, lb_arg(a, LB_GEMM_X), lb_arg(a, LB_GEMM_OUT), why);
}

static inline size_t lt_aligned(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* x in another type, at the beginning of the workspace. */
template <class T> static __global__ void lt_convert(const float *x, T *out, int64_t n) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x)
        out[i] = (T)x[i];
}

template <class T> static size_t lt_half_workspace(const lb_args *a, int parts) {
    (void)parts;
    return lt_aligned((size_t)lb_tensor_numel(lb_arg(a, LB_GEMM_X)) * sizeof(T)) + LT_WORKSPACE;
}

template <class T> static void lt_half_launch(const lb_args *a, const lb_launch *l, cudaDataType_t type) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    int64_t n = lb_tensor_numel(x), blocks = (n + 1023) / 1024;
    LB_CUDA_LAUNCH_IF_ANY((lt_convert<T>), (unsigned)(blocks < 4096 ? blocks : 4096), 256, 0, lb_cuda_stream(l),
                          (const float *)lb_tensor_data(x), (T *)l->workspace, n);
    lt_product p = { x->dims[0], w->dims[0], w->dims[1], CUBLAS_COMPUTE_32F, type, CUDA_R_32F };
    p.device = lb_cuda_info_now()->device;
    lt_run(l, p, lb_tensor_data(w), l->workspace, lb_tensor_data(lb_arg(a, LB_GEMM_OUT)),
           (char *)l->workspace + lt_aligned((size_t)n * sizeof(T)));
}

static inline size_t lt_f32_workspace(const lb_args *a, int parts) { return (void)a, (void)parts, LT_WORKSPACE; }

/* f32 operands as they are; `how` their products are made. */
static inline void lt_f32_launch(const lb_args *a, const lb_launch *l, cublasComputeType_t how) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    lt_product p = { x->dims[0], w->dims[0], w->dims[1], how, CUDA_R_32F, CUDA_R_32F };
    p.device = lb_cuda_info_now()->device;
    lt_run(l, p, lb_tensor_data(w), lb_tensor_data(x), lb_tensor_data(lb_arg(a, LB_GEMM_OUT)), l->workspace);
}
