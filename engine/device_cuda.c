/* device_cuda.c: NVIDIA GPUs: loads luabench_cuda.so where a driver is, keeps freed memory for the next tensor. */
#include "device_cuda.h"

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "nvml.h"

/* ---- the shared object ----------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    const lb_cuda_api *api;
    lb_status status;            /* of loading; the text is kept, too */
    char why[700];
    bool tried, counted;
    int devices;
    char why_none[700];          /* why there are no devices; empty = there are */
} cuda = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Beside the program: build/luabench and build/lib, bin/luabench and lib. LUABENCH_CUDA names another. */
static bool find_so(char *path, size_t bytes) {
    static const char *const places[] = { "lib/luabench_cuda.so", "../lib/luabench_cuda.so",
                                          "../lib/luabench/luabench_cuda.so" };
    char exe[4000];
    const char *own = getenv("LUABENCH_CUDA");
    if (own && *own) return snprintf(path, bytes, "%s", own), access(path, R_OK) == 0;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return snprintf(path, bytes, "lib/luabench_cuda.so"), false;
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, bytes, "%s/%s", exe, places[i]);
        if (access(path, R_OK) == 0) return true;
    }
    snprintf(path, bytes, "%s/%s", exe, places[0]);
    return false;
}

/* Why it is not there is not known here: it may have been built without, or taken away from it. */
static lb_status no_so(const char *path) {
    const char *own = getenv("LUABENCH_CUDA");
    if (own && *own) return lb_fail(LB_EDEVICE, "cuda: LUABENCH_CUDA names %s, which cannot be read", path);
    return lb_fail(LB_EDEVICE,
                   "cuda: there is no CUDA part, %s: either it was not copied along with the program, or it "
                   "was not built (it needs nvcc, and CUDA=0 leaves it out); LUABENCH_CUDA=FILE says where it is, else "
                   "build where the CUDA toolkit is, or use device 'cpu'",
                   path);
}

static lb_status load(void) {
    char path[5000];
    if (!find_so(path, sizeof path)) return no_so(path);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so) return lb_fail(LB_EDEVICE, "cuda: %s", dlerror());
    const lb_cuda_api *api = dlsym(so, LB_CUDA_SYMBOL);
    if (!api || api->abi != LB_CUDA_ABI) {
        dlclose(so);
        return lb_fail(LB_EDEVICE, "cuda: %s belongs to another build of luabench; build both again", path);
    }
    lb_status s = lb_kernel_add(api->kernels, path);
    if (s) return s;
    cuda.api = api;
    return LB_OK;
}

static lb_status load_once(void) {
    if (!cuda.tried) {
        cuda.tried = true;
        cuda.status = load();
        if (cuda.status) snprintf(cuda.why, sizeof cuda.why, "%s", lb_error());
    }
    return cuda.status ? lb_fail(cuda.status, "%s", cuda.why) : LB_OK;
}

lb_status lb_cuda_load(const lb_cuda_api **out) {
    pthread_mutex_lock(&cuda.lock);
    lb_status s = load_once();
    *out = cuda.api;
    pthread_mutex_unlock(&cuda.lock);
    return s;
}

/* ---- which devices --------------------------------------------------------------------------------------------- */

static lb_status find_devices(void) {
    const char *own = getenv("LUABENCH_CUDA");
    char path[5000];
    bool built = find_so(path, sizeof path);
    if (!built) return load_once();
    if (!(own && *own) && !dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL))
        return lb_fail(LB_EDEVICE, "cuda: no NVIDIA driver is installed here (libcuda.so.1: %s)", dlerror());
    lb_status s = load_once();
    if (!s) s = cuda.api->count(&cuda.devices);
    if (!s && cuda.devices == 0) s = lb_fail(LB_EDEVICE, "cuda: the driver shows no device");
    return s;
}

static int cuda_count(void) {
    pthread_mutex_lock(&cuda.lock);
    if (!cuda.counted) {
        cuda.counted = true;
        if (find_devices()) {
            cuda.devices = 0;
            snprintf(cuda.why_none, sizeof cuda.why_none, "%s", lb_error());
        }
    }
    pthread_mutex_unlock(&cuda.lock);
    return cuda.devices;
}

static const char *cuda_missing(void) { return cuda_count() ? "" : cuda.why_none; }

/* ---- freed memory, kept ---------------------------------------------------------------------------------------- */

enum { SMALL = 1 << 20, SMALL_UNIT = 512, LARGE_UNIT = 2 << 20 };

typedef struct kept { void *at; size_t bytes; } kept;

