/* kernels.c: the CPU's portable kernels as kernels of the played device, and some that do wrong.
 *
 * LUABENCH_FAKE_KERNELS=emulated.so: the CUDA kernels themselves, run by the emulator, in the place of the CPU's.
 * LUABENCH_FAKE_FAULTS=OP, LUABENCH_FAKE_HANGS=OP: what the kernels of an operation do instead. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/cuda/overlap.h"
#include "engine/kernel.h"
#include "engine/ops/slots.h"
#include "fake.h"

enum { MOST = 512 };
const lb_kernel *lb_kernels_cuda[MOST + 1];
static lb_kernel kernels[MOST];

typedef struct call { const lb_kernel *k; lb_args args; lb_launch l; } call;

static const char *(*emulator_error)(void);

/* As a block of a grid would: the launch's operands at the time when the device gets to it. */
static int run(void *arg) {
    call *c = arg;
    atomic_llong ticket;
    atomic_init(&ticket, 0);
    c->l.ticket = &ticket;
    c->k->launch(&c->args, &c->l);
    const char *error = emulator_error ? emulator_error() : NULL;
    if (error) fprintf(stderr, "%s: %s\n", c->k->name, error);
    return error ? (int)cudaErrorLaunchFailure : 0;
}

static int fault(void *arg) { return (void)arg, (int)cudaErrorIllegalAddress; }
static int hang(void *arg) { return (void)arg, (int)sleep(3600); }
static bool told_to(const char *name, const lb_kernel *k) {
    const char *op = getenv(name);
    return op && !strcmp(op, k->op);
}

