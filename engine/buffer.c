/* buffer.c: refcounted memory of a device. */
#include <stdlib.h>

#include "device_backend.h"
#include "mirror.h"

lb_status lb_buffer_new(lb_device *d, size_t bytes, lb_buffer **out) {
    lb_status s;
    *out = NULL;
    lb_buffer *b = calloc(1, sizeof *b);
    if (!b) return lb_fail(LB_ENOMEM, "buffer: no memory for its header");
    b->device = d;
    b->size_bytes = bytes;
    if ((s = d->backend->memory ? lb_mirror_new(b) : lb_device_alloc(d, bytes, &b->data))) {
        free(b);
        return s;
    }
    atomic_init(&b->refs, 1);
    lb_device_retain(d);
    *out = b;
    return LB_OK;
}

lb_status lb_buffer_wrap(lb_device *d, void *data, size_t bytes, void (*release)(lb_buffer *), void *owner,
                         lb_buffer **out) {
    *out = NULL;
    if (!release) return lb_fail(LB_EINTERNAL, "lb_buffer_wrap: a release function is needed");
    lb_buffer *b = calloc(1, sizeof *b);
    if (!b) return lb_fail(LB_ENOMEM, "buffer: no memory for its header");
    atomic_init(&b->refs, 1);
    b->device = lb_device_retain(d);
    b->data = data;
    b->size_bytes = bytes;
    b->release = release;
    b->owner = owner;
    if (d->backend->memory && lb_mirror_wrap(b)) {
        lb_device_release(d);
        free(b);
        return LB_ENOMEM;
    }
    *out = b;
    return LB_OK;
}

lb_buffer *lb_buffer_retain(lb_buffer *b) {
    if (b) atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void lb_buffer_release(lb_buffer *b) {
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
    bool mirrored = b->mirror != NULL;
    if (mirrored) lb_mirror_free(b);
    if (b->release)
        b->release(b);
    else if (!mirrored)
        lb_device_free(b->device, b->data, b->size_bytes);
    lb_device_release(b->device);
    free(b);
}
