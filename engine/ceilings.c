/* ceilings.c: what the hardware can do now: the read bandwidth and the arithmetic rate of each compute type.
 *
 * The kernels that measure it come from the registry like any other: operation `peak_read`, and `peak` with the
 * compute type in its descriptor. All threads of the device take part, as they do in what is compared with it. */
#include <math.h>
#include <string.h>
#include "ceilings_internal.h"
#include "clock.h"
#include "device_backend.h"
#include "ops/slots.h"

#define RUNS_LEAST 3
#define RUNS_MOST 4096
#define SLICES LB_CEILING_SLICES
#define PEAK_ROUNDS 64               /* of 2^20 operations on every part: a fraction of a millisecond */

static lb_status peak_plan(lb_device *d, lb_compute compute, lb_plan **out, double *ops) {
    lb_args a = { 0 };
    lb_tensor *sink = NULL;
    int64_t n = 64;
    lb_status s = lb_op_find("peak", &a.op);
    if (s == LB_OK) s = lb_tensor_new(d, LB_F32, NULL, 1, &n, &sink);
    if (s == LB_OK) {
        a.t[LB_PEAK_SINK] = (lb_operand){ &sink, 1 };
        a.p[LB_PEAK_P_ROUNDS] = PEAK_ROUNDS;
        s = lb_ceiling_plan(d, &a, compute, out);
        *ops = LB_PEAK_OPS_PER_ROUND * PEAK_ROUNDS * lb_device_threads(d);
    }
    lb_tensor_release(sink);
    return s;
}

/* ---- rates ----------------------------------------------------------------------------------------------------- */

/* Plans that are run in turn, each doing `work` (bytes or operations). Arithmetic has one; reading has one for each
 * slice of the buffer, so that a sample is short, and finds its bytes in memory all the same. */
typedef struct turns {
    lb_plan *plans[SLICES];
    int count, next;
    double work;
} turns;

/* `n` runs; *ns is their time without what lies between them. */
static lb_status run_turns(turns *t, int64_t n, double *ns) {
    uint64_t elapsed = 0;
    *ns = 0;
    if (lb_interrupted) return lb_fail(LB_EINTERRUPTED, "interrupted while measuring the machine's ceilings");
    for (int64_t i = 0; i < n; i++) {
        lb_status s = lb_plan_replay(t->plans[t->next], t->count == 1 ? n : 1, &elapsed, NULL);
        if (s != LB_OK) return s;
        *ns += (double)elapsed;
        if (t->count == 1) break;
        t->next = (t->next + 1) % t->count;
    }
    return LB_OK;
}

/* Samples of a millisecond or so for about `seconds`; the best rate is the ceiling, the median what can be expected. */
static lb_status rates(turns *t, double seconds, double *best, double *median) {
    double rate[RUNS_MOST], ns;
    uint64_t start = lb_now_ns();
    lb_status s = run_turns(t, t->count, &ns);      /* wakes the threads, fills the TLBs */
    if (s != LB_OK) return s;
    double wanted_ns = 1e6, each_ns = fmax(ns / t->count, 100);
    double n = fmax(1, ceil(wanted_ns / each_ns));
    int runs = 0;
    while (runs < RUNS_MOST && (runs < RUNS_LEAST || (double)(lb_now_ns() - start) * 1e-9 < seconds)) {
        s = run_turns(t, (int64_t)n, &ns);
        if (s != LB_OK) return s;
        if (ns > 0) rate[runs++] = t->work * n / (ns * 1e-9);
    }
    lb_stats stats;
    lb_stats_of(rate, runs, &stats);
    *best = stats.max;
    *median = stats.median;
    return LB_OK;
}

/* Not lb_cache_capacity, which would measure. */
static double known_cache(const lb_device *d) {
    return fmax((double)lb_device_caps_of(d)->llc_bytes, d->cache_bytes);
}

/* One ceiling; both rates stay 0 where there is no kernel to measure it. */
static lb_status measure_one(lb_device *d, int bit, double seconds, double *best, double *median) {
    turns t = { .count = bit == 0 ? SLICES : 1 };
    lb_status s = bit == 0 ? lb_ceiling_buffer(d, lb_ceiling_bytes_for(d, known_cache(d))) : LB_OK;
    size_t slice = lb_ceiling_buffer_bytes() / SLICES;
    for (int i = 0; i < t.count && s == LB_OK; i++) {
        s = bit == 0 ? lb_ceiling_read_plan(d, (size_t)i * slice, slice, 1, &t.plans[i])
                     : peak_plan(d, (lb_compute)(bit - 1), &t.plans[i], &t.work);
    }
    if (bit == 0) t.work = (double)slice;
    if (s == LB_OK && t.plans[0]) s = rates(&t, seconds, best, median);
    for (int i = 0; i < t.count; i++) lb_plan_release(t.plans[i]);
    return s;
}

lb_status lb_ceilings_measure(lb_device *d, double seconds, uint32_t what, lb_ceilings *out) {
    memset(out, 0, sizeof *out);
    if (!(seconds > 0 && seconds <= 3600))
        return lb_fail(LB_EINVAL, "ceilings: got %g seconds to measure; it must be above 0 and at most 3600", seconds);
    what &= (1u << (LB_COMPUTE_COUNT + 1)) - 1;
    what &= ~(1u << (1 + LB_COMPUTE_NONE));
    if (!what) return LB_OK;
    double share = seconds / __builtin_popcount(what), median;
    lb_status s = LB_OK;
    lb_ceiling_lock();
    for (int bit = 0; bit <= LB_COMPUTE_COUNT && s == LB_OK; bit++) {
        if (!(what >> bit & 1)) continue;
        if (bit == 0) s = measure_one(d, 0, share, &out->read_bytes_per_s, &out->median_read_bytes_per_s);
        else s = measure_one(d, bit, share, &out->ops_per_s[bit - 1], &median);
    }
    lb_ceiling_unlock();
    return s == LB_OK ? s : lb_fail_in(s, "ceilings of device \"%s\"", lb_device_name(d));
}
