/* device_cuda.h: what device_cuda.c and plan_gpu.c share. */
#pragma once
#include "cuda/api.h"
#include "device_backend.h"

typedef struct lb_cuda_state {
    const lb_cuda_api *api;
    lb_cuda_dev *dev;
    unsigned *tickets;               /* LB_CUDA_TICKETS words on the device for each branch, all 0 between launches */
    lb_device *host;                 /* "cpu": its threads do the host's work on this device's tensors */
    struct lb_cuda_cache *cache;     /* freed memory, kept */
    struct lb_nvml *nvml;            /* NULL = not there */
    double ghz;                      /* of the last timed region; NaN = unknown */
    bool timed_out;                  /* its first launches may have had gaps */
} lb_cuda_state;

enum { LB_CUDA_TICKET_BYTES = 8192 * 4 };
static inline unsigned *lb_cuda_tickets_of(const lb_cuda_state *s, int branch) {
    return s->tickets + (size_t)branch * (LB_CUDA_TICKET_BYTES / 4);
}

static inline lb_cuda_state *lb_cuda_of(const lb_device *d) { return d->state; }
/* Loads luabench_cuda.so and registers its kernels, once; LB_EDEVICE: what is missing. No driver is needed for this. */
lb_status lb_cuda_load(const lb_cuda_api **out);
