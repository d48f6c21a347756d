/* measure.h: samples of a plan's time: sized, warmed, taken until the interval is tight, watched for disturbance. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "counters.h"
#include "plan.h"
#include "stats.h"

typedef struct lb_measure_opts {
    double precision;          /* stop when the CI's half-width / median <= this (0.01), twice: lb_stats_enough */
    double max_time_s;         /* or when sampling took this long (5) */
    int64_t min_samples;       /* 24 */
    int64_t samples;           /* > 0: exactly this many, whatever the precision (--measurement-iterations) */
    int64_t warmup;            /* >= 0: exactly this many warm-up epochs (--warmup-iterations); -1 = until stable */
    double warmup_min_s, warmup_max_s;  /* 0.3 and 3: at least, at most */
    lb_cache cache;
    bool eager;                /* one pool submission a step */
    bool isolated;             /* GPUs: each run alone with a cold L2 (lb_plan_replay_isolated) */
    bool unchecked;            /* the rotation's copies are not held against the originals: for what only ranks */
    uint64_t seed;             /* of the jitter and of the order of interleaved plans */
    /* Fault injection for the self-test: plan i of an interleaved measurement (lb_measure: plan 0) does this share more
     * runs than are counted, as real work in the timed loop. NULL = none; 0 = none for that plan. Shares such as 0.01,
     * 0.02, 1/3: a whole number of runs of 1000 at most must make a whole number of extra runs. */
    const double *extra_work;
} lb_measure_opts;
void lb_measure_defaults(lb_measure_opts *o);

/* Marks of a sample: why it may be disturbed. */
enum { LB_MARK_SWITCHED = 1, LB_MARK_FAULTED = 2, LB_MARK_MIGRATED = 4, LB_MARK_DELAYED = 8, LB_MARK_FREQUENCY = 16,
       LB_MARK_OUTLIER_MILD = 32, LB_MARK_OUTLIER_SEVERE = 64, LB_MARK_STOLEN = 128, LB_MARK_THROTTLED = 256 };

typedef struct lb_samples {
    double *ns;                /* per run of the plan, n of them, in the order taken */
    uint32_t *marks;           /* LB_MARK_* of each */
    int64_t n;
    int64_t iterations;        /* runs per sample, a multiple of its quantum; jitter comes on top */
    int64_t warmup_epochs; bool warmup_stable;
    double elapsed_s;
    bool precise;              /* the precision was reached */
    lb_rotation rotation;
    bool unchecked;            /* as was asked: the rotation's copies may be wrong */
    char conditions[400];      /* as lb_plan_conditions says of the rotated plan; eager: "host: mode eager" */
    uint64_t launches;         /* the executor's count over all timed runs */
    int64_t involuntary_switches, major_faults, migrations;   /* -1 = unknown */
    double steal_ns, run_delay_ns, throttled_ns, frequency_ghz;   /* NaN = unknown */
    int64_t disturbed_samples; bool noisy;                    /* noisy: over 5 % disturbed by an independent cause */
    int64_t contended_samples;                                /* of them: by another one than the clock's frequency */
    double joules_per_run;                                    /* of the timed runs, whole packages; NaN = unknown */
    lb_counts counts;          /* of runs after the timed ones; interleaved measurements have none */
    lb_stats stats;
} lb_samples;

lb_status lb_measure(lb_plan *p, const lb_measure_opts *o, lb_samples *out);
void lb_samples_done(lb_samples *s);

/* Interleaved: each round runs every plan once, all with the same number of iterations. A block of `count` rounds is a
 * cyclic Latin square over a fresh seeded permutation (two plans: ABBA or BAAB), and only whole blocks are taken:
 * o->samples is rounded up. out[i] gets plan i's samples; sample j of all plans were taken in the same round. Without
 * o->samples it ends when the sign interval of ln(time of plan i / time of plan 0) has a half-width of o->precision or
 * less for every i, or after max_time_s for each plan. `disturbed_samples` and `noisy` are of each plan. While they
 * take turns the plans work in one workspace and, hot, read operands that are equal from the same memory
 * (plan_share.c); plans of a GPU do not. */
lb_status lb_measure_interleaved(lb_plan *const *plans, int count, const lb_measure_opts *o, lb_samples *out);

/* ---- in pieces: for processes that take turns ----
 * Two processes that are to be compared each hold a sampler and measure a few samples in turn, so that what the machine
 * does in the meantime meets both. */
typedef struct lb_sampler lb_sampler;
/* Rotates, checks the copies, sizes and warms up as lb_measure does; retains the plan. o->samples, precision and times
 * of sampling do not matter here. */
lb_status lb_sampler_new(lb_plan *p, const lb_measure_opts *o, lb_sampler **out);
/* Runs a sample, as sized; and what the number of runs is a multiple of: what makes extra work whole, and whole graphs
 * of a GPU (as many runs as there are rotation sets, where one graph does not hold them). */
enum { LB_QUANTUM_MOST = 1 << 20 };
int64_t lb_sampler_iterations(const lb_sampler *s, int64_t *quantum);
/* What the number of runs must be a multiple of, so that extra work is whole; 1: there is none. */
int64_t lb_sampler_share(const lb_sampler *s);
/* What a run took at the end of the warm-up, in ns. */
double lb_sampler_run_ns(const lb_sampler *s);
/* Takes `samples` more, of `iterations` runs (0: as sized) rounded up to a multiple of `quantum` (0: its own) and
 * jittered. Samplers with the same seed that take the same numbers do the same runs. */
lb_status lb_sampler_take(lb_sampler *s, int64_t samples, int64_t iterations, int64_t quantum);
/* All samples so far, judged; the rotation is undone. The sampler holds nothing after it. LB_EINVAL: there are none. */
lb_status lb_sampler_finish(lb_sampler *s, lb_samples *out);
void lb_sampler_free(lb_sampler *s);   /* NULL is fine */

/* ---- ceilings: what the hardware can do, measured with the same number of threads ---- */
/* Of samples of a millisecond, per second; 0 = not measured. The best of all grows with their number, so that it says
 * how long one looked: it is what nothing may exceed. best_of_ten is what ten samples reach: the median over runs of
 * ten of the best of each (the best of all where there are fewer): it is what a case is held against. */
typedef struct lb_rate { double best, best_of_ten, median; } lb_rate;
typedef struct lb_ceilings {
    lb_rate read, copy, write;               /* bytes/s; copy: read and written; write: past the caches */
    lb_rate ops[LB_COMPUTE_COUNT];           /* per compute type; 0 = no kernel for it here */
} lb_ceilings;
enum { LB_CEILING_READ = 1, LB_CEILING_COPY = 1 << 29, LB_CEILING_WRITE = 1 << 30 };
/* A quick look at what holds now (about `seconds` in all). `what`: LB_CEILING_*, and bit 1 + compute type. Memory is
 * measured over as many bytes as make cold (lb_cache_cold_bytes), as far as a quarter of the free memory allows. */
lb_status lb_ceilings_measure(lb_device *d, double seconds, uint32_t what, lb_ceilings *out);

/* The peak rates of all instruction classes that there are kernels for: one each of operation `peak`. */
typedef struct lb_peak_class { const lb_kernel *kernel; lb_rate ops_per_s; } lb_peak_class;
/* In the registry's order; *count are filled in, at most `most`. About `seconds` in all. */
lb_status lb_ceilings_classes(lb_device *d, double seconds, lb_peak_class *out, int most, int *count);

/* SIGINT: set by the program's handler; long loops return LB_EINTERRUPTED soon after. */
extern volatile int lb_interrupted;
