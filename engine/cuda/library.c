/* library.c: CUDA's large libraries (cuBLASLt, NVRTC), found at run time: in the loader's path, in a toolkit, or in the
 * packages that PyTorch brings. */
#include "library.h"

#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct library { char name[16]; void *so; char from[800]; } library;

static library known[8];
static int known_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* NVRTC opens its builtins by name alone: where the loader does not look, what lies beside it is there already then. */
static void open_builtins(const library *l, const char *path) {
    char pattern[900];
    glob_t g;
    const char *slash = strrchr(path, '/');
    if (!slash) return;
    snprintf(pattern, sizeof pattern, "%.*s/lib%s-builtins.so.*", (int)(slash - path), path, l->name);
    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; i < g.gl_pathc; i++) dlopen(g.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&g);
}

static bool open_at(library *l, const char *path) {
    l->so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!l->so) return false;
    snprintf(l->from, sizeof l->from, "%s", path);
    open_builtins(l, path);
    return true;
}

/* The newest file that the pattern meets: names end in their major version. */
static bool open_glob(library *l, const char *pattern) {
    glob_t g;
    bool found = false;
    if (glob(pattern, GLOB_TILDE, NULL, &g) == 0)
        for (size_t i = g.gl_pathc; i-- > 0 && !found;) found = open_at(l, g.gl_pathv[i]);
    globfree(&g);
    return found;
}

/* A folder of Python packages: PyTorch for CUDA 13 has one folder for all, before that each library had its own. */
static bool open_in_packages(library *l, const char *site) {
    static const char *const folders[] = { "nvidia/cu1*/lib", "nvidia/cublas/lib", "nvidia/cuda_nvrtc/lib",
                                           "torch/lib" };
    char pattern[700];
    for (size_t i = 0; i < sizeof folders / sizeof *folders && !l->so; i++) {
        snprintf(pattern, sizeof pattern, "%s/%s/lib%s.so.1[23]", site, folders[i], l->name);
        if (open_glob(l, pattern)) break;
    }
    return l->so != NULL;
}

static void search(library *l) {
    static const char *const sites[] = { "/opt/*/.venv/lib/python3*/site-packages", "/opt/*/lib/python3*/site-packages",
                                         "/usr/local/lib/python3*/*-packages", "/usr/lib/python3*/*-packages",
                                         "~/.local/lib/python3*/site-packages" };
    char path[600];
    const char *own = getenv("LUABENCH_CUDA_LIBRARIES"), *home = getenv("CUDA_HOME"), *venv = getenv("VIRTUAL_ENV");
    if (own && *own) {
        snprintf(path, sizeof path, "%s/lib%s.so*", own, l->name);
        open_glob(l, path);
        return;         /* who names a folder wants it and no other */
    }
    for (int v = 13; v >= 12 && !l->so; v--) {
        snprintf(path, sizeof path, "lib%s.so.%d", l->name, v);
        open_at(l, path);
    }
    snprintf(path, sizeof path, "%s/lib64/lib%s.so.1[23]", home ? home : "/usr/local/cuda", l->name);
    if (!l->so) open_glob(l, path);
    snprintf(path, sizeof path, "/usr/local/cuda-1*/lib64/lib%s.so.1[23]", l->name);
    if (!l->so) open_glob(l, path);
    snprintf(path, sizeof path, "%s/lib/python3*/site-packages", venv ? venv : "/nowhere");
    if (!l->so && venv) open_in_packages(l, path);
    for (size_t i = 0; i < sizeof sites / sizeof *sites && !l->so; i++) open_in_packages(l, sites[i]);
}

void *lb_cuda_library(const char *name, const char **from) {
    library *l = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < known_count; i++)
        if (strcmp(known[i].name, name) == 0) l = &known[i];
    if (!l && known_count < (int)(sizeof known / sizeof *known)) {
        l = &known[known_count++];
        snprintf(l->name, sizeof l->name, "%s", name);
        search(l);
        if (!l->so)
            snprintf(l->from, sizeof l->from,
                     "lib%s.so.13 (or .12) is neither in the loader's path nor in a CUDA toolkit nor in "
                     "PyTorch's packages; LUABENCH_CUDA_LIBRARIES=FOLDER says where it is",
                     name);
    }
    pthread_mutex_unlock(&lock);
    if (from) *from = l ? l->from : "too many libraries";
    return l ? l->so : NULL;
}

/* ---- what was refused ---- */

static _Thread_local char refusal[200];
static _Thread_local bool refused;

void lb_cuda_refuse(const char *format, ...) {
    va_list list;
    if (refused) return;
    refused = true;
    va_start(list, format);
    vsnprintf(refusal, sizeof refusal, format, list);
    va_end(list);
}

const char *lb_cuda_refused(void) {
    const char *why = refused ? refusal : NULL;
    refused = false;
    return why;
}
