/* cublaslt.cpp: cuBLASLt on the CPU, as far as kernels/cuda/cublaslt/ uses it: transposed A times B in columns, scales
 * by its rules, sums in f64, those of tensor cores as they cut them (cut.h). It refuses what the library's
 * documentation refuses. */
#include "cublasLt.h"

#include <dlfcn.h>
#include <stdlib.h>

#include <vector>

#include "cuda_bf16.h"
#include "cuda_fp8.h"
#include "cut.h"
#include "engine/cuda/library.h"

struct lt_emu_handle { int unused; };
struct lt_emu_desc {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    cublasOperation_t trans[2];
    const void *scales[2];
    int32_t mode[2];
    int32_t epilogue;
    const float *bias;
};
struct lt_emu_layout { cudaDataType type; int64_t rows, columns, ld; };
struct lt_emu_preference { size_t workspace; uint32_t aligned[4]; /* of A, B, C, D */ };

/* This object itself, in the place of the library. */
void *lb_cuda_library(const char *name, const char **from) {
    Dl_info here;
    if (from) *from = "the emulator has no such library";
    if (strcmp(name, "cublasLt") || !dladdr((void *)(uintptr_t)&lb_cuda_library, &here)) return NULL;
    return dlopen(here.dli_fname, RTLD_NOW);
}

