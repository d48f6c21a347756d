/* measure_runs.h: how many runs a sample has: whole runs of extra work, whole graphs of a GPU, jitter. */
#pragma once
#include <stdint.h>

/* The fewest runs of which `share` is a whole number; 0: there are none up to LB_SHARE_RUNS_MOST. */
enum { LB_SHARE_RUNS_MOST = 1000 };
int64_t lb_runs_of_share(double share);
/* Their least common multiple. */
int64_t lb_runs_common(int64_t a, int64_t b);
/* What is launched for `runs` that count: `extra` is a share of them. */
int64_t lb_runs_launched(int64_t runs, double extra);
/* The fewest runs that are a multiple of `quantum` (itself one of lb_runs_of_share(extra)) and of `whole`, as are those
 * launched for them. */
int64_t lb_runs_whole(int64_t quantum, int64_t whole, double extra);
/* `runs` rounded up to a multiple of `quantum`. */
int64_t lb_runs_up(int64_t runs, int64_t quantum);
/* Runs of sample i: `iterations` rounded up, and up to a fifth more, in steps of `quantum`. */
int64_t lb_runs_jittered(int64_t iterations, int64_t quantum, uint64_t seed, int64_t i);
