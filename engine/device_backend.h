/* device_backend.h: what a back end (engine/device_<name>.c) provides; one line in device.c registers it. */
#pragma once
#include <stdatomic.h>
#include "device.h"

typedef struct lb_device_backend {
    const char *name;                        /* "cpu", "cuda": what stands before the colon */
    bool numbered;                           /* instances are "name:0", "name:1", ...; else just "name" */
    int (*count)(void);                      /* instances present now */
    /* Fills d->caps (all but `name`), d->threads (from the asked for, 0 = default) and d->state. Called before the
     * instance is looked up by (name, threads), so it must be cheap and undone by close(). */
    lb_status (*open)(lb_device *d, int index, int threads);
    void (*close)(lb_device *d);
    lb_status (*alloc)(lb_device *d, size_t bytes, void **out);   /* bytes > 0 */
    void (*free)(lb_device *d, void *p, size_t bytes);
    lb_pool *(*pool)(lb_device *d);          /* NULL = none */
    bool (*pinned)(const lb_device *d);      /* NULL = no threads */
    int (*cpu)(const lb_device *d, int thread);   /* where a thread is pinned; -1 = nowhere; NULL = no threads */
} lb_device_backend;

struct lb_device {
    atomic_int refs;
    struct lb_device *next;                  /* list of open instances */
    const lb_device_backend *backend;
    lb_device_caps caps;
    int threads;
    double cache_bytes;                      /* what caches hold, as measured (cache.h); 0 = not yet; -1 = cannot be */
    void *state;                             /* the back end's own */
};

extern const lb_device_backend lb_device_cpu;
