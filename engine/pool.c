/* pool.c: pinned threads that run one function together; waits spin, then yield, then sleep on a futex. */
#include "pool.h"
#include "huge.h"
#include "scratch.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Long enough that steps of a plan rarely reach the kernel; short enough not to starve a neighbour on a shared
 * machine. Yielding costs others nothing, and spares us a wake-up of 5 to 50 us in a virtual machine. */
enum { SPIN_NS = 30 * 1000, YIELD_BARRIER_NS = 2000 * 1000, YIELD_IDLE_NS = 300 * 1000 };

/* Everything that one thread writes often has its own pair of cache lines (adjacent lines are fetched together). */
typedef struct slot {
    _Alignas(128) lb_pool *pool;
    pthread_t thread;
    int part, cpu;
    bool started;
    void *scratch;                     /* this thread's, see scratch.h */
    atomic_ullong wait_ns;
} slot;

enum { NEAR_THREADS = 8 };

struct lb_pool {
    int threads;                       /* this line is only read once the pool runs */
    slot *slots;
    atomic_uint *phase;                /* counts barriers: near_phase or far_phase */
    atomic_int measure, unpinned;      /* `unpinned`: a thread could not be pinned */
    _Alignas(128) atomic_uint epoch;   /* counts runs; workers wait for it to change */
    atomic_int idle_sleepers;
    bool stop;                         /* these three are published by `epoch`, and travel with it */
    lb_pool_fn fn;
    void *ctx;
    _Alignas(128) atomic_uint finished; /* counts returns of workers from fn, over all runs */
    atomic_int caller_sleeps;
    /* Few threads: the last to arrive owns the line that it must publish to. Many: those who spin would slow down
     * every arrival, so they look at a line of their own. */
    _Alignas(128) atomic_int arrived;
    atomic_uint near_phase;
    atomic_int barrier_sleepers;
    _Alignas(128) atomic_uint far_phase;
    _Alignas(128) atomic_flag busy;    /* one run at a time; guards `expected` */
    unsigned expected;                 /* what `finished` will be when this run has ended */
};

static _Thread_local const lb_pool *inside;     /* the pool whose fn this thread is running */
static _Thread_local const lb_pool *pinned_for; /* the pool that this calling thread was last pinned for */
static _Thread_local int nested;                /* runs inside a run: serial, barriers do nothing */

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void futex_wait(atomic_uint *word, unsigned value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0); }

/* Returns once *word differs from `value`, or, for `equal`, once it is `value`. */
static void wait_word(atomic_uint *word, unsigned value, bool equal, atomic_int *sleepers, int64_t yield_ns) {
    unsigned v;
#define DONE (((v = atomic_load_explicit(word, memory_order_acquire)) == value) == equal)
    for (int i = 0; i < 200; i++) {
        if (DONE) return;
        pause_cpu();
    }
    uint64_t start = now_ns();
    do {
        for (int i = 0; i < 32; i++) {
            if (DONE) return;
            pause_cpu();
        }
    } while (now_ns() - start < SPIN_NS);
    do {
        if (DONE) return;
        sched_yield();
    } while (now_ns() - start < (uint64_t)(SPIN_NS + yield_ns));
    while (!DONE) {
        /* Sequentially consistent on both sides: either the waker sees the sleeper, or the kernel the new value. */
        atomic_fetch_add(sleepers, 1);
        v = atomic_load(word);
        if ((v == value) != equal) futex_wait(word, v);
        atomic_fetch_sub(sleepers, 1);
    }
#undef DONE
}

static bool pin_self(int cpu) {
    cpu_set_t set;
    if (cpu < 0) return true;
    if (cpu >= CPU_SETSIZE) return false;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

static void *worker(void *arg) {
    slot *s = arg;
    lb_pool *p = s->pool;
    unsigned epoch = 0;
    if (!pin_self(s->cpu)) atomic_store(&p->unpinned, 1);
    inside = p;
    lb_scratch_use(s->scratch);
    for (;;) {
        wait_word(&p->epoch, epoch, false, &p->idle_sleepers, YIELD_IDLE_NS);
        epoch++;
        if (p->stop) return NULL;
        p->fn(p->ctx, s->part, p->threads);
        atomic_fetch_add(&p->finished, 1);
        if (atomic_load(&p->caller_sleeps)) futex_wake(&p->finished);
    }
}

static lb_status start_workers(lb_pool *p) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the main thread */
    int error = 0;
    for (int i = 1; i < p->threads && !error; i++) {
        error = pthread_create(&p->slots[i].thread, NULL, worker, &p->slots[i]);
        p->slots[i].started = error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error) return LB_OK;
    return lb_fail(LB_EDEVICE, "cannot start a pool of %d threads: %s; ask for fewer (--threads)", p->threads,
                   strerror(error));
}

