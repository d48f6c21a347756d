/* gemm_f32_openblas.c: the system's OpenBLAS, one single-threaded sgemm a part: the baseline for f32. */
#include "openblas.h"

typedef void (*sgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                         const float *b, int ldb, float beta, float *c, int ldc);
static openblas blas;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void load(void) { openblas_load(&blas, "cblas_sgemm"); }

static bool supports(const lb_args *a, const char **why) {
    if (!openblas_fits(a, why)) return false;
    pthread_once(&once, load);
    if (blas.why[0]) *why = blas.why;
    return !blas.why[0];
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    int64_t m = x->dims[0], k = x->dims[1], n = w->dims[0], begin, end;
    float *out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT));
    sgemm_fn sgemm;
    pthread_once(&once, load);
    if (blas.why[0]) return; /* supports() said so; an output that stays as it was fails every check */
    memcpy(&sgemm, &blas.gemm, sizeof sgemm);
    openblas_alone(&blas);
    lb_split(n, 16, l->part, l->parts, &begin, &end);
    if (begin < end)
        sgemm(OPENBLAS_ROW_MAJOR, OPENBLAS_NO_TRANS, OPENBLAS_TRANS, (int)m, (int)(end - begin), (int)k, 1.0f,
              lb_tensor_f32(x), (int)k, lb_tensor_f32(w) + begin * k, (int)k, 0.0f, out + begin, (int)n);
}

const lb_kernel lb_kernel_gemm_f32_openblas = {
    .name = "gemm.f32.openblas",
    .op = "gemm",
    .device = "cpu",
    .about = "cblas_sgemm on each part's rows of the weights, OpenBLAS itself on one thread. How it sums, and so a "
             "row's last bits, may change with M and with the number of parts",
    .source = "OpenBLAS, loaded at first use",
    .isa = LB_ISA_PORTABLE,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-11,
    .tolerance_why = "f32 sums over K in an order of its own: NMSE of about 1e-13 at K of 2048",
    .priority = 5,
    .supports = supports,
    .launch = launch,
};
