/* ceiling_buffer.c: the memory that ceilings are measured on, and plans of one step over it. */
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include "cache.h"
#include "ceilings_internal.h"
#include "device_backend.h"
#include "memory.h"
#include "mirror.h"
#include "ops/slots.h"
#include "tensor_ops.h"
#include "pool.h"

#define MIB ((size_t)1 << 20)
#define UNIT (LB_CEILING_SLICES * 2 * MIB)

static struct { void *data; size_t bytes; } cached;
static lb_buffer *on_device;      /* of a device with a memory of its own: the last that was measured */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void lb_ceiling_lock(void) { pthread_mutex_lock(&lock); }
void lb_ceiling_unlock(void) { pthread_mutex_unlock(&lock); }
size_t lb_ceiling_buffer_bytes(const lb_device *d) {
    return d->backend->memory ? on_device ? on_device->size_bytes : 0 : cached.bytes;
}

/* At least a GiB, random, so that nothing is compressed. The device stays open with it. */
static lb_status device_buffer(lb_device *d, size_t bytes) {
    if (on_device && on_device->device == d && on_device->size_bytes >= bytes) return LB_OK;
    lb_tensor *t = NULL;
    int64_t n = (int64_t)(bytes / 4);
    lb_buffer_release(on_device);
    on_device = NULL;
    lb_status s = lb_tensor_new(d, LB_F32, NULL, 1, &n, &t);
    if (s == LB_OK) s = lb_tensor_fill_uniform(t, 1, -1, 1);
    if (s == LB_OK) s = lb_buffer_push(t->buffer, true);
    if (s == LB_OK) on_device = lb_buffer_retain(t->buffer);
    if (s == LB_OK) lb_memory_add(-(int64_t)bytes);      /* no part of what cases are charged with */
    lb_tensor_release(t);
    return s;
}

size_t lb_ceiling_bytes_for(lb_device *d, double cache_bytes) {
    if (d->backend->memory) {
        double room = (double)d->backend->memory->available(d);
        double want = fmax(lb_cache_cold_bytes(cache_bytes), 1024.0 * MIB);
        return ((size_t)fmin(want, fmin(fmax(room / 4, 2 * cache_bytes), room / 2)) + UNIT - 1) / UNIT * UNIT;
    }
    double bytes = lb_cache_cold_bytes(cache_bytes), room = (double)lb_memory_room_get().available / 4;
    if (bytes < 256.0 * MIB) bytes = 256.0 * MIB;
    if (room > 0 && bytes > room) bytes = room;
    /* what is cached in part gives a ceiling that memory cannot reach */
    if (bytes < 2 * cache_bytes) bytes = 2 * cache_bytes;
    return ((size_t)bytes + UNIT - 1) / UNIT * UNIT;
}

/* Each thread writes the shares that it will read: the pages come from its own memory node, and are not all the
 * kernel's one page of zeros. */
static void touch(void *ctx, int part, int parts) {
    size_t slice = cached.bytes / LB_CEILING_SLICES;
    int64_t begin, end;
    (void)ctx;
    lb_split((int64_t)(slice / 4), 1024, part, parts, &begin, &end);
    for (int i = 0; i < LB_CEILING_SLICES; i++)
        memset((char *)cached.data + (size_t)i * slice + begin * 4, 0, (size_t)(end - begin) * 4);
}

lb_status lb_ceiling_buffer(lb_device *d, size_t bytes) {
    if (d->backend->memory) return device_buffer(d, bytes);
    if (cached.bytes >= bytes) return LB_OK;
    lb_pool *pool = lb_device_pool(d);
    if (!pool)
        return lb_fail(LB_EUNSUPPORTED, "the read bandwidth of device \"%s\" cannot be measured: it has no threads",
                       lb_device_name(d));
    bytes = (bytes + UNIT - 1) / UNIT * UNIT;
    /* mapped here and not allocated from the device, whose memory is counted */
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return lb_fail(LB_ENOMEM, "no memory for the %zu MiB that measuring the read bandwidth needs", bytes / MIB);
#ifdef MADV_HUGEPAGE
    madvise(data, bytes, MADV_HUGEPAGE);
#endif
    if (cached.data) munmap(cached.data, cached.bytes);
    cached.data = data;
    cached.bytes = bytes;
    lb_pool_run(pool, touch, NULL);
    return LB_OK;
}

