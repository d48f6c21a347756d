/* disturbance.h: what the operating system says went on while a sample was taken. Internal to measuring. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Counters at one moment; -1 = unknown. */
typedef struct lb_snapshot {
    int64_t switches;          /* involuntary, of all threads of the process */
    int64_t faults;            /* major, of all threads */
    int64_t run_delay_ns;      /* the calling thread was ready to run and did not */
    int cpu;                   /* of the calling thread */
} lb_snapshot;

typedef struct lb_watcher {
    int schedstat;             /* descriptor; -1 = not to be had */
    double steal_ticks;        /* at the start; -1 = unknown */
} lb_watcher;

/* Totals over a measurement. -1 or NaN = unknown. */
typedef struct lb_disturbance {
    int64_t switches, faults, migrations;
    double run_delay_ns;
} lb_disturbance;

void lb_watcher_init(lb_watcher *w);
void lb_watcher_done(lb_watcher *w);
/* Costs about 1.5 us. Call it on the thread that measures. */
void lb_watcher_read(const lb_watcher *w, lb_snapshot *s);
/* Time that the hypervisor took from the CPUs that this process may use since init, in 10 ms steps; NaN = unknown. */
double lb_watcher_steal_ns(const lb_watcher *w);

void lb_disturbance_init(lb_disturbance *d);
/* Adds what happened between two snapshots to the totals; returns the LB_MARK_* of a sample that took sample_ns. */
uint32_t lb_disturbance_add(lb_disturbance *d, const lb_snapshot *before, const lb_snapshot *after, double sample_ns);

/* Clock frequency of this CPU now from a chain of dependent additions (one cycle each), about 20 us; NaN where the
 * instruction's latency is not known. */
double lb_frequency_ghz(void);
