/* device.c: opens devices by name, one instance per (name, threads). */
#include "device.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_backend.h"
#include "disturbance.h"
#include "memory.h"
#include "names.h"

/* Every back end; the order is that of lists. */
static const lb_device_backend *const backends[] = { &lb_device_cpu, &lb_device_cuda };
enum { BACKENDS = sizeof backends / sizeof *backends };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static lb_device *instances;

int lb_device_list(char (*names)[64], int max) {
    int n = 0;
    for (int b = 0; b < BACKENDS; b++)
        for (int i = 0, count = backends[b]->count(); i < count; i++, n++) {
            if (!names || n >= max) continue;
            if (backends[b]->numbered)
                snprintf(names[n], 64, "%s:%d", backends[b]->name, i);
            else
                snprintf(names[n], 64, "%s", backends[b]->name);
        }
    return n;
}

static lb_status unknown_device(const char *name) {
    enum { MAX = 32 };
    char names[MAX][64], hint[256] = "", list[512] = "";
    const char *pointers[MAX];
    int n = lb_device_list(names, MAX);
    n = n < MAX ? n : MAX;
    size_t at = 0;
    for (int i = 0; i < n && at < sizeof list; i++) {
        pointers[i] = names[i];
        at += (size_t)snprintf(list + at, sizeof list - at, "%s'%s'", i ? ", " : "", names[i]);
    }
    lb_names_hint(name, pointers, n, hint, sizeof hint);
    if (!strstr(hint, "did you mean")) hint[0] = 0;
    return lb_fail(LB_EDEVICE, "unknown device '%s'; this machine and build have %s%s", name, list, hint);
}

static lb_status no_such_number(const lb_device_backend *b, long i, int count) {
    if (count == 0 && b->missing) return lb_fail(LB_EDEVICE, "%s", b->missing());
    return lb_fail(LB_EDEVICE, "%s: there is no device %ld; %d found, counted from 0", b->name, i, count);
}

/* "cuda:1" -> back end cuda, index 1. */
static lb_status parse_name(const char *name, const lb_device_backend **backend, int *index) {
    size_t length = strcspn(name, ":");
    const char *tail = name + length;
    *index = 0;
    for (int b = 0; b < BACKENDS; b++) {
        if (strlen(backends[b]->name) != length || strncmp(backends[b]->name, name, length) != 0) continue;
        *backend = backends[b];
        /* "cuda" is "cuda:0" */
        if (*tail == 0) return backends[b]->count() ? LB_OK : no_such_number(backends[b], 0, 0);
        if (!backends[b]->numbered) return unknown_device(name);
        char *end;
        long i = strtol(tail + 1, &end, 10);
        int count = backends[b]->count();
        if (end == tail + 1 || *end || i < 0) return unknown_device(name);
        if (i >= count) return no_such_number(backends[b], i, count);
        *index = (int)i;
        return LB_OK;
    }
    return unknown_device(name);
}

static lb_device *find_instance(const lb_device *like) {
    for (lb_device *d = instances; d; d = d->next)
        if (d->threads == like->threads && d->caps.isa == like->caps.isa && strcmp(d->caps.name, like->caps.name) == 0)
            return d;
    return NULL;
}

lb_status lb_device_open(const char *name, int threads, lb_device **out) {
    const lb_device_backend *backend = NULL;
    int index;
    lb_status s;
    *out = NULL;
    if (!name) return lb_fail(LB_EINVAL, "device: expected a name such as 'cpu', got nothing");
    if ((s = parse_name(name, &backend, &index))) return s;
    lb_device *d = calloc(1, sizeof *d);
    if (!d) return lb_fail(LB_ENOMEM, "device %s: no memory", name);
    atomic_init(&d->refs, 1);
    d->backend = backend;
    if ((s = backend->open(d, index, threads))) {
        free(d);
        return s;
    }
    if (backend->numbered)
        snprintf(d->caps.name, sizeof d->caps.name, "%s:%d", backend->name, index);
    else
        snprintf(d->caps.name, sizeof d->caps.name, "%s", backend->name);
    pthread_mutex_lock(&lock);
    lb_device *open = find_instance(d);
    if (open) {
        atomic_fetch_add(&open->refs, 1);
    } else {
        d->next = instances;
        instances = d;
    }
    pthread_mutex_unlock(&lock);
    if (open) {
        backend->close(d);
        free(d);
    }
    *out = open ? open : d;
    return LB_OK;
}

lb_device *lb_device_retain(lb_device *d) {
    if (d) atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}

/* The last reference goes under the lock, so that lb_device_open never finds a dying instance. */
void lb_device_release(lb_device *d) {
    if (!d) return;
    int refs = atomic_load(&d->refs);
    while (refs > 1)
        if (atomic_compare_exchange_weak(&d->refs, &refs, refs - 1)) return;
    pthread_mutex_lock(&lock);
    bool last = atomic_fetch_sub(&d->refs, 1) == 1;
    for (lb_device **at = &instances; last && *at; at = &(*at)->next)
        if (*at == d) {
            *at = d->next;
            break;
        }
    pthread_mutex_unlock(&lock);
    if (!last) return;
    d->backend->close(d);
    free(d);
}

const lb_device_caps *lb_device_caps_of(const lb_device *d) { return &d->caps; }
const char *lb_device_name(const lb_device *d) { return d->caps.name; }
int lb_device_threads(const lb_device *d) { return d->threads; }
lb_pool *lb_device_pool(lb_device *d) { return d->backend->pool ? d->backend->pool(d) : NULL; }
bool lb_device_pinned(const lb_device *d) { return d->backend->pinned && d->backend->pinned(d); }

int lb_device_cpu_of(const lb_device *d, int i) {
    return d->backend->cpu && i >= 0 && i < d->threads ? d->backend->cpu(d, i) : -1;
}

lb_status lb_device_alloc(lb_device *d, size_t bytes, void **out) {
    *out = NULL;
    if (bytes > (size_t)INT64_MAX)
        return lb_fail(LB_ENOMEM, "%s: cannot allocate %zu bytes: more than any machine has", d->caps.name, bytes);
    lb_status s = d->backend->alloc(d, bytes ? bytes : 1, out);
    if (s == LB_OK) lb_memory_add((int64_t)bytes);
    return s;
}

void lb_device_free(lb_device *d, void *p, size_t bytes) {
    if (!p) return;
    d->backend->free(d, p, bytes ? bytes : 1);
    lb_memory_add(-(int64_t)bytes);
}

bool lb_device_live_read(lb_device *d, lb_device_live *out) { return d->backend->live && d->backend->live(d, out); }
bool lb_device_lost(lb_device *d) { return d->backend->lost && d->backend->lost(d); }
double lb_device_frequency_ghz(lb_device *d) {
    return d->backend->frequency_ghz ? d->backend->frequency_ghz(d) : lb_frequency_ghz();
}
