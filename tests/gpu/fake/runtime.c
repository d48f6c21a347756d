/* runtime.c: the CUDA runtime of a device played on the CPU, but for streams and graphs (graphs.c); see fake.h.
 *
 * LUABENCH_FAKE=devices=N,memory=MiB,driver=V,cc=90: what there is; driver below 13000 is too old; bodies=N: the most
 * that a conditional node may have; choices=N: how many conditional nodes are made before they are refused. */
#include "fake.h"

#include "engine/cuda/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ARENA = 1 << 30, LINE = 256, SMS = 3 };

static cudaError_t last, sticky;
static char *arena;
static size_t used, most;
static int current_device;

long fake_setting(const char *key, long value) {
    const char *text = getenv("LUABENCH_FAKE"), *at = text ? strstr(text, key) : NULL;
    return at ? strtol(at + strlen(key), NULL, 10) : value;
}

cudaError_t fake_result(cudaError_t e) {
    if (sticky) e = sticky;
    if (e) last = e;
    return e;
}
void fake_fail(cudaError_t e) { fake_result(e); }

static void open_memory(int open) {
    if (arena) mprotect(arena, ARENA, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}
void fake_work_begin(void) { open_memory(1); }
void fake_work(int (*fn)(void *), void *arg) {
    if (!sticky) sticky = (cudaError_t)fn(arg);
}
void fake_work_end(void) { open_memory(0); }

/* ---- memory: a first-fit list over one range of addresses ---- */

typedef struct piece { struct piece *next; size_t at, bytes; } piece;
static piece *pieces;            /* those in use, by address */

static size_t round_line(size_t n) { return (n + LINE - 1) / LINE * LINE; }

cudaError_t cudaMalloc(void **p, size_t bytes) {
    if (sticky) return fake_result(sticky);
    if (!arena) {
        arena = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        madvise(arena, ARENA, MADV_HUGEPAGE); /* opening and closing it is a matter of its pages */
        most = (size_t)fake_setting("memory=", 512) << 20;
    }
    size_t at = 0;
    piece **where = &pieces;
    bytes = round_line(bytes);
    while (*where && (*where)->at - at < bytes) at = (*where)->at + (*where)->bytes, where = &(*where)->next;
    if (at + bytes > ARENA || used + bytes > most) return fake_result(cudaErrorMemoryAllocation);
    piece *n = malloc(sizeof *n);
    *n = (piece){ *where, at, bytes };
    *where = n;
    used += bytes;
    *p = arena + at;
    open_memory(1);
    memset(*p, 0xcb, bytes);
    open_memory(0);
    return fake_result(cudaSuccess);
}

cudaError_t cudaFree(void *p) {
    for (piece **w = &pieces; p && *w; w = &(*w)->next) {
        piece *gone = *w;
        if (arena + gone->at != p) continue;
        used -= gone->bytes;
        *w = gone->next;
        free(gone);
        return fake_result(cudaSuccess);
    }
    return fake_result(p ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaMemGetInfo(size_t *room, size_t *all) {
    if (!most) most = (size_t)fake_setting("memory=", 512) << 20;
    *all = most;
    *room = most - used;
    return fake_result(cudaSuccess);
}
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags) { return (void)flags, *p = calloc(1, bytes),
    fake_result(cudaSuccess); }
cudaError_t cudaHostGetDevicePointer(void **d, void *host, unsigned flags) { return (void)flags, *d = host,
    fake_result(cudaSuccess); }
cudaError_t cudaFreeHost(void *p) { return free(p), cudaSuccess; }

typedef struct move { void *to; const void *from; size_t bytes; int byte; } move;
static int in_arena(const void *p) { return arena && (const char *)p >= arena && (const char *)p < arena + ARENA; }
static int do_copy(void *arg) {
    const move *m = arg;
    memmove(m->to, m->from, m->bytes);
    return 0;
}
static int do_set(void *arg) {
    const move *m = arg;
    memset(m->to, m->byte, m->bytes);
    return 0;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t s) {
    int want_to = kind != cudaMemcpyDeviceToHost, want_from = kind != cudaMemcpyHostToDevice;
    if (in_arena(to) != want_to || in_arena(from) != want_from) return fake_result(cudaErrorInvalidValue);
    move m = { to, from, bytes, 0 };
    fake_enqueue(s, do_copy, &m, sizeof m);
    return fake_result(cudaSuccess);
}
cudaError_t cudaMemsetAsync(void *p, int byte, size_t bytes, cudaStream_t s) {
    move m = { p, NULL, bytes, byte };
    if (!in_arena(p)) return fake_result(cudaErrorInvalidValue);
    fake_enqueue(s, do_set, &m, sizeof m);
    return fake_result(cudaSuccess);
}

/* ---- the device ---- */

cudaError_t cudaDriverGetVersion(int *v) { return *v = (int)fake_setting("driver=", 13000), cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *v) { return *v = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *n) {
    *n = (int)fake_setting("devices=", 2);
    if (fake_setting("driver=", 13000) < 13000) return fake_result(cudaErrorInsufficientDriver);
    return fake_result(*n ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int *d) { return *d = current_device, fake_result(cudaSuccess); }
cudaError_t cudaSetDevice(int d) {
    if (d < 0 || d >= fake_setting("devices=", 2)) return fake_result(cudaErrorInvalidDevice);
    return current_device = d, fake_result(cudaSuccess);
}
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) { return *can = device != peer,
    fake_result(cudaSuccess); }

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr what, int device) {
    int cc = (int)fake_setting("cc=", 90);
    (void)device;
    switch (what) {
    case cudaDevAttrMultiProcessorCount: *value = SMS; break;
    case cudaDevAttrL2CacheSize: *value = 1 << 20; break;
    case cudaDevAttrComputeCapabilityMajor: *value = cc / 10; break;
    case cudaDevAttrComputeCapabilityMinor: *value = cc % 10; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 227 << 10; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    default: *value = 0;
    }
    return fake_result(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
    int cc = (int)fake_setting("cc=", 90);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "played on the CPU");
    p->major = cc / 10, p->minor = cc % 10;
    p->multiProcessorCount = SMS;
    p->l2CacheSize = 1 << 20;
    p->pciBusID = device + 1;
    return fake_result(cudaSuccess);
}

cudaError_t cudaGetLastError(void) {
    cudaError_t e = sticky ? sticky : last;
    last = cudaSuccess;
    return e;
}
const char *cudaGetErrorName(cudaError_t e) {
    return e == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress" : e == cudaErrorInvalidValue ?
        "cudaErrorInvalidValue"
         : e == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaError";
}
const char *cudaGetErrorString(cudaError_t e) {
    return e == cudaErrorIllegalAddress ? "an illegal memory access was encountered"
         : e == cudaErrorInvalidValue ? "invalid argument" : "an error";
}
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **f, unsigned version, unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *got) {
    (void)version, (void)flags, (void)got;
    *f = fake_driver_function(name);
    return fake_result(*f ? cudaSuccess : cudaErrorInvalidValue);
}

