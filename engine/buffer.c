/* buffer.c: refcounted memory of a device. */
#include <stdlib.h>

#include "tensor.h"

lb_status lb_buffer_new(lb_device *d, size_t bytes, lb_buffer **out) {
    lb_status s;
    *out = NULL;
    lb_buffer *b = calloc(1, sizeof *b);
    if (!b) return lb_fail(LB_ENOMEM, "buffer: no memory for its header");
    if ((s = lb_device_alloc(d, bytes, &b->data))) {
        free(b);
        return s;
    }
    atomic_init(&b->refs, 1);
    b->device = lb_device_retain(d);
    b->size_bytes = bytes;
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
    *out = b;
    return LB_OK;
}

lb_buffer *lb_buffer_retain(lb_buffer *b) {
    if (b) atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void lb_buffer_release(lb_buffer *b) {
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
    if (b->release)
        b->release(b);
    else
        lb_device_free(b->device, b->data, b->size_bytes);
    lb_device_release(b->device);
    free(b);
}
