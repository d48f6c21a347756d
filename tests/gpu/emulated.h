/* emulated.h: the CUDA kernels, run on the CPU by the emulator, in the place of the registered kernels. A test of the
 * CPU's kernels (tests/c/) that is included after this tests these instead, with the same cases, oracles and
 * tolerances. */
#pragma once
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernel.h"

enum { EMULATED_MOST = 512, EMULATED_TICKETS = 8192 };
static lb_kernel emulated_kernels[EMULATED_MOST];
static const lb_kernel *emulated_originals[EMULATED_MOST];
static int emulated_count = -1;
static unsigned emulated_tickets[EMULATED_TICKETS];
static struct {
    void (*seed)(uint64_t);
    const char *(*error_take)(void);
    uint64_t (*launches)(void);
} emulator;

static void *emulated_symbol(void *so, const char *name) {
    void *s = dlsym(so, name);
    if (!s) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return s;
}

/* emulated.so lies beside the program. */
static void emulated_load(void) {
    char path[4096];
    Dl_info here;
    if (!dladdr((void *)(uintptr_t)&lb_kernel_find, &here)) exit(1);
    const char *slash = strrchr(here.dli_fname, '/');
    snprintf(path, sizeof path, "%.*s/emulated.so", slash ? (int)(slash - here.dli_fname) : 1,
             slash ? here.dli_fname : ".");
    void *so = dlopen(path, RTLD_NOW);
    if (!so) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    *(void **)&emulator.seed = emulated_symbol(so, "lb_emu_seed");
    *(void **)&emulator.error_take = emulated_symbol(so, "lb_emu_error_take");
    *(void **)&emulator.launches = emulated_symbol(so, "lb_emu_launches");
    const lb_kernel *const *(*kernels)(void);
    *(void **)&kernels = emulated_symbol(so, "lb_emu_kernels");
    for (emulated_count = 0; kernels()[emulated_count]; emulated_count++) {
        if (emulated_count == EMULATED_MOST) exit(1);
        lb_kernel *k = &emulated_kernels[emulated_count];
        emulated_originals[emulated_count] = kernels()[emulated_count];
        *k = *kernels()[emulated_count];
        k->device = "cpu"; /* so that the engine, whose tensors are the CPU's, finds that it fits */
        k->isa = 0;
        k->serial = true;  /* the executor launches them once, whole */
    }
}

static int emulated_kernel_count(void) {
    if (emulated_count < 0) emulated_load();
    return emulated_count;
}
static const lb_kernel *emulated_kernel_at(int i) { return &emulated_kernels[i]; }

/* The kernel whose layout fused kernels read weights of this format in. */
static inline const lb_kernel *emulated_panel_for(const lb_device *d, const lb_quantizer *q) {
    (void)d;
    for (int i = 0; i < emulated_kernel_count(); i++) {
        const lb_kernel *k = &emulated_kernels[i];
        if (k->panel && k->layout && k->format && !strcmp(k->format, q->family->name)) return k;
    }
    return NULL;
}

/* Operations of which a case found no CUDA kernel: told once at the end. Returns 1. */
static const char *emulated_without[64];
static void emulated_tell(void) {
    for (int i = 0; i < 64 && emulated_without[i]; i++)
        printf("%s %s", i ? "," : "no CUDA kernel for some or all cases of", emulated_without[i]);
    if (emulated_without[0]) printf("\n");
}
static inline int emulated_none(const char *op) {
    int i = 0;
    if (!emulated_without[0]) atexit(emulated_tell);
    while (i < 63 && emulated_without[i] && strcmp(emulated_without[i], op)) i++;
    emulated_without[i] = op;
    return 1;
}

/* Turns are taken in another order at each launch: ascending, descending, then at random. */
static void emulated_launch(const lb_kernel *k, const lb_args *a, lb_launch *l) {
    static uint64_t count;
    uint64_t seed = count++ % 4;
    const char *set = getenv("LUABENCH_EMULATED_SEED");
    if (seed > 1) seed = count;
    if (set) seed = strtoull(set, NULL, 10);
    emulator.seed(seed);
    l->cuda_tickets = emulated_tickets;
    l->ticket = NULL;
    k->launch(a, l);
    const char *error = emulator.error_take();
    if (error) fail_msg("%s: %s (LUABENCH_EMULATED_SEED=%llu)", k->name, error, (unsigned long long)seed);
    for (int i = 0; i < EMULATED_TICKETS; i++)
        if (emulated_tickets[i]) fail_msg("%s: ticket %d is %u after the launch", k->name, i, emulated_tickets[i]);
}

#define lb_kernel_count emulated_kernel_count
#define lb_kernel_at emulated_kernel_at
#define lb_kernel_panel_for emulated_panel_for
#define TEST_LAUNCH(k, a, l) emulated_launch(k, a, l)
/* Cases that no CUDA kernel takes (yet) are counted and told. */
#define TEST_EMULATED 1
/* The emulator is slow: what is tried with everything else elsewhere is tried with some of it here. */
#define TEST_THINNED 1
#define NOTHING_TESTED emulated_none("gemm, moe_ffn")
