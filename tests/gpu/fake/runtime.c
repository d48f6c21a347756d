/* runtime.c: the CUDA runtime of a device played on the CPU; see fake.h.
 *
 * LUABENCH_FAKE=devices=N,memory=MiB,driver=V,cc=90: what there is; driver below 13000 is too old; bodies=N: the most
 * that a conditional node may have.
 *
 * A graph is nodes and what each comes after; its launches take them in an order of their own each time, so that what two
 * branches need of one another, and is not an edge, is missing. LUABENCH_FAKE_GRAPHS=FILE: the edges of each graph that is
 * instantiated, as lines of "node: those before it". */
#include "fake.h"

#include "engine/cuda/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { ARENA = 1 << 30, LINE = 256, SMS = 3 };

typedef struct op {
    struct op *next;
    int (*fn)(void *);
    cudaEvent_t event;           /* to be recorded, or NULL */
    size_t bytes;
    struct op **after;           /* of a graph's node: what it comes after */
    size_t after_count, place;   /* place: in the graph */
    int waits;
    _Alignas(16) char arg[];
} op;

/* Nodes that the next one comes after. */
typedef struct front { op **at; size_t count; } front;

/* captured: the graph in whose capture it was recorded, and where. */
struct fake_event { double ns; int done; struct fake_graph *captured; front front; };
/* values: of conditional nodes, from the last one made back; a graph owns its own. */
typedef struct value { struct value *next; unsigned is; } value;
struct fake_graph {
    op *first, **end;
    int uses;
    value *values;
    size_t count;
    op **all, **ready;           /* of an instantiated one: by place; and room for launch_nodes() */
    size_t *from, *behind;       /* behind[from[i]] .. : places of what comes after node i */
};
/* joined: it is part of another stream's capture. */
struct fake_stream { op *first, **end; struct fake_graph *capturing; front front; int joined; struct fake_stream *next; };
static struct fake_stream *streams;

static cudaError_t last, sticky;
static char *arena;
static size_t used, most;
static int current_device;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static long setting(const char *key, long value) {
    const char *text = getenv("LUABENCH_FAKE"), *at = text ? strstr(text, key) : NULL;
    return at ? strtol(at + strlen(key), NULL, 10) : value;
}

static cudaError_t result(cudaError_t e) {
    if (sticky) e = sticky;
    if (e) last = e;
    return e;
}
void fake_fail(cudaError_t e) { result(e); }

