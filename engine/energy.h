/* energy.h: what the processor's own counters say that it used (RAPL, as Linux shows it under powercap). */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { LB_ENERGY_ZONES = 32 };

typedef struct lb_energy {
    int count;                               /* zones: packages, and the memory of each where it is counted apart */
    struct { int fd; double range_uj, last_uj; char name[64]; } zones[LB_ENERGY_ZONES];
    char reason[256];                        /* why there is none; "" if there is */
} lb_energy;

/* Opens the counters under `root`; NULL: those of this machine, or of the folder that LUABENCH_POWERCAP names (a copy
 * made for a test). Never fails: count is 0 and `reason` says why. */
void lb_energy_open(lb_energy *e, const char *root);
void lb_energy_close(lb_energy *e);          /* also on one that is all zeros */

/* Joules since the last call (or since open), of all zones together: of the whole package, whoever used it. The
 * counters step about every millisecond and wrap every few minutes: call it more often than that. NaN = unknown. */
double lb_energy_joules(lb_energy *e);