/* ---- what decide.cu has ---- */

typedef struct decisions {
    lb_cuda_decision at[LB_CUDA_DECISIONS];
    unsigned long long handles[LB_CUDA_DECISIONS];
    int n;
    lb_cuda_decided *out;
} decisions;
static int do_decide(void *arg) {
    const decisions *d = arg;
    for (int i = 0; i < d->n; i++) {
        const lb_cuda_decision *one = &d->at[i];
        bool run = true;
        for (int w = 0; w < one->when_count && run; w++) run = *one->whens[w] != 0;
        int pick = run && one->pick ? *one->pick : 0;
        if ((unsigned)pick >= (unsigned)one->bodies) {
            uint64_t bad = (uint64_t)one->step << 32 | (uint32_t)pick;
            if (bad < d->out->bad) d->out->bad = bad;
            run = false;
        }
        if (run) d->out->launches += (uint64_t)one->steps;
        fake_choose(d->handles[i], one->pick ? (unsigned)(run ? pick : one->bodies) : run);
    }
    return 0;
}
cudaError_t lb_cuda_decide_launch(cudaStream_t s, const lb_cuda_decision *at, const unsigned long long *handles, int n,
                                  lb_cuda_decided *out);
cudaError_t lb_cuda_decide_launch(cudaStream_t s, const lb_cuda_decision *at, const unsigned long long *handles, int n,
                                  lb_cuda_decided *out) {
    decisions d = { .n = n, .out = out };
    memcpy(d.at, at, (size_t)n * sizeof *at);
    memcpy(d.handles, handles, (size_t)n * sizeof *handles);
    fake_enqueue(s, do_decide, &d, sizeof d);
    return fake_result(cudaSuccess);
}

/* ---- what time.cu has ---- */

typedef struct gate { volatile unsigned *at; unsigned turn; } gate;
/* A stream that is waited for while its gate is shut would wait for ever: so a wait finds the gate open, or it is an
 * error. */
static int do_gate(void *arg) {
    const gate *g = arg;
    return g->at[0] == g->turn ? 0 : (int)cudaErrorLaunchTimeout;
}
cudaError_t lb_cuda_gate_launch(cudaStream_t s, unsigned *at, unsigned turn);
cudaError_t lb_cuda_gate_launch(cudaStream_t s, unsigned *at, unsigned turn) {
    gate g = { at, turn };
    fake_enqueue(s, do_gate, &g, sizeof g);
    return fake_result(cudaSuccess);
}
cudaError_t lb_cuda_flush_launch(cudaStream_t s, void *at, size_t bytes, unsigned word, int sms);
cudaError_t lb_cuda_flush_launch(cudaStream_t s, void *at, size_t bytes, unsigned word, int sms) {
    (void)sms;
    return cudaMemsetAsync(at, (int)word & 255, bytes, s);
}
static int do_clocks(void *arg) {
    const move *m = arg;
    unsigned long long *out = m->to;
    for (int i = 0; i < SMS; i++) out[2 * i + 1] = (unsigned long long)fake_now_ns(), out[2 * i] = 2 * out[2 * i + 1];
    return 0;
}
cudaError_t lb_cuda_clock_launch(cudaStream_t s, unsigned long *out, int sms);
cudaError_t lb_cuda_clock_launch(cudaStream_t s, unsigned long *out, int sms) {
    move m = { out, NULL, 0, sms };
    fake_enqueue(s, do_clocks, &m, sizeof m);
    return fake_result(cudaSuccess);
}
