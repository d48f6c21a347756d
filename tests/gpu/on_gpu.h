/* on_gpu.h: the CUDA kernels, on a GPU, in the place of the registered kernels. A test of the CPU's kernels (tests/c/) that
 * is included after this tests these instead, with the same cases, oracles and tolerances: operands are taken to the
 * device with all bytes of their buffers, and back, so that what is written beside an output is seen. As emulated.h.
 *
 * LUABENCH_GPU_KERNEL=NAME tests this kernel only, and says at the end how often it was launched; LUABENCH_GPU_LIST=1 prints
 * "kernel NAME OP", or "kernel NAME OP needs another device", of each, and no more (check.sh). */
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
            on_gpu_kernels[on_gpu_all].device = "cpu"; /* so that the engine, whose tensors are the CPU's, finds that it fits */
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

typedef struct on_gpu_buffer { lb_buffer *host, device; } on_gpu_buffer;
static on_gpu_buffer on_gpu_buffers[ON_GPU_BUFFERS];
static int on_gpu_used;

/* Tests lend memory of their own in buffers that do not say how large they are: then it is what the tensor spans. */
static lb_buffer *on_gpu_buffer_of(const lb_cuda_state *s, const lb_tensor *t) {
    lb_buffer *b = t->buffer;
    size_t bytes = b->size_bytes ? b->size_bytes : t->offset_bytes + lb_tensor_size_bytes(t);
    for (int i = 0; i < on_gpu_used; i++)
        if (on_gpu_buffers[i].host == b) return &on_gpu_buffers[i].device;
    if (on_gpu_used == ON_GPU_BUFFERS) on_gpu_stop("too many operands");
    on_gpu_buffer *m = &on_gpu_buffers[on_gpu_used++];
    *m = (on_gpu_buffer){ b, { .device = on_gpu_device, .size_bytes = bytes } };
    if (s->api->alloc(s->dev, bytes + 1, &m->device.data) || (bytes && s->api->put(s->dev, m->device.data, b->data, bytes)))
        on_gpu_stop("operand");
    return &m->device;
}

__attribute__((unused)) static void on_gpu_launch(const lb_kernel *k, const lb_args *a, lb_launch *l) {
    static lb_tensor views[ON_GPU_BUFFERS], *items[ON_GPU_BUFFERS];
    const lb_cuda_state *s = lb_cuda_of(on_gpu_device);
    static void *host_workspace, *workspace;
    unsigned words[LB_CUDA_TICKET_BYTES / 4];
    lb_args on = *a;
    int n = 0;
    size_t bytes = k->workspace_bytes ? k->workspace_bytes(a, 1) : 0;
    if (l->phase == 0 && bytes) {
        host_workspace = l->workspace;
        if (s->api->alloc(s->dev, bytes, &workspace) || s->api->set(s->dev, workspace, 0xff, bytes)) on_gpu_stop(k->name);
    }
    on_gpu_used = 0;
    for (int slot = 0; slot < LB_MAX_OPERANDS; slot++) { /* some tests give no operation */
        on.t[slot].items = &items[n];
        for (int32_t i = 0; i < a->t[slot].count; i++, n++) {
            if (n == ON_GPU_BUFFERS) on_gpu_stop("too many operands");
            views[n] = *a->t[slot].items[i];
            views[n].buffer = on_gpu_buffer_of(s, a->t[slot].items[i]);
            items[n] = &views[n];
        }
    }
    l->stream = s->api->stream(s->dev);
    l->cuda_tickets = s->tickets;
    l->ticket = NULL;
    l->workspace = workspace;
    if (s->api->current(s->dev)) on_gpu_stop(k->name);
    on_gpu_launches++;
    k->launch(&on, l);
    if (s->api->launched(s->dev) || s->api->sync(s->dev)) on_gpu_stop(k->name);
    if (s->api->get(s->dev, words, s->tickets, sizeof words)) on_gpu_stop(k->name);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i]) fail_msg("%s: ticket %zu is %u after the launch", k->name, i, words[i]);
    for (int i = 0; i < on_gpu_used; i++) {
        on_gpu_buffer *m = &on_gpu_buffers[i];
        if (m->device.size_bytes && s->api->get(s->dev, m->host->data, m->device.data, m->device.size_bytes))
            on_gpu_stop(k->name);
        s->api->free(s->dev, m->device.data);
    }
    l->workspace = host_workspace;
    if (bytes && l->phase == (k->phases ? k->phases(a) : 1) - 1) {
        s->api->free(s->dev, workspace);
        workspace = host_workspace = NULL;
    }
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
