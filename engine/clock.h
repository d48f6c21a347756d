/* clock.h: the monotonic clock, with what it costs and resolves. */
#pragma once
#include <stdint.h>

uint64_t lb_now_ns(void);                /* CLOCK_MONOTONIC_RAW where it is as cheap, else CLOCK_MONOTONIC */
typedef struct lb_clock_info { const char *name; double resolution_ns, cost_ns; } lb_clock_info;
/* Least nonzero step over 1000 tries and the median cost of a call; measured once, then cached. */
const lb_clock_info *lb_clock_info_get(void);
