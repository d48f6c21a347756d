/* cache.h: how fast bytes are read again, by how many others were read in between; and how much the caches hold. */
#pragma once
#include "device.h"

enum { LB_CURVE_MOST = 64 };

/* After reading so many other bytes, what was read first counts as cold; `cache_bytes`: what the caches hold
 * (lb_cache_capacity). Twelve times that, not four: today's caches keep a part of what is read in turn, however much it
 * is. Where they hold 32 to 90 MiB (Zen 5, medians of 60), reads over 128, 256, 512 and 1024 MiB were 9, 6, 4 and 1 %
 * faster than over 2 GiB; in minutes when neighbours left the cache alone, over 256 MiB 9 % faster than over 512.
 * But no more than 1 GiB, or three times large caches: where 260 MiB are shown, and shared with others (a virtual
 * machine on Emerald Rapids), reads over 0.76 and 1.1 GB were as fast, within 2 %, as over 3 GB, and pages for so many
 * copies took most of a run. What one has who has such caches alone was not measured. */
double lb_cache_cold_bytes(double cache_bytes);

/* Rates of reading the same `bytes[i]` (of all threads together, each its own share) over and over, ascending. A read
 * whose reuse distance is that long cannot be expected to be faster. */
typedef struct lb_cache_curve {
    int n;
    double bytes[LB_CURVE_MOST], bytes_per_s[LB_CURVE_MOST];      /* the best of a few samples */
    double median_bytes_per_s[LB_CURVE_MOST];                     /* 0 = unknown */
    double capacity_bytes;           /* the most bytes of which caches still gave half; 0 = no step was seen */
    double l1_bytes_per_s, l2_bytes_per_s, llc_bytes_per_s;   /* the best within each; 0 = unknown */
    double l1_median, l2_median, llc_median;                  /* the medians at the same sizes */
} lb_cache_curve;

/* Sweeps from a part of the first-level cache to what is cold after the last-level caches as shown, at least 256 MiB;
 * about `seconds`, but three passes over each size at least. n = 0, by caps alone, if the device has no read kernel. */
lb_status lb_cache_curve_measure(lb_device *d, double seconds, lb_cache_curve *out);
/* Fills in everything after the points from them, the device's cache sizes and the best read of memory ever seen
 * (`read_bytes_per_s`; 0 = unknown): memory is at least that fast. A sweep while others kept memory busy would else
 * show every rate above theirs as a cache's, and caches several times as large as they are. */
void lb_cache_curve_fit(const lb_device *d, lb_cache_curve *c, double read_bytes_per_s);

/* Bytes that the caches of this device may still hold when they are read again: what was set, else a sweep of some
 * 0.2 s the first time; at least the last-level caches as shown. Hypervisors show their guests caches of other sizes
 * than they have. 0 = unknown. */
double lb_cache_capacity(lb_device *d);
void lb_cache_capacity_set(lb_device *d, double bytes);      /* 0: to be measured when next asked for */