/* launch() is not told its kernel: one function for each place in the table. */
static const lb_kernel *originals[MOST];
static void launch_at(int i, const lb_args *a, const lb_launch *l) {
    call c = { originals[i], *a, *l };
    /* A GPU's rounds would take a CPU minutes; rates of a played device mean nothing anyhow. */
    double *rounds = strcmp(originals[i]->op, "peak") ? NULL : &c.args.p[LB_PEAK_P_ROUNDS];
    if (rounds && *rounds > 16) *rounds = 16;
    int (*does)(void *) = run;
    if (told_to("LUABENCH_FAKE_HANGS", c.k)) does = hang;
    if (told_to("LUABENCH_FAKE_FAULTS", c.k)) does = fault;
    fake_enqueue(l->stream, does, &c, sizeof c);
}
#define L1(n) static void launch_##n(const lb_args *a, const lb_launch *l) { launch_at(0x##n, a, l); }
#define L16(n) L1(n##0) L1(n##1) L1(n##2) L1(n##3) L1(n##4) L1(n##5) L1(n##6) L1(n##7) L1(n##8) L1(n##9) L1(n##a) \
               L1(n##b) L1(n##c) L1(n##d) L1(n##e) L1(n##f)
L16(0) L16(1) L16(2) L16(3) L16(4) L16(5) L16(6) L16(7)
#define N1(n) launch_##n,
#define N16(n) N1(n##0) N1(n##1) N1(n##2) N1(n##3) N1(n##4) N1(n##5) N1(n##6) N1(n##7) N1(n##8) N1(n##9) N1(n##a) \
               N1(n##b) N1(n##c) N1(n##d) N1(n##e) N1(n##f)
static void (*const launches[])(const lb_args *, const lb_launch *) = {
    N16(0) N16(1) N16(2) N16(3) N16(4) N16(5) N16(6) N16(7)
};
enum { LAUNCHES = sizeof launches / sizeof *launches };

/* ---- kernels that do wrong, or show wrong, chosen by name ---- */

static void launch_fault(const lb_args *a, const lb_launch *l) { fake_enqueue(l->stream, fault, a, sizeof *a); }
static void launch_refused(const lb_args *a, const lb_launch *l) {
    (void)a, (void)l;
    fake_fail(cudaErrorInvalidValue);
}
static int leave_ticket(void *arg) { return (*(unsigned **)arg)[7] = 3, 0; }
static void launch_ticket(const lb_args *a, const lb_launch *l) {
    (void)a;
    fake_enqueue(l->stream, leave_ticket, &l->cuda_tickets, sizeof l->cuda_tickets);
}

/* Two nodes: what the first leaves in the workspace and in a ticket the second makes the result of, which is -1 if
 * another step wrote either of them in between. */
static int two_begin(void *arg) {
    call *c = arg;
    *(double *)c->l.workspace = c->args.p[LB_FILL_P_VALUE];
    c->l.cuda_tickets[3] += (unsigned)c->args.p[LB_FILL_P_VALUE];
    return 0;
}
static int two_end(void *arg) {
    call *c = arg;
    const lb_tensor *out = lb_arg(&c->args, LB_FILL_OUT);
    double value = *(double *)c->l.workspace;
    bool own = value == c->args.p[LB_FILL_P_VALUE] && c->l.cuda_tickets[3] == (unsigned)value;
    for (int64_t i = 0, n = lb_tensor_numel(out); i < n; i++)
        ((float *)lb_tensor_data(out))[i] = own ? (float)value : -1.0f;
    c->l.cuda_tickets[3] = 0;
    return 0;
}
static int show(void *arg) {
    const call *c = arg;
    const lb_tensor *out = lb_arg(&c->args, LB_FILL_OUT);
    for (int64_t i = 0, n = lb_tensor_numel(out); i < n; i++)
        ((float *)lb_tensor_data(out))[i] = (float)c->args.p[LB_FILL_P_VALUE];
    return 0;
}
static void launch_two(const lb_args *a, const lb_launch *l) {
    call c = { NULL, *a, *l };
    fake_enqueue(l->stream, two_begin, &c, sizeof c);
    fake_enqueue(l->stream, two_end, &c, sizeof c);
}
static size_t two_workspace(const lb_args *a, int parts) { return (void)a, (void)parts, 256; }

/* out = 1 where this launch might overlap the one before it, else 2. */
static void launch_overlap(const lb_args *a, const lb_launch *l) {
    call c = { NULL, *a, *l };
    c.args.p[LB_FILL_P_VALUE] = lb_cuda_may_overlap() ? 1 : 2;
    fake_enqueue(l->stream, show, &c, sizeof c);
}

static void launch_hang(const lb_args *a, const lb_launch *l) { fake_enqueue(l->stream, hang, a, sizeof *a); }

#define WRONG(what, fn) { .name = "fill.f32." what, .op = "fill", .device = "cuda", .about = what, .source = "tests", \
                          .tolerance_why = "-", .priority = 0, .launch = fn }
static const lb_kernel wrong[] = {
    WRONG("fake_fault", launch_fault), WRONG("fake_refused", launch_refused), WRONG("fake_ticket", launch_ticket),
    WRONG("hanging", launch_hang), WRONG("shows_overlap", launch_overlap),
    { .name = "fill.f32.fake_two_nodes", .op = "fill", .device = "cuda", .about = "two nodes, a workspace and a ticket",
      .source = "tests", .tolerance_why = "-", .workspace_bytes = two_workspace, .launch = launch_two },
};

static void add(int n, const lb_kernel *k, const char *name) {
    originals[n] = k;
    kernels[n] = *k;
    kernels[n].name = name;
    kernels[n].device = "cuda";
    kernels[n].launch = launches[n];
    lb_kernels_cuda[n] = &kernels[n];
}

static int add_emulated(const char *path) {
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const lb_kernel *const *(*all)(void);
    int n = 0;
    if (!so) return fprintf(stderr, "%s\n", dlerror()), 0;
    *(void **)&all = dlsym(so, "lb_emu_kernels");
    *(void **)&emulator_error = dlsym(so, "lb_emu_error_take");
    for (; all && all()[n] && n < LAUNCHES; n++) add(n, all()[n], all()[n]->name);
    return n;
}

static int add_portable(void) {
    const lb_kernel *const *builtin = dlsym(RTLD_DEFAULT, "lb_kernels_builtin");
    int n = 0;
    for (int i = 0; builtin && builtin[i] && n < LAUNCHES; i++) {
        const lb_kernel *k = builtin[i];
        const char *dot = strrchr(k->name, '.');
        if (strcmp(dot, ".portable") != 0 || k->layout || k->panel_weights) continue;
        char *name = malloc(strlen(k->name) + 1);
        sprintf(name, "%.*s.fake", (int)(dot - k->name), k->name);
        add(n, k, name);
        kernels[n++].isa = LB_ISA_SM80;
    }
    return n;
}

__attribute__((constructor)) static void fill_table(void) {
    const char *emulated = getenv("LUABENCH_FAKE_KERNELS");
    int n = emulated && *emulated ? add_emulated(emulated) : add_portable();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) lb_kernels_cuda[n++] = &wrong[i];
}