/* One stream uses the memory, so that what was freed can be given out at once: the next use comes after the last. */
typedef struct lb_cuda_cache {
    pthread_mutex_t lock;
    kept *at;
    int count, capacity;
    int64_t bytes;
} lb_cuda_cache;

static size_t rounded(size_t bytes) {
    size_t unit = bytes <= SMALL ? SMALL_UNIT : LARGE_UNIT;
    return (bytes + unit - 1) / unit * unit;
}

/* Sizes are rounded, so that pieces of the same size are common; others stay until there is no room. */
static void *take_kept(lb_cuda_cache *c, size_t bytes) {
    for (int i = c->count - 1; i >= 0; i--) {
        if (c->at[i].bytes != bytes) continue;
        void *p = c->at[i].at;
        c->bytes -= (int64_t)bytes;
        c->at[i] = c->at[--c->count];
        return p;
    }
    return NULL;
}

static void drop_kept(lb_cuda_state *s) {
    for (int i = 0; i < s->cache->count; i++) s->api->free(s->dev, s->cache->at[i].at);
    s->cache->count = 0;
    s->cache->bytes = 0;
}

static lb_status no_room(lb_device *d, size_t bytes) {
    lb_cuda_state *s = lb_cuda_of(d);
    int64_t room = 0, all = 0;
    const double mib = 1.0 / (1 << 20);
    if (s->api->memory(s->dev, &room, &all)) return lb_fail_in(LB_ENOMEM, "no room for %zu bytes", bytes);
    return lb_fail(LB_ENOMEM,
                   "cuda:%s: cannot allocate %.0f MiB: %.0f of %.0f MiB are free (engine buffers hold %.0f MiB)",
                   strchr(d->caps.name, ':') ? strchr(d->caps.name, ':') + 1 : "0", (double)bytes * mib,
                   (double)room * mib, (double)all * mib, (double)lb_memory_now() * mib);
}

static lb_status cuda_alloc(lb_device *d, size_t bytes, void **out) {
    lb_cuda_state *s = lb_cuda_of(d);
    size_t wanted = rounded(bytes);
    pthread_mutex_lock(&s->cache->lock);
    *out = take_kept(s->cache, wanted);
    lb_status st = *out ? LB_OK : s->api->alloc(s->dev, wanted, out);
    if (st == LB_ENOMEM && s->cache->count) {
        drop_kept(s);
        st = s->api->alloc(s->dev, wanted, out);
    }
    pthread_mutex_unlock(&s->cache->lock);
    return st == LB_ENOMEM ? no_room(d, bytes) : st;
}

static void cuda_free(lb_device *d, void *p, size_t bytes) {
    lb_cuda_state *s = lb_cuda_of(d);
    lb_cuda_cache *c = s->cache;
    pthread_mutex_lock(&c->lock);
    if (c->count == c->capacity) {
        int capacity = c->capacity ? 2 * c->capacity : 64;
        kept *at = realloc(c->at, (size_t)capacity * sizeof *at);
        if (at) c->at = at, c->capacity = capacity;
    }
    if (c->count < c->capacity) {
        c->at[c->count++] = (kept){ p, rounded(bytes) };
        c->bytes += (int64_t)rounded(bytes);
    } else {
        s->api->free(s->dev, p);
    }
    pthread_mutex_unlock(&c->lock);
}

