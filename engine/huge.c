/* huge.c: regions of huge pages, cut into granules of 4 KiB; a buffer is a run of them. What is free is kept beside the
 * region, never in it. Of a large buffer the pages that nothing else lies in go back to the system at once; of the
 * regions that are empty some are kept as they are, since fresh pages can cost more than what is measured on them: in a
 * virtual machine two thirds of the time of comparing five plans, each with copies of its weights, went into zeroing
 * them. */
#include "huge.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"

/* A region is addresses; what was never touched takes no memory. Matrices of 17 MiB with a mapping each took 5 % more
 * than their bytes, for the ends of their last pages. */
enum { PAGE = 2 << 20, GRANULE = 4 << 10, GRANULES = (256 << 20) / GRANULE, PAGE_GRANULES = PAGE / GRANULE };
static const size_t alone_bytes = 64u << 20; /* from here up a mapping of its own */
static const size_t large_bytes = 16u << 20; /* from here up memory goes back when it is freed */
static const size_t region_bytes = (size_t)GRANULES * GRANULE;
static const size_t kept_most = (size_t)2 << 30;   /* of empty regions, and an eighth of what the process may use */

typedef struct region {
    struct region *next;
    char *base;
    int used, hint;              /* granules taken; where the search begins: behind the last one given */
    uint8_t taken[GRANULES];
} region;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static region *regions;

static size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static char *map_pages(size_t size) {
    char *p = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t before = round_up((uintptr_t)p, PAGE) - (uintptr_t)p;
    if (before) munmap(p, before);
    if (before < PAGE) munmap(p + before + size, PAGE - before);
    madvise(p + before, size, MADV_HUGEPAGE);
    return p + before;
}

/* The first run of n free granules in [from, to), or -1. */
static int free_run(const region *r, int n, int from, int to) {
    for (int i = from; i + n <= to;) {
        const uint8_t *begin = memchr(r->taken + i, 0, (size_t)(to - i));
        if (!begin || (i = (int)(begin - r->taken)) + n > to) return -1;
        const uint8_t *taken = memchr(begin, 1, (size_t)n);
        if (!taken) return i;
        i = (int)(taken - r->taken) + 1;
    }
    return -1;
}

static void *take(region *r, int n) {
    if (GRANULES - r->used < n) return NULL;
    int at = free_run(r, n, r->hint, GRANULES);
    if (at < 0) at = free_run(r, n, 0, r->hint + n < GRANULES ? r->hint + n : GRANULES);
    if (at < 0) return NULL;
    memset(r->taken + at, 1, (size_t)n);
    r->used += n;
    r->hint = at + n;
    return r->base + (size_t)at * GRANULE;
}

/* The next three are called with the lock held. */
static size_t empty_bytes(void) {
    size_t bytes = 0;
    for (const region *r = regions; r; r = r->next) bytes += r->used ? 0 : region_bytes;
    return bytes;
}

static void unmap_empty(void) {
    for (region **at = &regions; *at;) {
        region *r = *at;
        if (r->used) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        munmap(r->base, region_bytes);
        free(r);
    }
}

/* Gives the empty regions back unless the system has room for `bytes` more and a region beside them. */
static void make_room(size_t bytes) {
    if (!empty_bytes()) return;
    int64_t available = lb_memory_room_get().available;
    if (available >= 0 && (size_t)available < bytes + region_bytes) unmap_empty();
}

static region *add_region(void) {
    region *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->base = map_pages(region_bytes);
    if (!r->base) {
        free(r);
        return NULL;
    }
    r->next = regions;
    return regions = r;
}

static int granules(size_t bytes) { return (int)(round_up(bytes, GRANULE) / GRANULE); }

lb_status lb_huge_alloc(size_t bytes, void **out) {
    void *p = NULL;
    pthread_mutex_lock(&lock);
    if (bytes >= alone_bytes) {
        make_room(bytes);
    } else {
        for (region *r = regions; r && !p; r = r->next) p = take(r, granules(bytes));
        region *fresh = p ? NULL : add_region();
        if (fresh) p = take(fresh, granules(bytes));
    }
    if (!p) p = map_pages(round_up(bytes, PAGE));
    if (!p) { /* addresses may be limited */
        unmap_empty();
        p = map_pages(round_up(bytes, PAGE));
    }
    pthread_mutex_unlock(&lock);
    if (!p) return lb_fail(LB_ENOMEM, "cpu: cannot allocate %zu bytes: %s", bytes, strerror(errno));
    *out = p;
    return LB_OK;
}

/* Gives the memory of pages back that granules [from, to) have a part in and that are wholly free. */
static void drop_free(const region *r, int from, int to) {
    for (int page = from / PAGE_GRANULES; page * PAGE_GRANULES < to; page++)
        if (!memchr(r->taken + page * PAGE_GRANULES, 1, PAGE_GRANULES))
            madvise(r->base + (size_t)page * PAGE, PAGE, MADV_DONTNEED);
}

/* May the region that has just become empty stay? One may where the process may use so much: it is not looked for
 * others each time that a buffer comes and goes. */
static bool may_keep(void) {
    static size_t most;
    size_t empty = empty_bytes();
    if (!most) {
        int64_t total = lb_memory_room_get().total;
        most = total < 0 || (size_t)total / 8 > kept_most ? kept_most : (size_t)total / 8 + 1;
    }
    if (empty <= region_bytes) return empty <= most;
    int64_t available = lb_memory_room_get().available;
    return empty <= most && (available < 0 || (size_t)available >= 2 * kept_most);
}

/* Is it in a region? */
static bool give_back(char *p, size_t bytes) {
    region **at = &regions;
    while (*at && (p < (*at)->base || p >= (*at)->base + region_bytes)) at = &(*at)->next;
    region *r = *at;
    if (!r) return false;
    int first = (int)((p - r->base) / GRANULE), n = granules(bytes);
    memset(r->taken + first, 0, (size_t)n);
    r->used -= n;
    if (!r->used) r->hint = 0;      /* the next buffer lies where the pages are */
    if (r->used && bytes >= large_bytes) drop_free(r, first, first + n);
    if (r->used || may_keep()) return true;
    *at = r->next;
    munmap(r->base, region_bytes);
    free(r);
    return true;
}

void lb_huge_free(void *p, size_t bytes) {
    bool shared = false;
    if (bytes < alone_bytes) {
        pthread_mutex_lock(&lock);
        shared = give_back(p, bytes);
        pthread_mutex_unlock(&lock);
    }
    if (!shared) munmap(p, round_up(bytes, PAGE));
}

size_t lb_huge_kept(void) {
    pthread_mutex_lock(&lock);
    size_t bytes = empty_bytes();
    pthread_mutex_unlock(&lock);
    return bytes;
}

void lb_huge_trim(void) {
    pthread_mutex_lock(&lock);
    unmap_empty();
    for (region *r = regions; r; r = r->next) drop_free(r, 0, GRANULES);
    pthread_mutex_unlock(&lock);
}