static void open_memory(int open) {
    if (arena) mprotect(arena, ARENA, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

/* ---- stream ---- */

static op *new_op(int (*fn)(void *), cudaEvent_t event, const void *arg, size_t bytes) {
    op *o = calloc(1, sizeof *o + bytes);
    if (!o) abort();
    o->fn = fn;
    o->event = event;
    o->bytes = bytes;
    if (bytes) memcpy(o->arg, arg, bytes);
    return o;
}

static void front_set(front *f, op *const *at, size_t n) {
    op **copy = malloc((n + 1) * sizeof *copy);
    if (!copy) abort();
    for (size_t i = 0; i < n; i++) copy[i] = at[i];
    free(f->at);
    *f = (front){ copy, n };
}
static void front_add(front *f, op *o) {
    for (size_t i = 0; i < f->count; i++)
        if (f->at[i] == o) return;
    f->at = realloc(f->at, (f->count + 1) * sizeof *f->at);
    if (!f->at) abort();
    f->at[f->count++] = o;
}

static void add_node(struct fake_graph *g, op *o, op *const *after, size_t n) {
    front f = { NULL, 0 };
    front_set(&f, after, n);
    o->after = f.at, o->after_count = n, o->place = g->count++;
    *g->end = o;
    g->end = &o->next;
}

static void append(cudaStream_t s, op *o) {
    if (s->capturing) {
        add_node(s->capturing, o, s->front.at, s->front.count);
        front_set(&s->front, &o, 1);
        return;
    }
    *s->end = o;
    s->end = &o->next;
}

void fake_enqueue(cudaStream_t s, int (*fn)(void *), const void *arg, size_t bytes) { append(s, new_op(fn, NULL, arg, bytes)); }

static cudaError_t drain(cudaStream_t s) {
    if (s->capturing) return result(cudaErrorStreamCaptureUnsupported);
    open_memory(1);
    for (op *o = s->first, *next; o; o = next) {
        next = o->next;
        if (o->event) o->event->ns = now_ns(), o->event->done = 1;
        else if (!sticky) sticky = (cudaError_t)o->fn(o->arg);
        free(o);
    }
    s->first = NULL;
    s->end = &s->first;
    open_memory(0);
    return result(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags) {
    (void)flags;
    *s = calloc(1, sizeof **s);
    (*s)->end = &(*s)->first;
    (*s)->next = streams;
    streams = *s;
    return result(cudaSuccess);
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) { return drain(s); }
cudaError_t cudaStreamDestroy(cudaStream_t s) {
    drain(s);
    for (struct fake_stream **at = &streams; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    free(s->front.at);
    free(s);
    return cudaSuccess;
}

/* ---- graphs ---- */

static struct fake_graph *new_graph(void) {
    struct fake_graph *g = calloc(1, sizeof *g);
    if (!g) abort();
    g->end = &g->first;
    g->uses = 1;
    return g;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode) {
    (void)mode;
    if (s->capturing) return result(cudaErrorStreamCaptureUnsupported);
    s->capturing = new_graph();
    front_set(&s->front, NULL, 0);
    return result(cudaSuccess);
}

/* seen[place]: the node, or one that comes after it, is in the front. */
static void see(const front *f, char *seen) {
    for (size_t i = 0; i < f->count; i++) {
        if (seen[f->at[i]->place]) continue;
        seen[f->at[i]->place] = 1;
        see(&(front){ f->at[i]->after, f->at[i]->after_count }, seen);
    }
}

/* Streams that joined the capture: each must have been waited for. */
static int leave_all(cudaStream_t origin) {
    char *seen = calloc(origin->capturing->count + 1, 1);
    int unjoined = 0;
    if (!seen) abort();
    see(&origin->front, seen);
    for (struct fake_stream *s = streams; s; s = s->next) {
        if (!s->joined || s->capturing != origin->capturing) continue;
        for (size_t i = 0; i < s->front.count; i++) unjoined |= !seen[s->front.at[i]->place];
        s->capturing = NULL;
        s->joined = 0;
    }
    free(seen);
    return unjoined;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g) {
    *g = s->capturing;
    if (!*g || s->joined) return result(cudaErrorInvalidValue);
    int unjoined = leave_all(s);
    s->capturing = NULL;
    if (!unjoined) return result(cudaSuccess);
    cudaGraphDestroy(*g);
    *g = NULL;
    return result(cudaErrorStreamCaptureUnjoined);
}

/* ---- conditional nodes ---- */

typedef struct branch { const value *chosen; int picks; unsigned size; cudaGraph_t *bodies; } branch;

static int do_branch(void *arg) {
    const branch *b = arg;
    unsigned i = b->picks ? b->chosen->is : b->chosen->is ? 0 : b->size;
    int e = 0;
    if (i >= b->size) return 0;
    for (op *o = b->bodies[i]->first; o && !e; o = o->next) e = o->fn(o->arg);
    return e;
}
static void free_bodies(const branch *b) {
    for (unsigned i = 0; i < b->size; i++) cudaGraphDestroy(b->bodies[i]);
    free(b->bodies);
}

cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t s, cudaGraph_t g, const cudaGraphNode_t *after,
                                          const cudaGraphEdgeData *edges, size_t n, enum cudaStreamCaptureMode mode) {
    (void)edges, (void)mode;
    if (s->capturing) return result(cudaErrorStreamCaptureUnsupported);
    s->capturing = g;
    front_set(&s->front, (op *const *)after, n);
    return result(cudaSuccess);
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, enum cudaStreamCaptureStatus *status, unsigned long long *id, cudaGraph_t *g,
                                     const cudaGraphNode_t **after, const cudaGraphEdgeData **edges, size_t *n) {
    (void)id;
    *status = s->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    *g = s->capturing;
    *after = (const cudaGraphNode_t *)s->front.at, *edges = NULL, *n = s->front.count;
    return result(cudaSuccess);
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t *nodes, const cudaGraphEdgeData *edges, size_t n,
                                                unsigned flags) {
    (void)edges, (void)flags;
    if (!s->capturing) return result(cudaErrorInvalidValue);
    front_set(&s->front, (op *const *)nodes, n);
    return result(cudaSuccess);
}
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *out, cudaGraph_t g, unsigned initial, unsigned flags) {
    value *v = calloc(1, sizeof *v);
    (void)flags;
    if (!v) abort();
    *v = (value){ g->values, initial };
    g->values = v;
    *out = (cudaGraphConditionalHandle)(size_t)v;
    return result(cudaSuccess);
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t *out, cudaGraph_t g, const cudaGraphNode_t *after, const cudaGraphEdgeData *edges,
                             size_t n, struct cudaGraphNodeParams *p) {
    struct cudaConditionalNodeParams *c = &p->conditional;
    (void)edges;
    *out = NULL;
    if (p->type != cudaGraphNodeTypeConditional || !c->size || c->size > (unsigned)setting("bodies=", 1 << 20))
        return result(cudaErrorInvalidValue);
    branch b = { (const value *)(size_t)c->handle, c->type == cudaGraphCondTypeSwitch, c->size, NULL };
    b.bodies = calloc(c->size, sizeof *b.bodies);
    if (!b.bodies) abort();
    for (unsigned i = 0; i < c->size; i++) b.bodies[i] = new_graph();
    c->phGraph_out = b.bodies;
    op *o = new_op(do_branch, NULL, &b, sizeof b);
    add_node(g, o, (op *const *)after, n);
    *out = (cudaGraphNode_t)o;
    return result(cudaSuccess);
}

static void write_edges(const struct fake_graph *g) {
    const char *path = getenv("LUABENCH_FAKE_GRAPHS");
    FILE *f = path && *path ? fopen(path, "a") : NULL;
    if (!f) return;
    fprintf(f, "graph %zu\n", g->count);
    for (const op *o = g->first; o; o = o->next) {
        fprintf(f, "%zu:", o->place);
        for (size_t i = 0; i < o->after_count; i++) fprintf(f, " %zu", o->after[i]->place);
        fprintf(f, "\n");
    }
    fclose(f);
}

/* The nodes in an order that has each behind those that it comes after: of what may be next the last one, the first one, or
 * any, launch by launch. */
static void launch_nodes(const struct fake_graph *g, cudaStream_t s) {
    static unsigned turn, seed = 1;
    op **ready = g->ready;
    size_t n = 0, done = 0;
    for (size_t i = 0; i < g->count; i++) {
        g->all[i]->waits = (int)g->all[i]->after_count;
        if (g->all[i]->waits == 0) ready[n++] = g->all[i];
    }
    turn++;
    while (n) {
        seed = seed * 1664525u + 1013904223u;
        size_t at = turn % 3 == 0 ? 0 : turn % 3 == 1 ? n - 1 : seed / 65536 % n;
        op *o = ready[at];
        ready[at] = ready[--n];
        append(s, new_op(o->fn, o->event, o->arg, o->bytes));
        done++;
        for (size_t k = g->from[o->place]; k < g->from[o->place + 1]; k++) {
            op *next = g->all[g->behind[k]];
            if (--next->waits == 0) ready[n++] = next;
        }
    }
    if (done != g->count) abort();
}

static void index_nodes(struct fake_graph *g) {
    size_t edges = 0;
    for (op *o = g->first; o; o = o->next) edges += o->after_count;
    g->all = calloc(g->count + 1, sizeof *g->all);
    g->ready = calloc(g->count + 1, sizeof *g->ready);
    g->from = calloc(g->count + 2, sizeof *g->from);
    g->behind = calloc(edges + 1, sizeof *g->behind);
    if (!g->all || !g->ready || !g->from || !g->behind) abort();
    for (op *o = g->first; o; o = o->next) {
        g->all[o->place] = o;
        for (size_t k = 0; k < o->after_count; k++) g->from[o->after[k]->place + 2]++;
    }
    for (size_t i = 2; i < g->count + 2; i++) g->from[i] += g->from[i - 1];
    for (op *o = g->first; o; o = o->next)
        for (size_t k = 0; k < o->after_count; k++) g->behind[g->from[o->after[k]->place + 1]++] = o->place;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *e, cudaGraph_t g, unsigned long long flags) {
    (void)flags;
    write_edges(g);
    if (!g->all) index_nodes(g);
    g->uses++;
    *e = g;
    return result(cudaSuccess);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t e, cudaStream_t s) { return (void)e, (void)s, result(cudaSuccess); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) {
    launch_nodes(e, s);
    return result(cudaSuccess);
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) {
    if (--g->uses > 0) return cudaSuccess;
    for (op *o = g->first, *next; o; o = next) {
        next = o->next;
        if (o->fn == do_branch) free_bodies((const branch *)o->arg);
        free(o->after);
        free(o);
    }
    for (value *v = g->values, *next; v; v = next) {
        next = v->next;
        free(v);
    }
    free(g->all), free(g->ready), free(g->from), free(g->behind);
    free(g);
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) { return cudaGraphDestroy(e); }

/* ---- events ---- */

cudaError_t cudaEventCreate(cudaEvent_t *e) { return *e = calloc(1, sizeof **e), result(cudaSuccess); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags) { return (void)flags, cudaEventCreate(e); }
cudaError_t cudaEventDestroy(cudaEvent_t e) { return free(e->front.at), free(e), cudaSuccess; }
static cudaStream_t event_stream;
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    e->done = 0;
    e->captured = s->capturing;
    if (s->capturing) {
        front_set(&e->front, s->front.at, s->front.count);
        return result(cudaSuccess);
    }
    event_stream = s;
    append(s, new_op(NULL, e, NULL, 0));
    return result(cudaSuccess);
}
/* Of a capture only: elsewhere nothing here uses more than one stream. */
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags) {
    (void)flags;
    if (!e->captured || (s->capturing && s->capturing != e->captured)) return result(cudaErrorStreamCaptureUnsupported);
    if (!s->capturing) {
        s->capturing = e->captured;
        s->joined = 1;
        front_set(&s->front, NULL, 0);
    }
    for (size_t i = 0; i < e->front.count; i++) front_add(&s->front, e->front.at[i]);
    return result(cudaSuccess);
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) { return e->done ? result(cudaSuccess) : drain(event_stream); }
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) {
    if (!a->done || !b->done) return result(cudaErrorInvalidValue);
    *ms = (float)((b->ns - a->ns) * 1e-6);
    return result(cudaSuccess);
}

