/* mirror.c: the two sides of a buffer whose device has a memory of its own. */
#include "mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device_backend.h"
#include "memory.h"

enum { MAPPED = 1 << 16, DROPPED = 1 << 20 };   /* from so many bytes: a mapping; pages given back when they are old */

static size_t whole_pages(size_t bytes) { return (bytes + 4095) & ~(size_t)4095; }

static lb_status host_range(lb_buffer *b) {
    size_t bytes = b->size_bytes;
    if (bytes < MAPPED) {
        b->data = aligned_alloc(64, (bytes + 64) & ~(size_t)63);
        return b->data ? LB_OK : lb_fail(LB_ENOMEM, "no memory for %zu bytes", bytes);
    }
    /* no memory yet, only addresses: pages come when the host writes them */
    b->data = mmap(NULL, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                   0);
    if (b->data != MAP_FAILED) return LB_OK;
    b->data = NULL;
    return lb_fail(LB_ENOMEM, "no addresses for %zu bytes: %s", bytes, strerror(errno));
}

static lb_mirror *new_mirror(int where, bool owned) {
    lb_mirror *m = calloc(1, sizeof *m);
    if (!m) return lb_fail(LB_ENOMEM, "buffer: no memory for its header"), NULL;
    atomic_init(&m->where, where);
    m->owned = owned;
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

/* Contents are undefined at first: both sides are as good. */
lb_status lb_mirror_new(lb_buffer *b) {
    lb_mirror *m = new_mirror(LB_AT_HOST | LB_AT_DEVICE, true);
    if (!m) return LB_ENOMEM;
    lb_status s = lb_device_alloc(b->device, b->size_bytes, &m->device);
    b->mirror = m;
    if (!s) s = host_range(b);
    if (s) lb_mirror_free(b);
    return s;
}

lb_status lb_mirror_wrap(lb_buffer *b) {
    b->mirror = new_mirror(LB_AT_HOST, false);
    return b->mirror ? LB_OK : LB_ENOMEM;
}

void lb_mirror_free(lb_buffer *b) {
    lb_mirror *m = b->mirror;
    if (m->device) lb_device_free(b->device, m->device, b->size_bytes);
    if (m->owned && b->data && b->size_bytes >= MAPPED) munmap(b->data, whole_pages(b->size_bytes));
    else if (m->owned) free(b->data);
    pthread_mutex_destroy(&m->lock);
    free(m);
    b->mirror = NULL;
}

static lb_status fetch(lb_buffer *b) {
    return b->device->backend->memory->get(b->device, b->data, b->mirror->device, b->size_bytes);
}

/* Any thread of a pool may come here first. A device that fails leaves zeros, and an error for whoever asks it next. */
void *lb_buffer_host(lb_buffer *b) {
    lb_mirror *m = b->mirror;
    if (atomic_load_explicit(&m->where, memory_order_acquire) == LB_AT_HOST) return b->data;
    pthread_mutex_lock(&m->lock);
    if (!(atomic_load(&m->where) & LB_AT_HOST) && fetch(b)) memset(b->data, 0, b->size_bytes);
    atomic_store_explicit(&m->where, LB_AT_HOST, memory_order_release);
    pthread_mutex_unlock(&m->lock);
    return b->data;
}

static lb_status push(lb_buffer *b, bool written) {
    lb_mirror *m = b->mirror;
    lb_status s = LB_OK;
    if (!m->device && (s = lb_device_alloc(b->device, b->size_bytes, &m->device))) return s;
    int where = atomic_load(&m->where);
    if (!(where & LB_AT_DEVICE)) {
        s = b->device->backend->memory->put(b->device, m->device, b->data, b->size_bytes);
        if (s) return s;
        where |= LB_AT_DEVICE;
    }
    if (written) where = LB_AT_DEVICE;
    if (m->owned && b->size_bytes >= DROPPED && (where & LB_AT_HOST)) where = LB_AT_DEVICE;
    if (where == LB_AT_DEVICE && m->owned && b->size_bytes >= DROPPED)
        madvise(b->data, whole_pages(b->size_bytes), MADV_DONTNEED);
    atomic_store_explicit(&m->where, where, memory_order_release);
    return LB_OK;
}

lb_status lb_buffer_push(lb_buffer *b, bool written) {
    lb_mirror *m = b->mirror;
    if (!m || b->size_bytes == 0) return LB_OK;
    int where = atomic_load_explicit(&m->where, memory_order_acquire);
    if (where == LB_AT_DEVICE || (m->device && !written && (where & LB_AT_DEVICE) && b->size_bytes < DROPPED))
        return LB_OK;
    pthread_mutex_lock(&m->lock);
    lb_status s = push(b, written);
    pthread_mutex_unlock(&m->lock);
    return s;
}

lb_status lb_buffer_peek(lb_buffer *b, size_t offset, size_t bytes, void *out) {
    lb_mirror *m = b->mirror;
    if (!m || (atomic_load_explicit(&m->where, memory_order_acquire) & LB_AT_HOST)) {
        memcpy(out, (const char *)b->data + offset, bytes);
        return LB_OK;
    }
    return b->device->backend->memory->get(b->device, out, (const char *)m->device + offset, bytes);
}

lb_status lb_device_set(lb_device *d, void *at, int byte, size_t bytes) {
    if (d->backend->memory) return d->backend->memory->set(d, at, byte, bytes);
    memset(at, byte, bytes);
    return LB_OK;
}

lb_status lb_device_copy(lb_device *d, void *to, const void *from, size_t bytes) {
    if (d->backend->memory) return d->backend->memory->copy(d, to, from, bytes);
    memcpy(to, from, bytes);
    return LB_OK;
}
