/* pool.h: pinned threads that run one function together, with a spinning barrier that yields when it must. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "status.h"

typedef struct lb_pool lb_pool;

/* `threads` >= 1 including the caller's. `cpus[i]` pins thread i (NULL = no pinning). */
lb_status lb_pool_new(int threads, const int *cpus, lb_pool **out);
void lb_pool_free(lb_pool *p);
int lb_pool_threads(const lb_pool *p);
/* True if every thread that ran so far sits on its own CPU; the caller's is pinned by its first lb_pool_run. */
bool lb_pool_pinned(const lb_pool *p);

/* Calls fn(ctx, part, threads) on every thread, part 0 on the caller's, and returns when all have returned.
 * Called from inside a run it calls fn(ctx, 0, 1) at once, where barriers only call done(). */
typedef void (*lb_pool_fn)(void *ctx, int part, int parts);
void lb_pool_run(lb_pool *p, lb_pool_fn fn, void *ctx);

/* For use inside fn: waits until all threads have arrived. Before they are released the last one calls
 * done(ctx) if it is not NULL. Spins for a bounded time, then yields, then sleeps (futex). */
void lb_pool_barrier(lb_pool *p, int part, void (*done)(void *ctx), void *ctx);

/* Nanoseconds that thread `part` waited in barriers since the last reset (only counted while enabled; off by
 * default: it costs two clock reads a barrier). */
void lb_pool_wait_enable(lb_pool *p, int on);
uint64_t lb_pool_wait_ns(const lb_pool *p, int part);

/* Splits [0, n) in chunks of `grain` handed out by an atomic counter: for preparation work, not for timing. */
typedef void (*lb_range_fn)(void *ctx, int64_t begin, int64_t end);
void lb_pool_for(lb_pool *p, int64_t n, int64_t grain, lb_range_fn fn, void *ctx);
