/* openblas.h: the system's OpenBLAS, loaded when first asked for, on one thread: the parts are the threads. */
#pragma once
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

enum { OPENBLAS_ROW_MAJOR = 101, OPENBLAS_NO_TRANS = 111, OPENBLAS_TRANS = 112 }; /* of CBLAS */

typedef struct openblas {
    void *gemm;              /* the function of that name */
    void (*set_threads)(int);
    int (*get_threads)(void);
    char why[256];           /* why it cannot be used; "" = it can */
} openblas;

static inline void openblas_load(openblas *b, const char *gemm) {
    const char *const names[] = { "libopenblas.so.0", "libopenblas.0.dylib" };
    void *lib = NULL;
    for (size_t i = 0; !lib && i < sizeof names / sizeof *names; i++) lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        strncpy(b->why, "libopenblas.so.0 cannot be loaded; hint: install libopenblas0", sizeof b->why - 1);
        return;
    }
    b->gemm = dlsym(lib, gemm);
    *(void **)&b->set_threads = dlsym(lib, "openblas_set_num_threads");
    *(void **)&b->get_threads = dlsym(lib, "openblas_get_num_threads");
    if (!b->gemm || !b->set_threads || !b->get_threads)
        strncpy(b->why, "libopenblas.so.0 lacks CBLAS's products or openblas_set_num_threads", sizeof b->why - 1);
}

/* The library takes the widest vectors that it finds: where LUABENCH_ISA leaves them out, its times would stand among
 * those of other instructions, and over the peak that is measured with these. */
static inline bool openblas_limited(const lb_device *d) {
    return lb_isa_detect() & ~lb_device_caps_of(d)->isa & (LB_ISA_AVX2 | LB_ISA_AVX512);
}

/* What the library takes, apart from whether it is there. */
static inline bool openblas_fits(const lb_args *a, const char **why) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W);
    if (openblas_limited(x->buffer->device)) {
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
    return true;
}

/* Others in this process may have asked for more threads since. */
static inline void openblas_alone(const openblas *b) {
    if (b->get_threads() != 1) b->set_threads(1);
}
