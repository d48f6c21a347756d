/* graphs.c: streams, graphs and events of a device played on the CPU; see fake.h.
 *
 * A graph is nodes and what each comes after; its launches take them in an order of their own each time, so that what
 * two branches need of one another, and is not an edge, is missing. LUABENCH_FAKE_GRAPHS=FILE: the edges of each graph
 * that is instantiated, as lines of "node: those before it"; and "launch N", N nodes. */
#include "fake.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
struct fake_stream { op *first, **end; struct fake_graph *capturing; front front; int joined; struct fake_stream *next;
    };
static struct fake_stream *streams;

double fake_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
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

void fake_enqueue(cudaStream_t s, int (*fn)(void *), const void *arg,
                  size_t bytes) { append(s, new_op(fn, NULL, arg, bytes)); }

static cudaError_t drain(cudaStream_t s) {
    if (s->capturing) return fake_result(cudaErrorStreamCaptureUnsupported);
    fake_work_begin();
    for (op *o = s->first, *next; o; o = next) {
        next = o->next;
        if (o->event) o->event->ns = fake_now_ns(), o->event->done = 1;
        else fake_work(o->fn, o->arg);
        free(o);
    }
    s->first = NULL;
    s->end = &s->first;
    fake_work_end();
    return fake_result(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags) {
    (void)flags;
    *s = calloc(1, sizeof **s);
    (*s)->end = &(*s)->first;
    (*s)->next = streams;
    streams = *s;
    return fake_result(cudaSuccess);
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
    if (s->capturing) return fake_result(cudaErrorStreamCaptureUnsupported);
    s->capturing = new_graph();
    front_set(&s->front, NULL, 0);
    return fake_result(cudaSuccess);
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
    if (!*g || s->joined) return fake_result(cudaErrorInvalidValue);
    int unjoined = leave_all(s);
    s->capturing = NULL;
    if (!unjoined) return fake_result(cudaSuccess);
    cudaGraphDestroy(*g);
    *g = NULL;
    return fake_result(cudaErrorStreamCaptureUnjoined);
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
    if (s->capturing) return fake_result(cudaErrorStreamCaptureUnsupported);
    s->capturing = g;
    front_set(&s->front, (op *const *)after, n);
    return fake_result(cudaSuccess);
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *g,
                                     const cudaGraphNode_t **after, const cudaGraphEdgeData **edges, size_t *n) {
    (void)id;
    *status = s->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    *g = s->capturing;
    *after = (const cudaGraphNode_t *)s->front.at, *edges = NULL, *n = s->front.count;
    return fake_result(cudaSuccess);
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t *nodes, const cudaGraphEdgeData *edges,
                                                size_t n,
                                                unsigned flags) {
    (void)edges, (void)flags;
    if (!s->capturing) return fake_result(cudaErrorInvalidValue);
    front_set(&s->front, (op *const *)nodes, n);
    return fake_result(cudaSuccess);
}
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *out, cudaGraph_t g, unsigned initial,
                                             unsigned flags) {
    value *v = calloc(1, sizeof *v);
    (void)flags;
    if (!v) abort();
    *v = (value){ g->values, initial };
    g->values = v;
    *out = (cudaGraphConditionalHandle)(size_t)v;
    return fake_result(cudaSuccess);
}
void fake_choose(unsigned long long handle, unsigned is) { ((value *)(size_t)handle)->is = is; }
cudaError_t cudaGraphAddNode(cudaGraphNode_t *out, cudaGraph_t g, const cudaGraphNode_t *after,
                             const cudaGraphEdgeData *edges,
                             size_t n, struct cudaGraphNodeParams *p) {
    struct cudaConditionalNodeParams *c = &p->conditional;
    static long made;
    (void)edges;
    *out = NULL;
    if (++made > fake_setting("choices=", LONG_MAX)) return fake_result(cudaErrorInvalidValue);
    if (p->type != cudaGraphNodeTypeConditional || !c->size || c->size > (unsigned)fake_setting("bodies=", 1 << 20))
        return fake_result(cudaErrorInvalidValue);
    branch b = { (const value *)(size_t)c->handle, c->type == cudaGraphCondTypeSwitch, c->size, NULL };
    b.bodies = calloc(c->size, sizeof *b.bodies);
    if (!b.bodies) abort();
    for (unsigned i = 0; i < c->size; i++) b.bodies[i] = new_graph();
    c->phGraph_out = b.bodies;
    op *o = new_op(do_branch, NULL, &b, sizeof b);
    add_node(g, o, (op *const *)after, n);
    *out = (cudaGraphNode_t)o;
    return fake_result(cudaSuccess);
}

static FILE *report(void) {
    const char *path = getenv("LUABENCH_FAKE_GRAPHS");
    return path && *path ? fopen(path, "a") : NULL;
}

static void write_edges(const struct fake_graph *g) {
    FILE *f = report();
    if (!f) return;
    fprintf(f, "graph %zu\n", g->count);
    for (const op *o = g->first; o; o = o->next) {
        fprintf(f, "%zu:", o->place);
        for (size_t i = 0; i < o->after_count; i++) fprintf(f, " %zu", o->after[i]->place);
        fprintf(f, "\n");
    }
    fclose(f);
}

/* The nodes in an order that has each behind those that it comes after: of what may be next the last one, the first
 * one, or any, launch by launch. */
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
    return fake_result(cudaSuccess);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t e, cudaStream_t s) { return (void)e, (void)s, fake_result(cudaSuccess); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) {
    FILE *f = report();
    if (f) fprintf(f, "launch %zu\n", e->count), fclose(f);
    launch_nodes(e, s);
    return fake_result(cudaSuccess);
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

cudaError_t cudaEventCreate(cudaEvent_t *e) { return *e = calloc(1, sizeof **e), fake_result(cudaSuccess); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags) { return (void)flags, cudaEventCreate(e); }
cudaError_t cudaEventDestroy(cudaEvent_t e) { return free(e->front.at), free(e), cudaSuccess; }
static cudaStream_t event_stream;
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    e->done = 0;
    e->captured = s->capturing;
    if (s->capturing) {
        front_set(&e->front, s->front.at, s->front.count);
        return fake_result(cudaSuccess);
    }
    event_stream = s;
    append(s, new_op(NULL, e, NULL, 0));
    return fake_result(cudaSuccess);
}
/* Of a capture only: elsewhere nothing here uses more than one stream. */
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags) {
    (void)flags;
    if (!e->captured || (s->capturing && s->capturing != e->captured))
        return fake_result(cudaErrorStreamCaptureUnsupported);
    if (!s->capturing) {
        s->capturing = e->captured;
        s->joined = 1;
        front_set(&s->front, NULL, 0);
    }
    for (size_t i = 0; i < e->front.count; i++) front_add(&s->front, e->front.at[i]);
    return fake_result(cudaSuccess);
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) { return e->done ? fake_result(cudaSuccess) : drain(event_stream); }
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) {
    if (!a->done || !b->done) return fake_result(cudaErrorInvalidValue);
    *ms = (float)((b->ns - a->ns) * 1e-6);
    return fake_result(cudaSuccess);
}
