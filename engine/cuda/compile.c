/* compile.c: CUDA C++ of a script's own: NVRTC, found at run time, and modules of the driver's. */
#include "device.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is used of NVRTC and of the driver, declared here so that neither is needed to build. */
typedef struct nvrtc {
    int (*version)(int *major, int *minor);
    int (*create)(void **program, const char *source, const char *name, int headers, const char *const *sources,
                  const char *const *names);
    int (*compile)(void *program, int count, const char *const *options);
    int (*log_size)(void *program, size_t *bytes);
    int (*log)(void *program, char *text);
    int (*cubin_size)(void *program, size_t *bytes);
    int (*cubin)(void *program, char *image);
    int (*destroy)(void **program);
    const char *(*text)(int result);
} nvrtc;

typedef struct driver {
    int (*load)(void **module, const void *image);
    int (*unload)(void *module);
    int (*function)(void **function, void *module, const char *name);
    int (*attribute)(int *value, int what, void *function);
    int (*count)(unsigned *count, void *module);
    int (*enumerate)(void **functions, unsigned count, void *module);
    int (*name)(const char **name, void *function);
    int (*launch)(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                  unsigned shared_bytes, void *stream, void **args, void **extra);
    int (*set)(void *function, int what, int value);
    int (*text)(int result, const char **text);
} driver;

struct lb_cuda_module { lb_cuda_dev *d; void *module; char name[64]; };

static nvrtc rt;
static driver dr;
static char why_not[512];
static bool tried;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool find(void *so, const char *name, void *out) {
    void *f = dlsym(so, name);
    memcpy(out, &f, sizeof f);
    if (!f) snprintf(why_not, sizeof why_not, "%s is not in the library found", name);
    return f != NULL;
}

/* The runtime finds the driver's functions, wherever libcuda is. */
static bool find_driver(const char *name, void *out) {
    void *f = NULL;
    enum cudaDriverEntryPointQueryResult got;
    cudaError_t e = cudaGetDriverEntryPointByVersion(name, &f, 12000, cudaEnableDefault, &got);
    if (e != cudaSuccess || !f) {      /* newer than that version */
        cudaGetLastError();
        e = cudaGetDriverEntryPointByVersion(name, &f, CUDART_VERSION, cudaEnableDefault, &got);
    }
    cudaGetLastError();
    memcpy(out, &f, sizeof f);
    if (e != cudaSuccess || !f) snprintf(why_not, sizeof why_not, "the driver has no %s", name);
    return e == cudaSuccess && f;
}

static bool load_driver(void) {
    return find_driver("cuModuleLoadData", &dr.load) && find_driver("cuModuleUnload", &dr.unload) &&
           find_driver("cuModuleGetFunction", &dr.function) && find_driver("cuFuncGetAttribute", &dr.attribute) &&
           find_driver("cuFuncSetAttribute", &dr.set) && find_driver("cuModuleGetFunctionCount", &dr.count) &&
           find_driver("cuModuleEnumerateFunctions", &dr.enumerate) && find_driver("cuFuncGetName", &dr.name) &&
           find_driver("cuLaunchKernel", &dr.launch) && find_driver("cuGetErrorString", &dr.text);
}

static bool load_nvrtc(void) {
    const char *from;
    void *so = lb_cuda_library("nvrtc", &from);
    if (!so) return snprintf(why_not, sizeof why_not, "NVRTC was not found: %s", from), false;
    return find(so, "nvrtcVersion", &rt.version) && find(so, "nvrtcCreateProgram", &rt.create) &&
           find(so, "nvrtcCompileProgram", &rt.compile) && find(so, "nvrtcGetProgramLogSize", &rt.log_size) &&
           find(so, "nvrtcGetProgramLog", &rt.log) && find(so, "nvrtcGetCUBINSize", &rt.cubin_size) &&
           find(so, "nvrtcGetCUBIN", &rt.cubin) && find(so, "nvrtcDestroyProgram", &rt.destroy) &&
           find(so, "nvrtcGetErrorString", &rt.text);
}

static lb_status load(void) {
    pthread_mutex_lock(&lock);
    if (!tried && load_nvrtc()) load_driver();
    tried = true;
    pthread_mutex_unlock(&lock);
    return why_not[0] ? lb_fail(LB_EUNSUPPORTED, "compiling: %s", why_not) : LB_OK;
}

/* Where CUDA's headers (cuda_fp16.h) lie beside the NVRTC that was found, as an option for it; false: nowhere. */
static bool include_option(char *out, size_t bytes) {
    static const char *const places[] = { "../include", "../../cuda_runtime/include" };
    char path[700];
    Dl_info info;
    void *f;
    memcpy(&f, &rt.version, sizeof f);
    if (!dladdr(f, &info) || !info.dli_fname || !strrchr(info.dli_fname, '/')) return false;
    int folder = (int)(strrchr(info.dli_fname, '/') - info.dli_fname);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%.*s/%s/cuda_fp16.h", folder, info.dli_fname, places[i]);
        if (access(path, R_OK) != 0) continue;
        snprintf(out, bytes, "--include-path=%.*s/%s", folder, info.dli_fname, places[i]);
        return true;
    }
    return false;
}

/* "compiling 'name': what: reason" */
static lb_status driver_result(lb_cuda_dev *d, int e, const char *name, const char *what) {
    const char *text = NULL;
    if (e == 0) return LB_OK;
    dr.text(e, &text);
    return lb_fail(LB_EDEVICE, "cuda:%d: kernel source '%s': %s: %s", d->device, name, what,
                   text ? text : "unknown error");
}

static char *program_log(void *program) {
    size_t bytes = 0;
    if (rt.log_size(program, &bytes) || bytes < 2) return NULL;
    char *text = calloc(1, bytes + 1);
    if (text && rt.log(program, text)) text[0] = 0;
    return text;
}

