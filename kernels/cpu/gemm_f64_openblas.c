/* gemm_f64_openblas.c: the system's OpenBLAS, one single-threaded dgemm a part: the baseline for f64. */
#include "openblas.h"

typedef void (*dgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double *a,
                         int lda, const double *b, int ldb, double beta, double *c, int ldc);
static openblas blas;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void load(void) { openblas_load(&blas, "cblas_dgemm"); }

static bool supports(const lb_args *a, const char **why) {
    if (lb_arg(a, LB_GEMM_X)->dtype != LB_F64) {
        *why = "takes f64 activations";
        return false;
    }
    if (!openblas_fits(a, why)) return false;
    pthread_once(&once, load);
    if (blas.why[0]) *why = blas.why;
    return !blas.why[0];
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    int64_t m = x->dims[0], k = x->dims[1], n = w->dims[0], begin, end;
    double *out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT));
    dgemm_fn dgemm;
    pthread_once(&once, load);
    if (blas.why[0]) return; /* supports() said so; an output that stays as it was fails every check */
    memcpy(&dgemm, &blas.gemm, sizeof dgemm);
    openblas_alone(&blas);
    lb_split(n, 16, l->part, l->parts, &begin, &end);
    if (begin < end)
        dgemm(OPENBLAS_ROW_MAJOR, OPENBLAS_NO_TRANS, OPENBLAS_TRANS, (int)m, (int)(end - begin), (int)k, 1.0,
              lb_tensor_data(x), (int)k, (const double *)lb_tensor_data(w) + begin * k, (int)k, 0.0, out + begin,
              (int)n);
}

const lb_kernel lb_kernel_gemm_f64_openblas = {
    .name = "gemm.f64.openblas",
    .op = "gemm",
    .device = "cpu",
    .about = "cblas_dgemm on each part's rows of the weights, OpenBLAS itself on one thread. How it sums, and so a "
             "row's last bits, may change with M and with the number of parts",
    .source = "OpenBLAS, loaded at first use",
    .isa = LB_ISA_PORTABLE,
    .format = "f64",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F64,
    .tolerance = 1e-26,
    .tolerance_why = "f64 sums over K in an order of its own: NMSE of about 1e-30 at K of 4096",
    .priority = 4,
    .supports = supports,
    .launch = launch,
};
