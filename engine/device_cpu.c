/* device_cpu.c: the processor as a device: its memory, its instruction sets and a pool of pinned threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_backend.h"
#include "huge.h"
#include "memory.h"
#include "pool.h"
#include "topology.h"

enum { PAGE = 4096 };                           /* from here up blocks are placed in their pages */
static const size_t guarded_bytes = 256u << 20; /* from here up: ask first whether there is room */

typedef struct cpu_state {
    pthread_mutex_t lock;
    _Atomic(lb_pool *) pool;
} cpu_state;

/* LUABENCH_ISA limits what kernels may use, to compare them and to test every path on one machine. */
static lb_status usable_isa(uint32_t *isa) {
    static const struct {
        const char *name;
        uint32_t needed, allowed;
    } levels[] = {
        { "portable", LB_ISA_PORTABLE, LB_ISA_PORTABLE },
        { "avx2", LB_ISA_AVX2, LB_ISA_AVX2 | LB_ISA_AVX_VNNI },
        { "avx512", LB_ISA_AVX512, ~(uint32_t)(LB_ISA_AMX_BF16 | LB_ISA_AMX_INT8) },
        { "amx", LB_ISA_AMX_BF16 | LB_ISA_AMX_INT8, ~0u },
    };
    *isa = lb_isa_detect();
    const char *level = getenv("LUABENCH_ISA");
    if (!level || !*level) return LB_OK;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(level, levels[i].name) != 0) continue;
        if ((*isa & levels[i].needed) != levels[i].needed)
            return lb_fail(LB_EDEVICE, "LUABENCH_ISA=%s: this machine does not have it", level);
        *isa &= levels[i].allowed;
        return LB_OK;
    }
    return lb_fail(LB_EINVAL, "LUABENCH_ISA: got '%s', expected portable, avx2, avx512 or amx", level);
}

static int cpu_count(void) { return 1; }

static lb_status cpu_open(lb_device *d, int index, int threads) {
    (void)index;
    const lb_topology *t = lb_topology_get();
    if (threads < 0 || threads > t->count)
        return lb_fail(LB_EINVAL, "device 'cpu': got %d threads, expected 1 to %d (the CPUs that this process may use)",
                       threads, t->count);
    lb_status s = usable_isa(&d->caps.isa);
    if (s) return s;
    cpu_state *state = calloc(1, sizeof *state);
    if (!state) return lb_fail(LB_ENOMEM, "device 'cpu': no memory");
    pthread_mutex_init(&state->lock, NULL);
    atomic_init(&state->pool, NULL);
    lb_memory_room room = lb_memory_room_get();
    snprintf(d->caps.model, sizeof d->caps.model, "%s", t->model);
    d->caps.threads_max = t->count;
    d->caps.memory_bytes = room.total > 0 ? room.total : 0;
    d->caps.memory_free_bytes = room.available > 0 ? room.available : 0;
    d->caps.l1d_bytes = t->l1d_bytes;
    d->caps.l2_bytes = t->l2_bytes;
    d->caps.llc_bytes = t->llc_bytes;
    d->threads = threads ? threads : t->cores;
    d->state = state;
    return LB_OK;
}

static void cpu_close(lb_device *d) {
    cpu_state *state = d->state;
    lb_pool_free(atomic_load(&state->pool));
    pthread_mutex_destroy(&state->lock);
    free(state);
}

static lb_pool *cpu_pool(lb_device *d) {
    cpu_state *state = d->state;
    lb_pool *pool = atomic_load_explicit(&state->pool, memory_order_acquire);
    if (pool) return pool;
    pthread_mutex_lock(&state->lock);
    pool = atomic_load(&state->pool);
    if (!pool && lb_pool_new(d->threads, lb_topology_get()->cpus, &pool) == LB_OK) atomic_store(&state->pool, pool);
    pthread_mutex_unlock(&state->lock);
    return pool;
}

static bool cpu_pinned(const lb_device *d) {
    const lb_pool *pool = atomic_load(&((cpu_state *)d->state)->pool);
    return pool && lb_pool_pinned(pool);
}

static int cpu_of(const lb_device *d, int thread) { return (void)d, lb_topology_get()->cpus[thread]; }

/* Linux promises more memory than it has and kills the process that believes it: refuse what is seen not to fit. */
static lb_status guard(size_t bytes) {
    if (bytes < guarded_bytes) return LB_OK;
    lb_memory_room room = lb_memory_room_get();
    if (room.available >= 0 && bytes > (size_t)room.available && lb_huge_kept()) {
        lb_huge_trim();
        room = lb_memory_room_get();
    }
    const double mib = 1.0 / (1 << 20);
    if (room.total > 0 && bytes > (size_t)room.total)
        return lb_fail(LB_ENOMEM, "cpu: cannot allocate %.0f MiB: %s %.0f MiB in all", (double)bytes * mib,
                       room.limited ? "this process may use" : "the machine has", (double)room.total * mib);
    if (room.available >= 0 && bytes > (size_t)room.available)
        return lb_fail(LB_ENOMEM, "cpu: cannot allocate %.0f MiB: %.0f MiB are free (engine buffers hold %.0f MiB)",
                       (double)bytes * mib, (double)room.available * mib, (double)lb_memory_now() * mib);
    return LB_OK;
}

/* Under the address sanitizer all but the largest come from malloc, which it can watch. */
#if defined __SANITIZE_ADDRESS__
static const size_t huge_least = 16u << 20;
#else
static const size_t huge_least = LB_HUGE_LEAST;
#endif

/* Blocks of pages begin at a place in the page that their size decides (huge ones at its begin): what two plans write
 * in tensors of one size then aliases the same way with what they read. */
static size_t colour_of(size_t bytes) { return (bytes / 64 * 0x9e3779b97f4a7c15u >> 58) * 64; }

static lb_status cpu_alloc(lb_device *d, size_t bytes, void **out) {
    (void)d;
    if (bytes > (size_t)1 << 62) return lb_fail(LB_ENOMEM, "cpu: cannot allocate %zu bytes", bytes);
    lb_status s = guard(bytes);
    if (s) return s;
    if (bytes >= huge_least) return lb_huge_alloc(bytes, out);
    size_t colour = bytes >= PAGE ? colour_of(bytes) : 0;
    /* no whole pages: what lies beyond the end is then known to sanitizers */
    if (posix_memalign(out, bytes >= PAGE ? PAGE : 64, colour + (bytes + 63) / 64 * 64)) *out = NULL;
    else *out = (char *)*out + colour;
    return *out ? LB_OK : lb_fail(LB_ENOMEM, "cpu: cannot allocate %zu bytes", bytes);
}

static void cpu_free(lb_device *d, void *p, size_t bytes) {
    (void)d;
    if (bytes >= huge_least)
        lb_huge_free(p, bytes);
    else
        free((char *)p - (bytes >= PAGE ? colour_of(bytes) : 0));
}

const lb_device_backend lb_device_cpu = {
    .name = "cpu",
    .numbered = false,
    .count = cpu_count,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .pool = cpu_pool,
    .pinned = cpu_pinned,
    .cpu = cpu_of,
};
