/* measure_runs.h: how many runs a sample has: whole runs of extra work, whole graphs of a GPU, jitter. */
#pragma once
#include <stdint.h>

/* The fewest runs of which `share` is a whole number; 0: there are none up to LB_SHARE_RUNS_MOST. */
enum { LB_SHARE_RUNS_MOST = 1000 };
int64_t lb_runs_of_share(double share);
/* Their least common multiple. */
int64_t lb_runs_common(int64_t a, int64_t b);
/* A multiple of `share` (what makes everybody's extra work whole) that suits `own` (one plan's whole graphs) too, and
 * `quantum`, what the plans before it have agreed on, a multiple of `share` itself. Where this is more than `most`, the
 * larger of the two that is not; where neither is, `quantum`: graphs need not be whole, extra work must be. */
int64_t lb_runs_agreed(int64_t quantum, int64_t share, int64_t own, int64_t most);
/* What is launched for `runs` that count: `extra` is a share of them. */
int64_t lb_runs_launched(int64_t runs, double extra);
/* The fewest runs that are a multiple of `quantum` (itself one of lb_runs_of_share(extra)) and of `whole`, as are those
 * launched for them. */
int64_t lb_runs_whole(int64_t quantum, int64_t whole, double extra);
/* `runs` rounded up to a multiple of `quantum`. */
int64_t lb_runs_up(int64_t runs, int64_t quantum);
/* Runs of sample i: `iterations` rounded up, and up to a fifth more, in steps of `quantum`. */
int64_t lb_runs_jittered(int64_t iterations, int64_t quantum, uint64_t seed, int64_t i);