lb_status lb_pool_new(int threads, const int *cpus, lb_pool **out) {
    lb_status s = LB_OK;
    *out = NULL;
    if (threads < 1 || threads > 4096)
        return lb_fail(LB_EINVAL, "thread pool: got %d threads, expected 1 to 4096", threads);
    lb_pool *p = aligned_alloc(128, sizeof *p);
    if (!p) return lb_fail(LB_ENOMEM, "thread pool: no memory");
    memset(p, 0, sizeof *p);
    p->threads = threads;
    p->phase = threads <= NEAR_THREADS ? &p->near_phase : &p->far_phase;
    p->slots = aligned_alloc(128, sizeof *p->slots * (size_t)threads);
    if (!p->slots) {
        s = lb_fail(LB_ENOMEM, "thread pool: no memory for %d threads", threads);
        goto fail;
    }
    memset(p->slots, 0, sizeof *p->slots * (size_t)threads);
    for (int i = 0; i < threads; i++) {
        p->slots[i].pool = p, p->slots[i].part = i, p->slots[i].cpu = cpus ? cpus[i] : -1;
        if (!s) s = lb_huge_alloc(LB_SCRATCH_BYTES, &p->slots[i].scratch);
    }
    if (s) {
        lb_fail_in(s, "thread pool: scratch memory of %d threads", threads);
        goto fail;
    }
    if ((s = start_workers(p))) goto fail;
    *out = p;
    return LB_OK;
fail:
    lb_pool_free(p);
    return s;
}

void lb_pool_free(lb_pool *p) {
    if (!p) return;
    p->stop = true;
    atomic_fetch_add(&p->epoch, 1);
    futex_wake(&p->epoch);
    for (int i = 1; p->slots && i < p->threads; i++)
        if (p->slots[i].started) pthread_join(p->slots[i].thread, NULL);
    for (int i = 0; p->slots && i < p->threads; i++)
        if (p->slots[i].scratch) lb_huge_free(p->slots[i].scratch, LB_SCRATCH_BYTES);
    if (pinned_for == p) pinned_for = NULL; /* another pool may get this address */
    free(p->slots);
    free(p);
}

int lb_pool_threads(const lb_pool *p) { return p->threads; }

bool lb_pool_pinned(const lb_pool *p) { return !atomic_load(&p->unpinned) && p->slots[0].cpu >= 0; }

void lb_pool_run(lb_pool *p, lb_pool_fn fn, void *ctx) {
    if (inside) {
        nested++;
        fn(ctx, 0, 1);
        nested--;
        return;
    }
    while (atomic_flag_test_and_set_explicit(&p->busy, memory_order_acquire)) sched_yield();
    if (pinned_for != p) {
        if (!pin_self(p->slots[0].cpu)) atomic_store(&p->unpinned, 1);
        pinned_for = p;
    }
    inside = p;
    if (p->threads > 1) {
        p->fn = fn;
        p->ctx = ctx;
        p->expected += (unsigned)p->threads - 1;
        atomic_fetch_add(&p->epoch, 1);
        if (atomic_load(&p->idle_sleepers)) futex_wake(&p->epoch);
    }
    void *scratch = lb_scratch_use(p->slots[0].scratch);
    fn(ctx, 0, p->threads);
    lb_scratch_use(scratch);
    if (p->threads > 1) wait_word(&p->finished, p->expected, true, &p->caller_sleeps, YIELD_BARRIER_NS);
    inside = NULL;
    atomic_flag_clear_explicit(&p->busy, memory_order_release);
}

void lb_pool_barrier(lb_pool *p, int part, void (*done)(void *ctx), void *ctx) {
    if (nested || p->threads == 1) {
        if (done) done(ctx);
        return;
    }
    bool measure = atomic_load_explicit(&p->measure, memory_order_relaxed) != 0;
    /* The phase cannot change before this thread has arrived. */
    unsigned phase = atomic_load_explicit(p->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) == p->threads - 1) {
        atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
        if (done) done(ctx);
        atomic_store(p->phase, phase + 1);
        if (atomic_load(&p->barrier_sleepers)) futex_wake(p->phase);
        return;
    }
    uint64_t start = measure ? now_ns() : 0;
    wait_word(p->phase, phase, false, &p->barrier_sleepers, YIELD_BARRIER_NS);
    if (measure) atomic_fetch_add_explicit(&p->slots[part].wait_ns, now_ns() - start, memory_order_relaxed);
}

void lb_pool_wait_enable(lb_pool *p, int on) {
    for (int i = 0; i < p->threads; i++) atomic_store_explicit(&p->slots[i].wait_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&p->measure, on != 0, memory_order_relaxed);
}

uint64_t lb_pool_wait_ns(const lb_pool *p, int part) {
    if (part < 0 || part >= p->threads) return 0;
    return atomic_load_explicit(&p->slots[part].wait_ns, memory_order_relaxed);
}

typedef struct range_job {
    lb_range_fn fn;
    void *ctx;
    int64_t n, grain;
    _Alignas(64) atomic_llong next;
} range_job;

static void range_part(void *ctx, int part, int parts) {
    range_job *j = ctx;
    (void)part, (void)parts;
    for (;;) {
        int64_t begin = atomic_fetch_add_explicit(&j->next, j->grain, memory_order_relaxed);
        if (begin >= j->n) return;
        j->fn(j->ctx, begin, j->n - begin < j->grain ? j->n : begin + j->grain);
    }
}

void lb_pool_for(lb_pool *p, int64_t n, int64_t grain, lb_range_fn fn, void *ctx) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    range_job j = { .fn = fn, .ctx = ctx, .n = n, .grain = grain };
    if (n <= grain || p->threads == 1) { /* no thread is woken for one chunk */
        for (int64_t at = 0; at < n; at += grain) fn(ctx, at, n - at < grain ? n : at + grain);
        return;
    }
    lb_pool_run(p, range_part, &j);
}
