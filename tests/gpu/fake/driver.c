/* driver.c: modules and launches of the driver's own interface, for what nvrtc.c compiled. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"

enum { ARGS_MOST = 64, THREADS_MOST = 1024, SUCCESS = 0, INVALID_VALUE = 1, NOT_FOUND = 500 };
typedef struct function {
    void (*run)(void **, const unsigned *, const unsigned *);
    int (*size)(int);
    char name[64];
} function;
typedef struct call { const function *f; unsigned grid[3], block[3]; unsigned long long values[ARGS_MOST]; } call;

static int find_symbol(void *so, const char *what, const char *name, void *out) {
    char symbol[128];
    snprintf(symbol, sizeof symbol, "fake_%s_%s", what, name);
    void *f = dlsym(so, symbol);
    memcpy(out, &f, sizeof f);
    return f != NULL;
}

static int module_load(void **module, const void *image) {
    *module = dlopen(image, RTLD_NOW | RTLD_LOCAL);
    unlink(image);
    return *module ? SUCCESS : 200;
}
static int module_unload(void *module) { return dlclose(module), SUCCESS; }
static int module_function(void **out, void *module, const char *name) {
    function *f = calloc(1, sizeof *f);
    snprintf(f->name, sizeof f->name, "%s", name);
    if (!find_symbol(module, "run", name, &f->run) || !find_symbol(module, "size", name, &f->size)) return free(f),
        NOT_FOUND;
    return *out = f, SUCCESS;
}
static int function_attribute(int *value, int what, void *f) { return (void)f, *value = what == 4 ? 32 : 0, SUCCESS; }
static int function_set(void *f, int what, int value) { return (void)f, (void)what, (void)value, SUCCESS; }
static const char *const *names_of(void *module) { return dlsym(module, "fake_names"); }
static int function_count(unsigned *n, void *module) {
    const char *const *names = names_of(module);
    for (*n = 0; names && names[*n]; ++*n) {}
    return SUCCESS;
}
static int enumerate(void **functions, unsigned n, void *module) {
    for (unsigned i = 0; i < n; i++) module_function(&functions[i], module, names_of(module)[i]);
    return SUCCESS;
}
static int function_name(const char **name, void *f) { return *name = ((function *)f)->name, SUCCESS; }
static int error_string(int e, const char **text) {
    *text = e == INVALID_VALUE ? "invalid argument" : e == NOT_FOUND ? "named symbol not found" : "an error";
    return SUCCESS;
}

static int run(void *arg) {
    call *c = arg;
    void *args[ARGS_MOST];
    for (int i = 0; i < ARGS_MOST; i++) args[i] = &c->values[i];
    c->f->run(args, c->grid, c->block);
    return SUCCESS;
}

/* The values are taken when it is called, the work is done when the stream gets to it. */
static int launch(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                  unsigned shared,
                  void *stream, void **args, void **extra) {
    call c = { .f = f, .grid = { gx, gy, gz }, .block = { bx, by, bz } };
    (void)extra;
    if (!gx || gy - 1 > 65534 || gz - 1 > 65534 || !bx || !by || !bz || (unsigned long)bx * by * bz > THREADS_MOST ||
        shared > 227 << 10)
        return INVALID_VALUE;
    for (int i = 0; i < ARGS_MOST && c.f->size(i); i++) memcpy(&c.values[i], args[i], (size_t)c.f->size(i));
    fake_enqueue(stream, run, &c, sizeof c);
    return SUCCESS;
}

void *fake_driver_function(const char *name) {
    static const struct { const char *name; void *f; } all[] = {
        { "cuModuleLoadData", (void *)module_load }, { "cuModuleUnload", (void *)module_unload },
        { "cuModuleGetFunction", (void *)module_function }, { "cuFuncGetAttribute", (void *)function_attribute },
        { "cuFuncSetAttribute", (void *)function_set }, { "cuModuleGetFunctionCount", (void *)function_count },
        { "cuModuleEnumerateFunctions", (void *)enumerate }, { "cuFuncGetName", (void *)function_name },
        { "cuLaunchKernel", (void *)launch }, { "cuGetErrorString", (void *)error_string },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) return all[i].f;
    return NULL;
}
