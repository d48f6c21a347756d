/* mirror.h: buffers of devices with a memory of their own. Each has an address range of the host, where everything that
 * the host does to tensors (filling, quantizing, oracles, files, printing) finds its bytes, and as many bytes on the
 * device. Which of the two is right is known at any time; bytes move when the other side needs them, never in a timed
 * region, as plans bring all operands over before they start. The host's pages are given back once the device has the
 * bytes. */
#pragma once
#include <pthread.h>
#include "tensor.h"

enum { LB_AT_HOST = 1, LB_AT_DEVICE = 2 };

typedef struct lb_mirror {
    void *device;            /* NULL = not allocated yet (wrapped memory, until first needed) */
    atomic_int where;        /* which side's bytes are right: LB_AT_HOST, LB_AT_DEVICE or both */
    bool owned;              /* the host's range is ours: mapped, or malloc'd below a page or two */
    pthread_mutex_t lock;
} lb_mirror;

/* The device's bytes are right, and the host's are not any more if `written`. */
lb_status lb_buffer_push(lb_buffer *b, bool written);
/* Reads without a claim to have changed anything. */
lb_status lb_buffer_peek(lb_buffer *b, size_t offset, size_t bytes, void *out);
/* Of lb_buffer_new: the host's range, the device's bytes. */
lb_status lb_mirror_new(lb_buffer *b);
/* Of lb_buffer_wrap: b->data is the host's range. */
lb_status lb_mirror_wrap(lb_buffer *b);
void lb_mirror_free(lb_buffer *b);

/* The same for raw memory of any device: memset and memcpy where it is the host's. */
lb_status lb_device_set(lb_device *d, void *at, int byte, size_t bytes);
lb_status lb_device_copy(lb_device *d, void *to, const void *from, size_t bytes);