static int64_t cuda_available(lb_device *d) {
    lb_cuda_state *s = lb_cuda_of(d);
    int64_t room = 0, all = 0;
    if (s->api->memory(s->dev, &room, &all)) return 0;
    return room + s->cache->bytes;
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

static lb_status cuda_put(lb_device *d, void *device, const void *host, size_t n) {
    return lb_cuda_of(d)->api->put(lb_cuda_of(d)->dev, device, host, n);
}
static lb_status cuda_get(lb_device *d, void *host, const void *device, size_t n) {
    return lb_cuda_of(d)->api->get(lb_cuda_of(d)->dev, host, device, n);
}
static lb_status cuda_copy(lb_device *d, void *to, const void *from, size_t n) {
    return lb_cuda_of(d)->api->copy(lb_cuda_of(d)->dev, to, from, n);
}
static lb_status cuda_set(lb_device *d, void *device, int byte, size_t n) {
    return lb_cuda_of(d)->api->set(lb_cuda_of(d)->dev, device, byte, n);
}

static const lb_device_memory cuda_memory = { .put = cuda_put, .get = cuda_get, .copy = cuda_copy, .set = cuda_set,
                                              .available = cuda_available };

/* ---- life ------------------------------------------------------------------------------------------------------ */

static uint32_t isa_of(int cc) {
    return (cc >= 80 ? LB_ISA_SM80 : 0) | (cc >= 89 ? LB_ISA_SM89 : 0) | (cc >= 90 ? LB_ISA_SM90 : 0) |
           (cc == 90 ? LB_ISA_SM90A : 0);
}

static void cuda_close(lb_device *d) {
    lb_cuda_state *s = d->state;
    if (!s) return;
    if (s->cache) {
        if (s->tickets) s->api->free(s->dev, s->tickets);
        drop_kept(s);
        pthread_mutex_destroy(&s->cache->lock);
        free(s->cache->at);
        free(s->cache);
    }
    lb_nvml_close(s->nvml);
    if (s->dev) s->api->close(s->dev);
    lb_device_release(s->host);
    free(s);
    d->state = NULL;
}

static void fill_caps(lb_device_caps *c, const lb_cuda_props *p) {
    snprintf(c->model, sizeof c->model, "%.*s", (int)sizeof c->model - 1, p->model);
    snprintf(c->pci, sizeof c->pci, "%s", p->pci);
    snprintf(c->uuid, sizeof c->uuid, "%s", p->uuid);
    c->isa = isa_of(p->cc);
    c->memory_bytes = p->memory_bytes;
    c->memory_free_bytes = p->memory_free_bytes;
    c->l2_bytes = c->llc_bytes = p->l2_bytes;
    c->compute_capability = p->cc;
    c->multiprocessors = p->sm_count;
    c->driver_version = p->driver;
    c->runtime_version = p->runtime;
    c->clock_ghz = p->clock_khz * 1e-6;
    c->memory_clock_ghz = p->memory_clock_khz * 1e-6;
    c->nominal_bytes_per_s = 2.0 * p->memory_clock_khz * 1e3 * p->bus_bits / 8;
    c->ecc = p->ecc;
}

static lb_status open_state(lb_device *d, int index) {
    lb_cuda_state *s = d->state;
    lb_cuda_props p;
    void *tickets = NULL;
    lb_status st = lb_cuda_load(&s->api);
    if (!st) st = s->api->open(index, &s->dev);
    if (!st) st = s->api->props(s->dev, &p);
    if (st) return st;
    if (p.cc < 80)
        return lb_fail(LB_EDEVICE, "cuda:%d: %s has compute capability %d.%d; the kernels need 8.0", index, p.model,
                       p.cc / 10, p.cc % 10);
    fill_caps(&d->caps, &p);
    st = s->api->alloc(s->dev, LB_CUDA_BRANCHES * LB_CUDA_TICKET_BYTES, &tickets);
    if (!st) st = s->api->set(s->dev, tickets, 0, LB_CUDA_BRANCHES * LB_CUDA_TICKET_BYTES);
    s->tickets = tickets;
    if (!st) st = s->api->peers(s->dev, d->caps.peers, LB_PEERS_MOST, &d->caps.peer_count);
    if (!st) st = lb_device_open("cpu", 0, &s->host);
    if (!st) s->nvml = lb_nvml_open(p.pci);
    return st;
}

static lb_status cuda_open(lb_device *d, int index, int threads) {
    lb_cuda_state *s = d->state = calloc(1, sizeof *s);
    (void)threads;               /* of the host's work on its tensors: as many as the default */
    if (s) s->cache = calloc(1, sizeof *s->cache);
    if (!s || !s->cache) {
        free(s);
        d->state = NULL;
        return lb_fail(LB_ENOMEM, "cuda:%d: no memory", index);
    }
    pthread_mutex_init(&s->cache->lock, NULL);
    s->ghz = NAN;
    d->threads = 1;
    d->caps.threads_max = 1;
    lb_status st = open_state(d, index);
    if (st) cuda_close(d);
    else d->cache_bytes = (double)d->caps.l2_bytes;
    return st;
}

static lb_pool *cuda_pool(lb_device *d) { return lb_device_pool(lb_cuda_of(d)->host); }
static double cuda_ghz(lb_device *d) { return lb_cuda_of(d)->ghz; }
static bool cuda_lost(lb_device *d) { return lb_cuda_of(d)->api->lost(lb_cuda_of(d)->dev); }
static bool cuda_live(lb_device *d, lb_device_live *out) { return lb_nvml_read(lb_cuda_of(d)->nvml, out); }

const lb_device_backend lb_device_cuda = {
    .name = "cuda",
    .numbered = true,
    .count = cuda_count,
    .missing = cuda_missing,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .pool = cuda_pool,
    .memory = &cuda_memory,
    .frequency_ghz = cuda_ghz,
    .lost = cuda_lost,
    .live = cuda_live,
};
