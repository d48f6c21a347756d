/* on_gpu.h: the CUDA kernels, on a GPU, in the place of the registered kernels. A test of the CPU's kernels (tests/c/)
 * that is included after this tests these instead, with the same cases, oracles and tolerances: operands are taken to
 * the device with all bytes of their buffers, and back, between guards, so that what is written beside them is seen. As
 * emulated.h.
 *
 * LUABENCH_GPU_KERNEL=NAME tests this kernel only, and says at the end how often it was launched; LUABENCH_GPU_LIST=1
 * prints "kernel NAME OP", or "kernel NAME OP needs another device", of each, and no more (check.sh).
 * LUABENCH_GPU_GUARDS=0: each operand is an allocation of its own without guards, so that compute-sanitizer sees what
 * is read or written beside it. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/device_cuda.h"
#include "engine/kernel.h"

enum { ON_GPU_MOST = 512, ON_GPU_BUFFERS = 8192 };
static lb_kernel on_gpu_kernels[ON_GPU_MOST];
static const lb_kernel *on_gpu_originals[ON_GPU_MOST];
static int on_gpu_count = -1, on_gpu_all;          /* those that are tested stand before the others */
static int64_t on_gpu_launches;
static lb_device *on_gpu_device;

static void on_gpu_stop(const char *what) {
    fprintf(stderr, "%s: %s\n", what, lb_error());
    exit(1);
}

static void on_gpu_tell_launches(void) { printf("launches: %lld\n", (long long)on_gpu_launches); }

static void on_gpu_load(void) {
    const char *name = getenv("LUABENCH_GPU");
    on_gpu_count = 0;
    if (lb_device_open(name ? name : "cuda:0", 0, &on_gpu_device)) {
        fprintf(stderr, "%s\n", lb_error());
        exit(77);
    }
    const lb_cuda_state *s = lb_cuda_of(on_gpu_device);
    const char *only = getenv("LUABENCH_GPU_KERNEL"), *list = getenv("LUABENCH_GPU_LIST");
    for (int tested = 1; tested >= 0; tested--)
        for (int i = 0; s->api->kernels[i] && on_gpu_all < ON_GPU_MOST; i++) {
            const lb_kernel *k = s->api->kernels[i];
            bool runs = (lb_device_caps_of(on_gpu_device)->isa & k->isa) == k->isa;
            if ((!only || !strcmp(only, k->name)) != tested) continue;
            if (list) printf("kernel %s %s%s\n", k->name, k->op, runs ? "" : " needs another device");
            else if (!runs && tested) printf("%s: needs what this device does not have; not run\n", k->name);
            if (!runs) continue;
            on_gpu_originals[on_gpu_all] = k;
            on_gpu_kernels[on_gpu_all] = *k;
            /* so that the engine, whose tensors are the CPU's, finds that it fits */
            on_gpu_kernels[on_gpu_all].device = "cpu";
            on_gpu_kernels[on_gpu_all].isa = 0;
            on_gpu_kernels[on_gpu_all++].serial = true;
            if (tested) on_gpu_count = on_gpu_all;
        }
    if (list) exit(0);
    if (only) atexit(on_gpu_tell_launches);
}

static int on_gpu_kernel_count(void) {
    if (on_gpu_count < 0) on_gpu_load();
    return on_gpu_count;
}
static const lb_kernel *on_gpu_kernel_at(int i) { return &on_gpu_kernels[i]; }

/* The kernel whose layout fused kernels read weights of this format in; also where that one is not tested now. */
static inline const lb_kernel *on_gpu_panel_for(const lb_device *d, const lb_quantizer *q) {
    (void)d;
    on_gpu_kernel_count();
    for (int i = 0; i < on_gpu_all; i++) {
        const lb_kernel *k = &on_gpu_kernels[i];
        if (k->panel && k->layout && k->format && !strcmp(k->format, q->family->name)) return k;
    }
    return NULL;
}

/* The device's copy of a buffer, at an address that is aligned as the host's, between two guards. */
enum { ON_GPU_GUARD = 256, ON_GPU_CANARY = 0x5c };
typedef struct on_gpu_buffer { lb_buffer *host, device; char *base; size_t bytes; bool guarded; } on_gpu_buffer;
static on_gpu_buffer on_gpu_buffers[ON_GPU_BUFFERS], on_gpu_workspace;
static int on_gpu_used;