static lb_status build(const char *name, const char *source, const char *const *options, int count, char **image,
                       char **log) {
    void *program = NULL;
    size_t bytes = 0;
    int e = rt.create(&program, source, name, 0, NULL, NULL);
    if (e) return lb_fail(LB_EUNSUPPORTED, "compiling '%s': %s", name, rt.text(e));
    e = rt.compile(program, count, options);
    *log = program_log(program);
    lb_status s = LB_OK;
    if (e) s = lb_fail(LB_EINVAL, "compiling '%s': %s:\n%s", name, rt.text(e), *log ? *log : "(no log)");
    if (!s &&
        ((e = rt.cubin_size(program, &bytes)) || !(*image = malloc(bytes + 1)) || (e = rt.cubin(program, *image))))
        s = lb_fail(LB_EDEVICE, "compiling '%s': no code: %s", name, e ? rt.text(e) : "no memory");
    rt.destroy(&program);
    return s;
}

lb_status lb_cuda_compile(lb_cuda_dev *d, const char *name, const char *source, const char *const *options, int count,
                          lb_cuda_module **out, char **log) {
    enum { OPTIONS_MOST = 64 };
    const char *all[OPTIONS_MOST + 3];
    char arch[40], include[760], *image = NULL, *words = NULL;
    *out = NULL;
    lb_status s = load();
    if (s) return s;
    if (count > OPTIONS_MOST) return lb_fail(LB_EINVAL, "compiling '%s': more than %d options", name, OPTIONS_MOST);
    int cc = 10 * lb_cuda_attribute(d->device, cudaDevAttrComputeCapabilityMajor) +
             lb_cuda_attribute(d->device, cudaDevAttrComputeCapabilityMinor);
    snprintf(arch, sizeof arch, "--gpu-architecture=sm_%d%s", cc, cc == 90 ? "a" : "");
    all[0] = arch;
    for (int i = 0; i < count; i++) all[i + 1] = options[i];
    int n = count + 1;
    if (include_option(include, sizeof include)) all[n++] = include;
    s = build(name, source, all, n, &image, &words);
    lb_cuda_module *m = s ? NULL : calloc(1, sizeof *m);
    if (!s && !m) s = lb_fail(LB_ENOMEM, "compiling '%s': no memory", name);
    if (!s) s = lb_cuda_result(d, cudaSetDevice(d->device), "choosing it");
    if (!s) s = driver_result(d, dr.load(&m->module, image), name, "loading");
    if (m) m->d = d, snprintf(m->name, sizeof m->name, "%s", name);
    free(image);
    if (log) *log = words;
    else free(words);
    if (!s) *out = m;
    else free(m);
    return s;
}

void lb_cuda_module_free(lb_cuda_module *m) {
    if (!m) return;
    if (!m->d->lost && cudaSetDevice(m->d->device) == cudaSuccess) dr.unload(m->module);
    free(m);
}

/* "'a', 'b'": what there is, for an error. */
static void list_functions(lb_cuda_module *m, char *out, size_t bytes) {
    void *functions[64];
    unsigned n = 0;
    size_t at = 0;
    out[0] = 0;
    if (dr.count(&n, m->module)) return;
    if (n > 64) n = 64;
    if (dr.enumerate(functions, n, m->module)) return;
    for (unsigned i = 0; i < n && at < bytes; i++) {
        const char *name = NULL;
        if (dr.name(&name, functions[i]) == 0 && name)
            at += (size_t)snprintf(out + at, bytes - at, "%s'%s'", at ? ", " : "", name);
    }
}

lb_status lb_cuda_function(lb_cuda_module *m, const char *name, void **out, int *registers, int64_t *local_bytes) {
    enum { LOCAL_SIZE = 3, REGISTERS = 4, MAX_DYNAMIC_SHARED = 8 };       /* CUfunction_attribute */
    char names[400];
    int local = 0;
    if (dr.function(out, m->module, name)) {
        list_functions(m, names, sizeof names);
        return lb_fail(LB_EINVAL, "kernel source '%s' has no function '%s'; it has %s%s", m->name, name,
                       names[0] ? names : "none", names[0] ? " (extern \"C\" keeps a name as it is)" : "");
    }
    lb_status s = driver_result(m->d, dr.attribute(registers, REGISTERS, *out), m->name, "asking");
    if (!s) s = driver_result(m->d, dr.attribute(&local, LOCAL_SIZE, *out), m->name, "asking");
    *local_bytes = local;
    int most = lb_cuda_attribute(m->d->device, cudaDevAttrMaxSharedMemoryPerBlockOptin), fixed = 0;
    enum { SHARED_SIZE = 1 };
    if (!s) s = driver_result(m->d, dr.attribute(&fixed, SHARED_SIZE, *out), m->name, "asking");
    if (!s && most > fixed) dr.set(*out, MAX_DYNAMIC_SHARED, most - fixed);
    return s;
}

lb_status lb_cuda_launch_function(void *function, void *stream, const unsigned grid[3], const unsigned block[3],
                                  size_t shared_bytes, void **args) {
    const char *text = NULL;
    int e = dr.launch(function, grid[0], grid[1], grid[2], block[0], block[1], block[2], (unsigned)shared_bytes, stream,
                      args, NULL);
    if (e == 0) return LB_OK;
    dr.text(e, &text);
    return lb_fail(LB_EDEVICE,
                   "launching a kernel of %u x %u x %u blocks of %u x %u x %u threads and %zu bytes of shared "
                   "memory: %s",
                   grid[0], grid[1], grid[2], block[0], block[1], block[2], shared_bytes,
                   text ? text : "unknown error");
}