/* A refused launch leaves its output as it was, which is poison. */
void lb_cuda_refuse(const char *, ...) {}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    static lt_emu_handle h;
    return *handle = &h, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale) {
    *d = new lt_emu_desc{ compute, scale, { CUBLAS_OP_N, CUBLAS_OP_N }, { NULL, NULL }, { 0, 0 },
                          CUBLASLT_EPILOGUE_DEFAULT, NULL };
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return delete d, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what,
                                              const void *value,
                                              size_t bytes) {
    void *to = what == CUBLASLT_MATMUL_DESC_TRANSA ? (void *)&d->trans[0] : what == CUBLASLT_MATMUL_DESC_TRANSB ?
        &d->trans[1]
             : what == CUBLASLT_MATMUL_DESC_A_SCALE_POINTER ? (void *)&d->scales[0]
             : what == CUBLASLT_MATMUL_DESC_B_SCALE_POINTER ? (void *)&d->scales[1]
             : what == CUBLASLT_MATMUL_DESC_A_SCALE_MODE ? (void *)&d->mode[0]
             : what == CUBLASLT_MATMUL_DESC_B_SCALE_MODE ? (void *)&d->mode[1]
             : what == CUBLASLT_MATMUL_DESC_EPILOGUE ? (void *)&d->epilogue
             : what == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? (void *)&d->bias : NULL;
    bool pointer = what == CUBLASLT_MATMUL_DESC_BIAS_POINTER || what == CUBLASLT_MATMUL_DESC_A_SCALE_POINTER ||
                   what == CUBLASLT_MATMUL_DESC_B_SCALE_POINTER;
    if (!to || bytes != (pointer ? sizeof(void *) : 4)) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows, uint64_t columns,
                                          int64_t ld) {
    *l = new lt_emu_layout{ type, (int64_t)rows, (int64_t)columns, ld };
    return ld < (int64_t)rows ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return delete l, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) {
    return *p = new lt_emu_preference{ 0, { 256, 256, 256, 256 } }, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { return delete p, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t what,
                                                    const void *value, size_t bytes) {
    if (what != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
        if (bytes != 4) return CUBLAS_STATUS_INVALID_VALUE;
        memcpy(&p->aligned[what - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
        return CUBLAS_STATUS_SUCCESS;
    }
    if (bytes != sizeof p->workspace) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&p->workspace, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

static int64_t size_of(cudaDataType t) {
    return t == CUDA_R_32F || t == CUDA_R_32I ? 4 : t == CUDA_R_16F || t == CUDA_R_16BF ? 2 : 1;
}

/* Types and scales that go together. */
static bool known(const lt_emu_desc *d, const lt_emu_layout *a, const lt_emu_layout *b, const lt_emu_layout *out) {
    bool f8 = a->type == CUDA_R_8F_E4M3, i8 = a->type == CUDA_R_8I;
    int w = d->mode[0], x = d->mode[1];
    if (a->type != b->type || (i8 ? out->type != CUDA_R_32I || d->compute != CUBLAS_COMPUTE_32I ||
                               d->scale != CUDA_R_32I
                                  : out->type != CUDA_R_32F || d->compute == CUBLAS_COMPUTE_32I ||
                                      d->scale != CUDA_R_32F))
        return false;
    if (!f8) return !w && !x && !d->scales[0] && !d->scales[1];
    return d->scales[0] && d->scales[1] &&
           ((w == CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F && x == w) ||
            (w == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F && x == w) ||
            (w == CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F && x == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F));
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t out, cublasLtMatmulPreference_t p, int wanted,
                                              cublasLtMatmulHeuristicResult_t *found, int *count) {
    int64_t k = a->rows, n = a->columns, m = b->columns;
    bool rows16 = k * size_of(a->type) % 16 == 0 && a->ld * size_of(a->type) % 16 == 0;
    *count = 0;
    if (wanted < 1 || c != out || b->rows != k || out->rows != n ||
        out->columns != m) return CUBLAS_STATUS_INVALID_VALUE;
    if (d->trans[0] != CUBLAS_OP_T || d->trans[1] != CUBLAS_OP_N || !known(d, a, b, out) || !rows16)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if ((a->type == CUDA_R_8F_E4M3 && n % 16) || (a->type == CUDA_R_8I && n % 4)) return CUBLAS_STATUS_NOT_SUPPORTED;
    /* scales of blocks are in columns of whole fours; an alignment that is no power of two means nothing, and all of
     * these want 16 bytes */
    if (d->mode[1] == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F && m % 4) return CUBLAS_STATUS_NOT_SUPPORTED;
    for (uint32_t bytes : p->aligned)
        if (bytes < 16 || (bytes & (bytes - 1))) return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(found, 0, sizeof *found);
    for (int i = 0; i < 4; i++) found->algo.data[i] = p->aligned[i];
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static double value_at(const lt_emu_layout *l, const void *p, int64_t row, int64_t column) {
    int64_t i = column * l->ld + row;
    switch (l->type) {
    case CUDA_R_32F: return ((const float *)p)[i];
    case CUDA_R_16F: return __half2float(((const __half *)p)[i]);
    case CUDA_R_16BF: return __bfloat162float(((const __nv_bfloat16 *)p)[i]);
    case CUDA_R_8I: return ((const int8_t *)p)[i];
    default: return __half2float(__nv_cvt_fp8_to_halfraw(((const uint8_t *)p)[i], __NV_E4M3));
    }
}
/* The scale of element (k, column) of an operand of `columns` columns of length `length`. */
static double scale_at(const lt_emu_desc *d, int side, int64_t k, int64_t column, int64_t length, int64_t columns) {
    const float *s = (const float *)d->scales[side];
    switch (s ? d->mode[side] : -1) {
    case CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F: return s[0];
    case CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F: return s[column];
    case CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F: return s[k / 128 * columns + column];
    case CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F:
        return s[column / 128 * (((length + 127) / 128 + 3) / 4 * 4) + k / 128];
    default: return 1;
    }
}
/* What is multiplied: of f32 in tf32 ten bits behind the leading one. */
static std::vector<double> values_of(const lt_emu_desc *d, const lt_emu_layout *l, const void *p) {
    std::vector<double> v((size_t)(l->rows * l->columns));
    const bool tf32 = d->compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    for (int64_t c = 0; c < l->columns; c++)
        for (int64_t k = 0; k < l->rows; k++) {
            double *to = &v[(size_t)(c * l->rows + k)];
            *to = value_at(l, p, k, c);
            uint64_t u;
            memcpy(&u, to, 8);
            u &= tf32 ? ~(((uint64_t)1 << 42) - 1) : ~(uint64_t)0;
            memcpy(to, &u, 8);
        }
    return v;
}
/* A sum of k products. Those of fp8 leave the tensor core after 128, where scales change, too. */
static double sum_of(const lt_emu_desc *d, const lt_emu_layout *lw, const lt_emu_layout *lx, const double *w,
                     const double *x, int64_t n, int64_t m) {
    const int64_t k = lw->rows;
    const bool f8 = lw->type == CUDA_R_8F_E4M3, f32 = lw->type == CUDA_R_32F;
    const int each = f8 ? 32 : f32 ? 4 : LB_EMU_CUT_EACH, bits = f8 ? 13 : LB_EMU_CUT_BITS;
    double sum = 0, part = 0;
    if (lw->type == CUDA_R_8I || (f32 && d->compute != CUBLAS_COMPUTE_32F_FAST_TF32)) {
        for (int64_t i = 0; i < k; i++) sum += w[i] * x[i];
        return sum;
    }
    for (int64_t i = 0; i < k; i += each) {
        lb_emu_cut_add(&part, 1, w + i, x + i, 1, (int)(k - i < each ? k - i : each), bits);
        if (!f8 || (i % 128 + each < 128 && i + each < k)) continue;
        sum = (float)(sum + part * scale_at(d, 0, i, n, k, lw->columns) * scale_at(d, 1, i, m, k, lx->columns));
        part = 0;
    }
    return f8 ? sum : part;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t la, const void *b, cublasLtMatrixLayout_t lb, const void *beta,
                              const void *c, cublasLtMatrixLayout_t lc, void *out, cublasLtMatrixLayout_t lo,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes, cudaStream_t) {
    bool plain = lo->type == CUDA_R_32I ? *(const int32_t *)alpha == 1 && *(const int32_t *)beta == 0
                                        : *(const float *)alpha == 1 && *(const float *)beta == 0;
    if (!algo || !plain || c != out || lc != lo || !known(d, la, lb, lo) ||
        ((uintptr_t)a | (uintptr_t)b | (uintptr_t)out) % 16 ||
        (d->mode[1] == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F &&
         ((uintptr_t)d->scales[0] | (uintptr_t)d->scales[1]) % 16))
        return CUBLAS_STATUS_INVALID_VALUE;
    if ((uintptr_t)a % algo->data[0] || (uintptr_t)b % algo->data[1] || (uintptr_t)out % algo->data[3])
        return CUBLAS_STATUS_INVALID_VALUE; /* so much was promised */
    const bool bias = d->epilogue == CUBLASLT_EPILOGUE_BIAS;
    if (!bias && d->epilogue != CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (bias && (!d->bias || (uintptr_t)d->bias % 16)) return CUBLAS_STATUS_INVALID_VALUE;
    if (workspace) memset(workspace, 0x77, workspace_bytes < 4096 ? workspace_bytes : 4096); /* it is the library's */
    std::vector<double> w = values_of(d, la, a), x = values_of(d, lb, b);
    int64_t k = la->rows;
    for (int64_t m = 0; m < lo->columns; m++)
        for (int64_t n = 0; n < lo->rows; n++) {
            double sum = sum_of(d, la, lb, &w[(size_t)(n * k)], &x[(size_t)(m * k)], n, m);
            if (bias) sum += d->bias[n];
            if (lo->type == CUDA_R_32I) ((int32_t *)out)[m * lo->ld + n] = (int32_t)sum;
            else ((float *)out)[m * lo->ld + n] = (float)sum;
        }
    return CUBLAS_STATUS_SUCCESS;
}
