/* cache.c: how fast bytes are read again, by how many others were read in between; and how much the caches hold. */
#include "cache.h"
#include <math.h>
#include <string.h>
#include "ceilings_internal.h"
#include "clock.h"
#include "device_backend.h"

#define GRAIN 4096                   /* bytes of each thread's share: what lb_split hands out */
#define PASSES 3
#define SAMPLES_MOST 256
#define SAMPLE_BYTES 1e8             /* read in one sample, where the caches are fast: 0.2 to 0.5 ms */
#define LAZY_S 0.05                  /* the passes take longer than this */

double lb_cache_cold_bytes(double cache_bytes) {
    return fmax(fmin(12 * cache_bytes, (double)(1 << 30)), 3 * cache_bytes);
}

/* ---- the sweep ------------------------------------------------------------------------------------------------- */

/* Shares of a thread: by doubling within the caches of one core, then by 1.41. */
static int sizes_of(lb_device *d, double most, double *bytes) {
    const lb_device_caps *caps = lb_device_caps_of(d);
    double threads = lb_device_threads(d), l2 = caps->l2_bytes > 0 ? (double)caps->l2_bytes : 1 << 20;
    int n = 0;
    for (double share = 16384; n < LB_CURVE_MOST && share * threads <= most * 1.01; share *= share < l2 ? 2 : M_SQRT2)
        bytes[n++] = floor(share / GRAIN) * GRAIN * threads;
    return n;
}

/* A few samples of at least a pass each; zeros if no kernel reads. */
static lb_status rate_of(lb_device *d, size_t bytes, double seconds, double *best, double *median) {
    lb_plan *p = NULL;
    double rate[SAMPLES_MOST];
    uint64_t ns = 0, start = lb_now_ns();
    int n = 0;
    int64_t rounds = (int64_t)fmax(1, SAMPLE_BYTES / (double)bytes);
    *best = *median = 0;
    lb_status s = lb_ceiling_read_plan(d, 0, 0, bytes, rounds, &p);
    if (s != LB_OK || !p) return s;
    s = lb_plan_replay(p, 1, &ns, NULL);
    while (s == LB_OK && n < SAMPLES_MOST && (n < PASSES || (double)(lb_now_ns() - start) * 1e-9 < seconds)) {
        if (lb_interrupted) s = lb_fail(LB_EINTERRUPTED, "interrupted while measuring the caches");
        if (s == LB_OK) s = lb_plan_replay(p, 1, &ns, NULL);
        rate[n++] = (double)bytes * (double)rounds / (fmax((double)ns, 1) * 1e-9);
    }
    lb_plan_release(p);
    if (s != LB_OK) return s;
    lb_stats stats;
    lb_stats_of(rate, n, &stats);
    *best = stats.max;
    *median = stats.median;
    return LB_OK;
}

lb_status lb_cache_curve_measure(lb_device *d, double seconds, lb_cache_curve *out) {
    memset(out, 0, sizeof *out);
    if (!(seconds > 0 && seconds <= 3600))
        return lb_fail(LB_EINVAL, "cache curve: got %g seconds to measure; it must be above 0 and at most 3600",
                       seconds);
    double sizes[LB_CURVE_MOST];
    lb_ceiling_lock();
    lb_status s = lb_ceiling_buffer(d, lb_ceiling_bytes_for(d, (double)lb_device_caps_of(d)->llc_bytes));
    int n = s == LB_OK ? sizes_of(d, (double)lb_ceiling_buffer_bytes(d), sizes) : 0;
    for (int i = 0; i < n && s == LB_OK; i++) {
        double best, median;
        s = rate_of(d, (size_t)sizes[i], seconds / n, &best, &median);
        if (s != LB_OK || best <= 0) break;
        out->bytes[out->n] = sizes[i];
        out->median_bytes_per_s[out->n] = median;
        out->bytes_per_s[out->n++] = best;
    }
    lb_ceiling_unlock();
    if (s != LB_OK) return lb_fail_in(s, "caches of device \"%s\"", lb_device_name(d));
    lb_cache_curve_fit(d, out, 0);
    return LB_OK;
}

/* ---- what it says ---------------------------------------------------------------------------------------------- */

static double best_between(const lb_cache_curve *c, double lo, double hi, double *median) {
    double best = 0;
    *median = 0;
    for (int i = 0; i < c->n; i++) {
        if (c->bytes[i] <= lo || c->bytes[i] > hi || c->bytes_per_s[i] <= best) continue;
        best = c->bytes_per_s[i];
        *median = c->median_bytes_per_s[i];
    }
    return best;
}

/* A cyclic read of which a share h comes from the last-level cache takes h / llc + (1 - h) / memory a byte: h is over a
 * half where the time is below the middle of the two. */
void lb_cache_curve_fit(const lb_device *d, lb_cache_curve *c, double read_bytes_per_s) {
    const lb_device_caps *caps = lb_device_caps_of(d);
    double threads = lb_device_threads(d), l1 = (double)caps->l1d_bytes * threads,
        l2 = (double)caps->l2_bytes * threads;
    c->capacity_bytes = c->l1_bytes_per_s = c->l2_bytes_per_s = c->llc_bytes_per_s = 0;
    c->l1_median = c->l2_median = c->llc_median = 0;
    if (c->n < 4) return;
    double median, top = c->bytes[c->n - 1], memory = fmax(best_between(c, top / 1.5, top, &median), read_bytes_per_s);
    if (l1 > 0) c->l1_bytes_per_s = best_between(c, 0, l1 * 0.9, &c->l1_median);
    if (l1 > 0 && l2 > l1) c->l2_bytes_per_s = best_between(c, l1 * 1.5, l2 * 0.8, &c->l2_median);
    double llc = best_between(c, fmax(2 * l2, 1 << 20), top / 4, &median);
    if (!(llc > 1.25 * memory)) return;      /* nothing between the cores' caches and memory can be seen */
    c->llc_bytes_per_s = llc;
    c->llc_median = median;
    double middle = 2 / (1 / llc + 1 / memory);
    for (int i = 0; i < c->n; i++)
        if (c->bytes_per_s[i] > middle) c->capacity_bytes = c->bytes[i];
}

double lb_cache_capacity(lb_device *d) {
    double shown = (double)lb_device_caps_of(d)->llc_bytes;
    lb_cache_curve c;
    if (d->cache_bytes == 0) {
        /* a device that cannot be measured has what it shows; one that was interrupted is measured when next asked
         * for */
        lb_status s = lb_cache_curve_measure(d, LAZY_S, &c);
        if (s == LB_EINTERRUPTED) return shown;
        d->cache_bytes = s == LB_OK && c.capacity_bytes > 0 ? c.capacity_bytes : -1;
    }
    return fmax(shown, d->cache_bytes);
}

void lb_cache_capacity_set(lb_device *d, double bytes) { d->cache_bytes = bytes > 0 ? bytes : 0; }