static void keep_mapped(lb_buffer *b) { (void)b; }

static lb_status operand(lb_device *d, size_t offset, size_t bytes, lb_tensor **out) {
    lb_buffer *b = d->backend->memory ? lb_buffer_retain(on_device) : NULL;
    lb_status s = b ? LB_OK : lb_buffer_wrap(d, cached.data, cached.bytes, keep_mapped, NULL, &b);
    if (s != LB_OK) return s;
    int64_t n = (int64_t)(bytes / 4);
    s = lb_tensor_wrap(b, offset, LB_F32, NULL, 1, &n, out);
    lb_buffer_release(b);
    return s;
}

static bool measures(const lb_kernel *k, const lb_device *d, const lb_args *a, lb_compute compute) {
    const char *why;
    return strcmp(k->op, a->op->name) == 0 && k->compute == compute && lb_kernel_fits(k, d, a, &why);
}

const lb_kernel *lb_ceiling_kernel(const lb_device *d, const lb_args *a, lb_compute compute, int form) {
    const lb_kernel *best = NULL;
    int n = lb_kernel_count();
    for (int i = 0; i < n; i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (measures(k, d, a, compute) && (!best || k->priority > best->priority)) best = k;
    }
    if (form == 0 || !best) return best;
    for (int i = 0; i < n; i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (k != best && k->isa == best->isa && measures(k, d, a, compute) && --form == 0) return k;
    }
    return NULL;
}

lb_status lb_ceiling_plan(lb_device *d, lb_args *a, const lb_kernel *k, lb_plan **out) {
    lb_step_opts opts = { .kernel = k, .native_layout = true };
    *out = NULL;
    if (!k) return LB_OK;
    lb_status s = lb_plan_new(d, out);
    if (s == LB_OK) s = lb_plan_add(*out, a->op, a, &opts, NULL);
    if (s == LB_OK) return s;
    lb_plan_release(*out);
    *out = NULL;
    return s;
}

/* A step whose operands are parts of the buffer, all of one size, and a sink where the operation has one. */
static lb_status memory_plan(lb_device *d, const char *op, int form, const size_t *offsets, int parts, size_t bytes,
                             bool sink, int64_t rounds, lb_plan **out) {
    lb_args a = { .p = { (double)rounds } };
    lb_tensor *t[3] = { NULL };
    int64_t n = 64;
    *out = NULL;
    lb_status s = lb_op_find(op, &a.op);
    for (int i = 0; i < parts && s == LB_OK; i++) s = operand(d, offsets[i], bytes, &t[i]);
    if (s == LB_OK && sink) s = lb_tensor_new(d, LB_F32, NULL, 1, &n, &t[parts++]);
    for (int i = 0; i < parts; i++) a.t[i] = (lb_operand){ &t[i], 1 };
    if (s == LB_OK) s = lb_ceiling_plan(d, &a, lb_ceiling_kernel(d, &a, LB_COMPUTE_NONE, form), out);
    for (int i = 0; i < 3; i++) lb_tensor_release(t[i]);
    return s;
}

lb_status lb_ceiling_read_plan(lb_device *d, int form, size_t offset, size_t bytes, int64_t rounds, lb_plan **out) {
    return memory_plan(d, "peak_read", form, &offset, 1, bytes, true, rounds, out);
}

lb_status lb_ceiling_copy_plan(lb_device *d, size_t from, size_t to, size_t bytes, lb_plan **out) {
    const size_t offsets[] = { from, to };
    return memory_plan(d, "peak_copy", 0, offsets, 2, bytes, false, 0, out);
}

lb_status lb_ceiling_write_plan(lb_device *d, size_t offset, size_t bytes, lb_plan **out) {
    return memory_plan(d, "peak_write", 0, &offset, 1, bytes, false, 0, out);
}
