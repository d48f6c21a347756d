/* scratch.c: memory that a thread takes and gives back as a stack. */
#include "scratch.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Alignas(4096) char shared[LB_SCRATCH_BYTES];
static atomic_flag shared_busy = ATOMIC_FLAG_INIT;

static _Thread_local char *own;
static _Thread_local size_t taken;

/* Never 0: who takes nothing has taken something too, and the shared piece is its own until it gives that back. */
static size_t rounded(size_t bytes) { return bytes ? (bytes + 63) / 64 * 64 : 64; }

#if defined __SANITIZE_ADDRESS__
/* Each piece by itself, so that what lies beyond its end is known to the sanitizer. */
void *lb_scratch_take(size_t bytes) {
    taken += rounded(bytes);
    assert(taken <= LB_SCRATCH_BYTES);
    return aligned_alloc(64, rounded(bytes));
}

void lb_scratch_give(void *p, size_t bytes) {
    taken -= rounded(bytes);
    free(p);
}
#else
void *lb_scratch_take(size_t bytes) {
    if (!own && taken == 0)
        while (atomic_flag_test_and_set_explicit(&shared_busy, memory_order_acquire)) sched_yield();
    char *p = (own ? own : shared) + taken;
    taken += rounded(bytes);
    assert(taken <= LB_SCRATCH_BYTES);
    return p;
}

void lb_scratch_give(void *p, size_t bytes) {
    taken -= rounded(bytes);
    assert((char *)p == (own ? own : shared) + taken);
    (void)p;
    if (!own && taken == 0) atomic_flag_clear_explicit(&shared_busy, memory_order_release);
}
#endif

void *lb_scratch_use(void *memory) {
    assert(taken == 0);
    void *before = own;
    own = memory;
    return before;
}
