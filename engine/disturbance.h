/* disturbance.h: what the operating system says went on while a sample was taken. Internal to measuring. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { LB_WATCHED_THREADS = 256, LB_WATCHED_GROUPS = 16 };

/* Counters at one moment; -1 = unknown. */
typedef struct lb_snapshot {
    int64_t switches;          /* involuntary, of all threads of the process */
    int64_t faults;            /* major, of all threads */
    int64_t run_delay_ns;      /* threads of the process were ready to run and did not, added up */
    int cpu;                   /* of the calling thread; the others are pinned */
    int64_t throttled_ns;      /* by the CPU quotas of this process's control groups */
} lb_snapshot;

typedef struct lb_watcher {
    int schedstat[LB_WATCHED_THREADS], threads;   /* descriptors; 0 threads = not to be had */
    int groups[LB_WATCHED_GROUPS], group_count;   /* cpu.stat of the control groups that can throttle */
    int stat;                  /* /proc/stat; -1 = not to be had */
    int cpus;                  /* steal counts on so many first CPUs of the topology: those of the device's threads */
    double steal_start, steal_last;               /* ticks; -1 = unknown */
    uint64_t steal_read_ns;    /* when steal_last was read */
} lb_watcher;

/* Totals over a measurement. -1 or NaN = unknown. */
typedef struct lb_disturbance {
    int64_t switches, faults, migrations;
    double run_delay_ns, throttled_ns;
} lb_disturbance;

/* For a run on `threads` threads, which have to exist already. */
void lb_watcher_init(lb_watcher *w, int threads);
void lb_watcher_done(lb_watcher *w);               /* also on one that is all zeros */
/* Costs about 1.5 us and 0.5 us a thread. Call it on the thread that measures. */
void lb_watcher_read(const lb_watcher *w, lb_snapshot *s);
/* Steal is counted in ticks of 10 ms and costs more to read: at most every 10 ms this reads it, returns true, and says
 * how much of the time since the last reading was stolen (0 to 1, the sum over CPUs at most 1). Unknown: false. */
bool lb_watcher_steal(lb_watcher *w, double *share);
/* Time that the hypervisor took from these CPUs since init, in ticks; NaN = unknown. */
double lb_watcher_steal_ns(const lb_watcher *w);

void lb_disturbance_init(lb_disturbance *d);
/* Adds what happened between two snapshots to the totals; returns the LB_MARK_* of a sample that took sample_ns. */
uint32_t lb_disturbance_add(lb_disturbance *d, const lb_snapshot *before, const lb_snapshot *after, double sample_ns);
/* Is that share of stolen time more than noise? */
bool lb_disturbance_stolen(double share);

/* The sum of the steal column over the first `cpus` CPUs of `order` in the text of /proc/stat; -1 = unknown. */
double lb_steal_ticks(const char *text, const int *order, int cpus);
/* ns of throttling in the text of a cpu.stat of either version of control groups; -1 = it does not say. */
int64_t lb_throttled_ns(const char *text);

/* Clock frequency of this CPU now from a chain of dependent additions (one cycle each), about 20 us; NaN where the
 * instruction's latency is not known. */
double lb_frequency_ghz(void);