/* Guarded memory, all of it canaries; m->device.data is `aligned` beyond a multiple of 256. Without guards: `bytes` of
 * the driver's own, aligned to 256. */
static void on_gpu_alloc(on_gpu_buffer *m, size_t bytes, size_t aligned, const char *what) {
    const lb_cuda_state *s = lb_cuda_of(on_gpu_device);
    const char *guards = getenv("LUABENCH_GPU_GUARDS");
    void *base;
    m->guarded = !guards || strcmp(guards, "0");
    m->bytes = m->guarded ? bytes + aligned + 2 * ON_GPU_GUARD : bytes ? bytes : 1;
    lb_status st = m->guarded ? lb_device_alloc(on_gpu_device, m->bytes, &base) :
        s->api->alloc(s->dev, m->bytes, &base);
    if (st || s->api->set(s->dev, base, ON_GPU_CANARY, m->bytes)) on_gpu_stop(what);
    m->base = base;
    m->device.data = m->guarded ? m->base + ON_GPU_GUARD + aligned : m->base;
    m->device.size_bytes = bytes;
}
/* False: something was written beside it. */
static bool on_gpu_free(on_gpu_buffer *m, const char *what) {
    const lb_cuda_state *s = lb_cuda_of(on_gpu_device);
    char *data = m->device.data, guard[2 * ON_GPU_GUARD];
    bool intact = true;
    if (!m->guarded) {
        s->api->free(s->dev, m->base);
        return true;
    }
    size_t behind = (size_t)(m->base + m->bytes - data) - m->device.size_bytes;      /* 256 */
    if (s->api->get(s->dev, guard, data - ON_GPU_GUARD, ON_GPU_GUARD) ||
        s->api->get(s->dev, guard + ON_GPU_GUARD, data + m->device.size_bytes, behind))
        on_gpu_stop(what);
    for (size_t i = 0; i < ON_GPU_GUARD + behind; i++) intact &= guard[i] == ON_GPU_CANARY;
    lb_device_free(on_gpu_device, m->base, m->bytes);
    return intact;
}

/* Tests lend memory of their own in buffers that do not say how large they are: then it is what the tensor spans. */
static lb_buffer *on_gpu_buffer_of(const lb_tensor *t) {
    const lb_cuda_state *s = lb_cuda_of(on_gpu_device);
    lb_buffer *b = t->buffer;
    size_t bytes = b->size_bytes ? b->size_bytes : t->offset_bytes + lb_tensor_size_bytes(t);
    for (int i = 0; i < on_gpu_used; i++)
        if (on_gpu_buffers[i].host == b) return &on_gpu_buffers[i].device;
    if (on_gpu_used == ON_GPU_BUFFERS) on_gpu_stop("too many operands");
    on_gpu_buffer *m = &on_gpu_buffers[on_gpu_used++];
    *m = (on_gpu_buffer){ b, { .device = on_gpu_device }, NULL, 0, false };
    on_gpu_alloc(m, bytes, (uintptr_t)b->data % 256, "operand");
    if (bytes && s->api->put(s->dev, m->device.data, b->data, bytes)) on_gpu_stop("operand");
    return &m->device;
}

/* What was wrong is said when all is put back, so that the next case begins as the first one. */
static void on_gpu_end(const lb_kernel *k) {
    const lb_cuda_state *s = lb_cuda_of(on_gpu_device);
    static unsigned words[LB_CUDA_TICKET_BYTES / 4];
    size_t ticket = 0, tickets = sizeof words / sizeof *words;
    bool intact = true;
    if (s->api->sync(s->dev) || s->api->get(s->dev, words, s->tickets, sizeof words)) on_gpu_stop(k->name);
    while (ticket < tickets && !words[ticket]) ticket++;
    if (ticket < tickets && s->api->set(s->dev, s->tickets, 0, sizeof words)) on_gpu_stop(k->name);
    for (int i = 0; i < on_gpu_used; i++) {
        on_gpu_buffer *m = &on_gpu_buffers[i];
        if (m->device.size_bytes && s->api->get(s->dev, m->host->data, m->device.data, m->device.size_bytes))
            on_gpu_stop(k->name);
        intact &= on_gpu_free(m, k->name);
    }
    on_gpu_used = 0;
    if (on_gpu_workspace.base) intact &= on_gpu_free(&on_gpu_workspace, k->name);
    on_gpu_workspace.base = NULL;
    if (ticket < tickets) fail_msg("%s: ticket %zu is %u after the launch", k->name, ticket, words[ticket]);
    if (!intact) fail_msg("%s: writes outside of an operand or its workspace", k->name);
}