/* ---- memory: a first-fit list over one range of addresses ---- */

typedef struct piece { struct piece *next; size_t at, bytes; } piece;
static piece *pieces;            /* those in use, by address */

static size_t round_line(size_t n) { return (n + LINE - 1) / LINE * LINE; }

cudaError_t cudaMalloc(void **p, size_t bytes) {
    if (sticky) return result(sticky);
    if (!arena) {
        arena = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        madvise(arena, ARENA, MADV_HUGEPAGE); /* opening and closing it is a matter of its pages */
        most = (size_t)setting("memory=", 512) << 20;
    }
    size_t at = 0;
    piece **where = &pieces;
    bytes = round_line(bytes);
    while (*where && (*where)->at - at < bytes) at = (*where)->at + (*where)->bytes, where = &(*where)->next;
    if (at + bytes > ARENA || used + bytes > most) return result(cudaErrorMemoryAllocation);
    piece *n = malloc(sizeof *n);
    *n = (piece){ *where, at, bytes };
    *where = n;
    used += bytes;
    *p = arena + at;
    open_memory(1);
    memset(*p, 0xcb, bytes);
    open_memory(0);
    return result(cudaSuccess);
}

cudaError_t cudaFree(void *p) {
    for (piece **w = &pieces; p && *w; w = &(*w)->next) {
        piece *gone = *w;
        if (arena + gone->at != p) continue;
        used -= gone->bytes;
        *w = gone->next;
        free(gone);
        return result(cudaSuccess);
    }
    return result(p ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaMemGetInfo(size_t *room, size_t *all) {
    if (!most) most = (size_t)setting("memory=", 512) << 20;
    *all = most;
    *room = most - used;
    return result(cudaSuccess);
}
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags) { return (void)flags, *p = calloc(1, bytes), result(cudaSuccess); }
cudaError_t cudaHostGetDevicePointer(void **d, void *host, unsigned flags) { return (void)flags, *d = host, result(cudaSuccess); }
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
    if (in_arena(to) != want_to || in_arena(from) != want_from) return result(cudaErrorInvalidValue);
    move m = { to, from, bytes, 0 };
    fake_enqueue(s, do_copy, &m, sizeof m);
    return result(cudaSuccess);
}
cudaError_t cudaMemsetAsync(void *p, int byte, size_t bytes, cudaStream_t s) {
    move m = { p, NULL, bytes, byte };
    if (!in_arena(p)) return result(cudaErrorInvalidValue);
    fake_enqueue(s, do_set, &m, sizeof m);
    return result(cudaSuccess);
}

