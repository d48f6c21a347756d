/* counters.h: the processor's performance counters over runs of a plan (perf_event), where the kernel allows them. */
#pragma once
#include <sys/types.h>
#include "plan.h"

typedef enum lb_counter { LB_COUNTER_CYCLES, LB_COUNTER_INSTRUCTIONS, LB_COUNTER_CACHE_REFERENCES,
                          LB_COUNTER_CACHE_MISSES, LB_COUNTER_BRANCHES, LB_COUNTER_BRANCH_MISSES,
                          LB_COUNTER_COUNT } lb_counter;
const char *lb_counter_name(lb_counter c);       /* "cycles", "cache_misses" */

typedef struct lb_counts {
    double per_run[LB_COUNTER_COUNT];  /* user mode, all threads of the process together, waiting in barriers included;
                                          NaN = unknown */
    double running_share;              /* the least share of its time that a thread's counters were counting: below 1
                                          others used them too, and the counts are scaled up; NaN = unknown */
    int64_t runs;
    char reason[256];                  /* why nothing was counted; "" if something was */
} lb_counts;

/* What talks to the kernel, so that a test can be the kernel. */
struct perf_event_attr;
typedef struct lb_perf {
    int (*open)(struct perf_event_attr *attr, pid_t thread, int group);    /* descriptor, or -1 and errno */
    int (*control)(int fd, unsigned long request);
    ssize_t (*read)(int fd, void *out, size_t bytes);
    int (*close)(int fd);
} lb_perf;
extern const lb_perf lb_perf_kernel;

/* Counts `runs` runs of a plan, apart from any that is timed. Counters that ran for less than 90 % of the time are
 * refused, with the reason. An error is one of the plan's; missing counters are none. */
lb_status lb_counters_run(lb_plan *p, int64_t runs, bool eager, const lb_perf *perf, lb_counts *out);
/* Why counters cannot be had here; "" if they can. Tried once with the kernel. */
const char *lb_counters_reason(void);
