/* gemm_f32_openblas.c: the system's OpenBLAS, one single-threaded sgemm a part: the baseline for f32. */
#include <dlfcn.h>
#include <pthread.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

typedef void (*sgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                         const float *b, int ldb, float beta, float *c, int ldc);
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; /* of CBLAS */

static struct {
    sgemm_fn sgemm;
    void (*set_threads)(int);
    int (*get_threads)(void);
    char why[256];           /* why it cannot be used; "" = it can */
} blas;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
    const char *const names[] = { "libopenblas.so.0", "libopenblas.0.dylib" };
    void *lib = NULL;
    for (size_t i = 0; !lib && i < sizeof names / sizeof *names; i++) lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        strncpy(blas.why, "libopenblas.so.0 cannot be loaded; hint: install libopenblas0", sizeof blas.why - 1);
        return;
    }
    *(void **)&blas.sgemm = dlsym(lib, "cblas_sgemm");
    *(void **)&blas.set_threads = dlsym(lib, "openblas_set_num_threads");
    *(void **)&blas.get_threads = dlsym(lib, "openblas_get_num_threads");
    if (!blas.sgemm || !blas.set_threads || !blas.get_threads)
        strncpy(blas.why, "libopenblas.so.0 lacks cblas_sgemm or openblas_set_num_threads", sizeof blas.why - 1);
}

/* The library takes the widest vectors that it finds: where LUABENCH_ISA leaves them out, its times would stand among
 * those of other instructions, and over the peak that is measured with these. */
static bool limited(const lb_device *d) {
    return lb_isa_detect() & ~lb_device_caps_of(d)->isa & (LB_ISA_AVX2 | LB_ISA_AVX512);
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W);
    if (limited(x->buffer->device)) {
        *why = "takes the processor's widest vectors, which LUABENCH_ISA leaves out";
        return false;
    }
    if (x->dims[0] < 8) {
        *why = "takes M >= 8; its matrix-vector products are slower than a plain loop";
        return false;
    }
    if (x->dims[0] > INT32_MAX || x->dims[1] < 1 || x->dims[1] > INT32_MAX || w->dims[0] > INT32_MAX) {
        *why = "dimensions must be at least 1 and fit 32 bits";
        return false;
    }
    pthread_once(&once, load);
    if (blas.why[0]) *why = blas.why;
    return !blas.why[0];
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    int64_t m = x->dims[0], k = x->dims[1], n = w->dims[0], begin, end;
    float *out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT));
    pthread_once(&once, load);
    if (blas.why[0]) return; /* supports() said so; an output that stays as it was fails every check */
    /* the parts are the threads; others in this process may have asked for more since */
    if (blas.get_threads() != 1) blas.set_threads(1);
    lb_split(n, 16, l->part, l->parts, &begin, &end);
    if (begin < end)
        blas.sgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)m, (int)(end - begin), (int)k, 1.0f, lb_tensor_f32(x), (int)k,
                   lb_tensor_f32(w) + begin * k, (int)k, 0.0f, out + begin, (int)n);
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