/* ---- the device ---- */

cudaError_t cudaDriverGetVersion(int *v) { return *v = (int)setting("driver=", 13000), cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *v) { return *v = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *n) {
    *n = (int)setting("devices=", 2);
    if (setting("driver=", 13000) < 13000) return result(cudaErrorInsufficientDriver);
    return result(*n ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int *d) { return *d = current_device, result(cudaSuccess); }
cudaError_t cudaSetDevice(int d) {
    if (d < 0 || d >= setting("devices=", 2)) return result(cudaErrorInvalidDevice);
    return current_device = d, result(cudaSuccess);
}
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) { return *can = device != peer, result(cudaSuccess); }

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr what, int device) {
    int cc = (int)setting("cc=", 90);
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
    return result(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
    int cc = (int)setting("cc=", 90);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "played on the CPU");
    p->major = cc / 10, p->minor = cc % 10;
    p->multiProcessorCount = SMS;
    p->l2CacheSize = 1 << 20;
    p->pciBusID = device + 1;
    return result(cudaSuccess);
}

cudaError_t cudaGetLastError(void) {
    cudaError_t e = sticky ? sticky : last;
    last = cudaSuccess;
    return e;
}
const char *cudaGetErrorName(cudaError_t e) {
    return e == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress" : e == cudaErrorInvalidValue ? "cudaErrorInvalidValue"
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
    return result(*f ? cudaSuccess : cudaErrorInvalidValue);
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
        value *v = (value *)(size_t)d->handles[i];
        v->is = one->pick ? (unsigned)(run ? pick : one->bodies) : run;
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
    return result(cudaSuccess);
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
    return result(cudaSuccess);
}
cudaError_t lb_cuda_flush_launch(cudaStream_t s, void *at, size_t bytes, unsigned word, int sms);
cudaError_t lb_cuda_flush_launch(cudaStream_t s, void *at, size_t bytes, unsigned word, int sms) {
    (void)sms;
    return cudaMemsetAsync(at, (int)word & 255, bytes, s);
}
static int do_clocks(void *arg) {
    const move *m = arg;
    unsigned long long *out = m->to;
    for (int i = 0; i < SMS; i++) out[2 * i + 1] = (unsigned long long)now_ns(), out[2 * i] = 2 * out[2 * i + 1];
    return 0;
}
cudaError_t lb_cuda_clock_launch(cudaStream_t s, unsigned long *out, int sms);
cudaError_t lb_cuda_clock_launch(cudaStream_t s, unsigned long *out, int sms) {
    move m = { out, NULL, 0, sms };
    fake_enqueue(s, do_clocks, &m, sizeof m);
    return result(cudaSuccess);
}
