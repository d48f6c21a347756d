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

    /* Devices with a memory of their own, in which alloc() takes its bytes; NULL = the host's memory. All return when
     * it is done. `pool` is then the host's, for the work that the host does on their tensors. */
    const struct lb_device_memory *memory;
    double (*frequency_ghz)(lb_device *d);   /* of the processors just now; NULL = the host's; NaN = unknown */
    const char *(*missing)(void);            /* why count() is 0; NULL = never so */
    bool (*lost)(lb_device *d);              /* NULL = never */
    bool (*live)(lb_device *d, lb_device_live *out);         /* NULL = nothing is known */
} lb_device_backend;

typedef struct lb_device_memory {
    lb_status (*put)(lb_device *d, void *device, const void *host, size_t bytes);
    lb_status (*get)(lb_device *d, void *host, const void *device, size_t bytes);
    lb_status (*copy)(lb_device *d, void *to, const void *from, size_t bytes);      /* both on the device */
    lb_status (*set)(lb_device *d, void *device, int byte, size_t bytes);
    int64_t (*available)(lb_device *d);      /* bytes that can be allocated now; 0 = unknown */
} lb_device_memory;

struct lb_device {
    atomic_int refs;
    struct lb_device *next;                  /* list of open instances */
    const lb_device_backend *backend;
    lb_device_caps caps;
    int threads;
    double cache_bytes;                      /* what caches hold, as measured (cache.h); 0 = not yet; -1 = cannot be */
    void *state;                             /* the back end's own */
};

extern const lb_device_backend lb_device_cpu, lb_device_cuda;
