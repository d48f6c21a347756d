/* machine.h: what is known of the machine; unknown strings are "", unknown numbers -1. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct lb_machine {
    char cpu[128], isa[128], kernel[128], governor[32], hostname[64], os[128], thp[32], clocksource[32];
    int cores_physical, cores_logical, cores_usable, numa_nodes, smt;   /* smt: threads per core */
    int64_t l1d_bytes, l1i_bytes, l2_bytes, l3_bytes, llc_total_bytes;
    int l1d_cpus, l1i_cpus, l2_cpus, l3_cpus;   /* logical CPUs that share one of these; -1 = unknown */
    int64_t memory_bytes, memory_available_bytes, cgroup_memory_bytes;
    double load1;
    double memory_pressure;     /* % of the last 10 s in which some task waited for memory */
    int virtualized, boost;     /* 1 yes, 0 no, -1 unknown */
} lb_machine;
const lb_machine *lb_machine_get(void);      /* read once */
/* CPUs in a list as the kernel writes it: 6 in "0-3,8-9"; -1 = no such list. */
int lb_machine_count_cpus(const char *list);
/* "some avg10=" of the text of /proc/pressure/memory; -1 = not there. */
double lb_machine_pressure(const char *text);
/* Warnings for people, one a line in `out` (governor not performance, SMT on, load, little memory, ...). */
void lb_machine_warnings(char *out, size_t out_bytes);
