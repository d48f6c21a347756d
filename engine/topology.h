/* topology.h: the CPUs and caches that this process may use, read once, before any thread is pinned. */
#pragma once
#include <sched.h>
#include <stdint.h>

enum { LB_CPUS_MAX = 4096 };

typedef struct lb_topology {
    int cpus[LB_CPUS_MAX];   /* usable logical CPUs: one of each physical core first, then their siblings */
    int count;               /* of cpus, at least 1 */
    int cores;               /* physical cores among them; = count where the kernel does not say */
    int64_t l1d_bytes, l2_bytes, llc_bytes;   /* 0 = unknown; llc: all last-level caches of these CPUs together */
    char model[128];
} lb_topology;

/* Never NULL. Without /sys, every usable CPU counts as a core. */
const lb_topology *lb_topology_get(void);
