/* measure_internal.h: what measure.c and measure_judge.c share: a measurement under way. */
#pragma once
#include "disturbance.h"
#include "energy.h"
#include "measure.h"

typedef struct lb_sampling {
    lb_plan *plan;
    const lb_measure_opts *o;
    lb_watcher watcher;
    lb_disturbance disturbance;
    lb_samples s;
    double *ghz;                    /* clock frequency after each sample */
    lb_energy energy;
    double joules, energy_runs;     /* of the samples so far; a GPU's: of all of sampling */
    bool on_gpu;
    int64_t steal_from;             /* the first sample since steal was last read */
    int64_t clocks_from;            /* the same for a GPU's reasons to clock lower */
    uint64_t clocks_read_ns;
    int64_t capacity;
    double extra;                   /* runs that are done beyond those counted, as a share of them */
    double run_ns;                  /* of a run, as sizing and warm-up saw it */
    int64_t share;                  /* counted runs must be a multiple of it, so that the extra ones are whole */
    int64_t quantum;                /* they come in multiples of it: of `share`, and whole graphs where these fit */
} lb_sampling;

static inline double lb_half_width(const lb_stats *s) { return (s->ci_hi - s->ci_lo) / 2; }  /* NaN: too few samples */

/* What the samples say: statistics, marks, what disturbed them, who read conditions. Before the rotation is undone. */
void lb_sampling_judge(lb_sampling *m);