/* Operands come with the first phase and go back after the last one: between them nothing waits, as in a plan. */
__attribute__((unused)) static void on_gpu_launch(const lb_kernel *k, const lb_args *a, lb_launch *l) {
    static lb_tensor views[ON_GPU_BUFFERS], *items[ON_GPU_BUFFERS];
    const lb_cuda_state *s = lb_cuda_of(on_gpu_device);
    lb_args on = *a;
    void *host_workspace = l->workspace;
    int n = 0;
    size_t bytes = k->workspace_bytes ? k->workspace_bytes(a, 1) : 0;
    if (l->phase == 0 && bytes) {
        on_gpu_alloc(&on_gpu_workspace, bytes, 0, k->name);
        if (s->api->set(s->dev, on_gpu_workspace.device.data, 0xff, bytes)) on_gpu_stop(k->name);
    }
    for (int slot = 0; slot < LB_MAX_OPERANDS; slot++) { /* some tests give no operation */
        on.t[slot].items = &items[n];
        for (int32_t i = 0; i < a->t[slot].count; i++, n++) {
            if (n == ON_GPU_BUFFERS) on_gpu_stop("too many operands");
            views[n] = *a->t[slot].items[i];
            views[n].buffer = on_gpu_buffer_of(a->t[slot].items[i]);
            items[n] = &views[n];
        }
    }
    l->stream = s->api->stream(s->dev);
    l->cuda_tickets = s->tickets;
    l->ticket = NULL;
    l->workspace = bytes ? on_gpu_workspace.device.data : NULL;
    if (s->api->current(s->dev)) on_gpu_stop(k->name);
    on_gpu_launches++;
    k->launch(&on, l);
    if (s->api->launched(s->dev)) on_gpu_stop(k->name);
    l->workspace = host_workspace;
    if (l->phase == (k->phases ? k->phases(a) : 1) - 1) on_gpu_end(k);
}

static const char *on_gpu_without[64];
static void on_gpu_tell(void) {
    for (int i = 0; i < 64 && on_gpu_without[i]; i++)
        printf("%s %s", i ? "," : "no CUDA kernel for some or all cases of", on_gpu_without[i]);
    if (on_gpu_without[0]) printf("\n");
}
static inline int on_gpu_none(const char *op) {
    int i = 0;
    if (getenv("LUABENCH_GPU_KERNEL")) return 1; /* the others' operations are not the matter */
    if (!on_gpu_without[0]) atexit(on_gpu_tell);
    while (i < 63 && on_gpu_without[i] && strcmp(on_gpu_without[i], op)) i++;
    on_gpu_without[i] = op;
    return 1;
}
#define emulated_none on_gpu_none

#define lb_kernel_count on_gpu_kernel_count
#define lb_kernel_at on_gpu_kernel_at
#define lb_kernel_panel_for on_gpu_panel_for
#define TEST_LAUNCH(k, a, l) on_gpu_launch(k, a, l)
#define TEST_EMULATED 1
#define NOTHING_TESTED on_gpu_none("gemm, moe_ffn")
#define TEST_NOT_RUN(k, format, why) printf("%s %s: not run: %s\n", (k)->name, format, why)
#define TEST_FITS_NONE(k, why) printf("%s: not run: %s\n", (k)->name, why ? why : "it fits no case")
#define TEST_ROWS { M_MAX, 33, 17, 16, 13, 8, 5, 3, 2, 1, 0 }
#define TEST_WIDE { 300, 256, 131 }
#define TEST_TOO_SLOW(n, k) false
