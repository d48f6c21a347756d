/* ceilings.c: what the hardware can do now: bandwidths of memory and the arithmetic rate of each compute type.
 *
 * The kernels that measure it come from the registry like any other: operations `peak_read`, `peak_copy` and
 * `peak_write`, and `peak` with the compute type in its descriptor. All threads of the device take part, as they do in
 * what is compared with it. Reads are measured in every form that the registry has for the machine's widest vectors,
 * and the best counts: which one that is moves with the state of a shared memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cache.h"
#include "ceilings_internal.h"
#include "clock.h"
#include "device_backend.h"
#include "ops/slots.h"

#define RUNS_LEAST 3
#define RUNS_MOST 4096
#define SLICES LB_CEILING_SLICES
#define FORMS LB_CEILING_FORMS
#define SAMPLE_NS 1e6
#define PEAK_ROUNDS_GPU (1 << 20)    /* a millisecond at 1e15 operations a second */
#define PEAK_ROUNDS 64               /* of 2^20 operations on every part: a fraction of a millisecond */

/* By this kernel, or (NULL) the best for a compute type. */
static lb_status peak_plan(lb_device *d, const lb_kernel *k, lb_compute compute, lb_plan **out, double *ops) {
    lb_args a = { 0 };
    lb_tensor *sink = NULL;
    int64_t n = 64;
    lb_status s = lb_op_find("peak", &a.op);
    if (s == LB_OK) s = lb_tensor_new(d, LB_F32, NULL, 1, &n, &sink);
    if (s == LB_OK) {
        a.t[LB_PEAK_SINK] = (lb_operand){ &sink, 1 };
        double rounds = d->backend->memory ? PEAK_ROUNDS_GPU : PEAK_ROUNDS;
        a.p[LB_PEAK_P_ROUNDS] = rounds;
        s = lb_ceiling_plan(d, &a, k ? k : lb_ceiling_kernel(d, &a, compute, 0), out);
        *ops = LB_PEAK_OPS_PER_ROUND * rounds * lb_device_threads(d);
    }
    lb_tensor_release(sink);
    return s;
}

/* ---- rates ----------------------------------------------------------------------------------------------------- */

/* Plans that are run in turn, each doing `work` (bytes or operations). Arithmetic has one; reading has one for each
 * slice of the buffer, so that a sample is short, and finds its bytes in memory all the same. Where the machine has
 * several forms of a kernel (reading with prefetch and without), each has plans of its own over the same slices. */
typedef struct turns {
    lb_plan *plans[FORMS][SLICES];
    int forms, count, next;
    double work;
} turns;

/* `n` runs of a form; *ns is their time without what lies between them. The slices follow on from one form's run to
 * the next one's, so that none finds what another has just read. */
static lb_status run_turns(turns *t, int form, int64_t n, double *ns) {
    uint64_t elapsed = 0;
    *ns = 0;
    if (lb_interrupted) return lb_fail(LB_EINTERRUPTED, "interrupted while measuring the machine's ceilings");
    for (int64_t i = 0; i < n; i++) {
        lb_status s = lb_plan_replay(t->plans[form][t->next], t->count == 1 ? n : 1, &elapsed, NULL);
        if (s != LB_OK) return s;
        *ns += (double)elapsed;
        if (t->count == 1) break;
        t->next = (t->next + 1) % t->count;
    }
    return LB_OK;
}

static void release(turns *t) {
    for (int f = 0; f < FORMS; f++)
        for (int i = 0; i < t->count; i++) lb_plan_release(t->plans[f][i]);
}

/* The median over runs of ten samples (up to 19 where they do not come out even) of the best of each. */
static double best_of_ten(const double *rate, int n) {
    double best[RUNS_MOST / 10];
    int tens = n < 20 ? 1 : n / 10;
    for (int i = 0; i < tens; i++) {
        best[i] = 0;
        for (int j = i * n / tens; j < (i + 1) * n / tens; j++) best[i] = fmax(best[i], rate[j]);
    }
    lb_stats stats;
    lb_stats_of(best, tens, &stats);
    return stats.median;
}

/* Samples of a millisecond or so of each form by turns for about `seconds`. Of every figure the form counts that has
 * the highest. */
static lb_status sample_turns(turns *t, double seconds, lb_rate *out) {
    double (*rate)[RUNS_MOST] = malloc(FORMS * sizeof *rate), ns = 0;
    int64_t n[FORMS];
    if (!rate) return lb_fail(LB_ENOMEM, "ceilings: no memory for %d samples", FORMS * RUNS_MOST);
    uint64_t start = lb_now_ns();
    lb_status s = LB_OK;
    int runs = 0;
    for (int f = 0; f < t->forms && s == LB_OK; f++) {
        s = run_turns(t, f, t->count, &ns);      /* wakes the threads, fills the TLBs */
        n[f] = (int64_t)fmax(1, ceil(SAMPLE_NS / fmax(ns / t->count, 100)));
    }
    while (s == LB_OK && runs < RUNS_MOST &&
           (runs < RUNS_LEAST || (double)(lb_now_ns() - start) * 1e-9 < seconds)) {
        for (int f = 0; f < t->forms && s == LB_OK; f++) {
            s = run_turns(t, f, n[f], &ns);
            rate[f][runs] = ns > 0 ? t->work * (double)n[f] / (ns * 1e-9) : 0;
        }
        runs++;
    }
    for (int f = 0; f < t->forms && s == LB_OK; f++) {
        lb_stats stats;
        lb_stats_of(rate[f], runs, &stats);
        out->best = fmax(out->best, stats.max);
        out->median = fmax(out->median, stats.median);
        out->best_of_ten = fmax(out->best_of_ten, fmax(best_of_ten(rate[f], runs), stats.median));
    }
    free(rate);
    return s;
}

/* Releases the plans. Without one the rates stay zero. */
static lb_status rates(turns *t, double seconds, lb_rate *out) {
    lb_status s = t->forms > 0 ? sample_turns(t, seconds, out) : LB_OK;
    release(t);
    return s;
}

/* A device with a memory of its own has the caches that it shows. */
static double cache_of(lb_device *d) {
    return d->backend->memory ? fmax((double)lb_device_caps_of(d)->llc_bytes, d->cache_bytes) : lb_cache_capacity(d);
}

/* ---- ceilings -------------------------------------------------------------------------------------------------- */

/* The plan of one form that reads, copies or writes slice `i`; *out stays NULL where there is no such form. */
static lb_status memory_plan(lb_device *d, uint32_t what, int form, int i, size_t slice, int wanted, lb_plan **out) {
    size_t at = (size_t)i * slice;
    if (what == LB_CEILING_READ) return lb_ceiling_read_plan(d, form, at, slice, 1, out);
    if (form > 0) return LB_OK;
    if (what == LB_CEILING_WRITE) return lb_ceiling_write_plan(d, at, slice, out);
    return lb_ceiling_copy_plan(d, at, at + (size_t)wanted * slice, slice, out);
}

static lb_status measure_memory(lb_device *d, double cache_bytes, uint32_t what, double seconds, lb_rate *out) {
    lb_status s = lb_ceiling_buffer(d, lb_ceiling_bytes_for(d, cache_bytes));
    /* a GPU reads a slice in so short a time that launching would be measured: there all bytes are one */
    int slices = d->backend->memory ? what == LB_CEILING_COPY ? 2 : 1 : SLICES;
    size_t slice = lb_ceiling_buffer_bytes(d) / (size_t)slices;
    turns t = { .count = what == LB_CEILING_COPY ? slices / 2 : slices };
    t.work = (double)slice * (what == LB_CEILING_COPY ? 2 : 1);      /* what is read and what is written */
    for (bool more = true; more && t.forms < FORMS && s == LB_OK; t.forms += more) {
        for (int i = 0; i < t.count && s == LB_OK; i++)
            s = memory_plan(d, what, t.forms, i, slice, t.count, &t.plans[t.forms][i]);
        more = t.plans[t.forms][0] != NULL;
    }
    if (s != LB_OK) return release(&t), s;
    return rates(&t, seconds, out);
}

static lb_status measure_peak(lb_device *d, const lb_kernel *k, lb_compute compute, double seconds, lb_rate *out) {
    turns t = { .count = 1 };
    lb_status s = peak_plan(d, k, compute, &t.plans[0][0], &t.work);
    t.forms = t.plans[0][0] != NULL;
    return s == LB_OK ? rates(&t, seconds, out) : s;
}

static lb_status check_seconds(double seconds) {
    if (seconds > 0 && seconds <= 3600) return LB_OK;
    return lb_fail(LB_EINVAL, "ceilings: got %g seconds to measure; it must be above 0 and at most 3600", seconds);
}

lb_status lb_ceilings_measure(lb_device *d, double seconds, uint32_t what, lb_ceilings *out) {
    memset(out, 0, sizeof *out);
    lb_status s = check_seconds(seconds);
    const uint32_t memory = LB_CEILING_READ | LB_CEILING_COPY | LB_CEILING_WRITE;
    what &= (((1u << LB_COMPUTE_COUNT) - 1) << 1 & ~(1u << (1 + LB_COMPUTE_NONE))) | memory;
    if (s != LB_OK || !what) return s;
    double share = seconds / __builtin_popcount(what);
    double cache = what & memory ? cache_of(d) : 0;      /* may measure, under the same lock */
    lb_ceiling_lock();
    if (what & LB_CEILING_READ) s = measure_memory(d, cache, LB_CEILING_READ, share, &out->read);
    if (s == LB_OK && (what & LB_CEILING_COPY)) s = measure_memory(d, cache, LB_CEILING_COPY, share, &out->copy);
    if (s == LB_OK && (what & LB_CEILING_WRITE)) s = measure_memory(d, cache, LB_CEILING_WRITE, share, &out->write);
    for (int c = 0; c < LB_COMPUTE_COUNT && s == LB_OK; c++)
        if (what >> (1 + c) & 1) s = measure_peak(d, NULL, (lb_compute)c, share, &out->ops[c]);
    lb_ceiling_unlock();
    return s == LB_OK ? s : lb_fail_in(s, "ceilings of device \"%s\"", lb_device_name(d));
}

lb_status lb_ceilings_classes(lb_device *d, double seconds, lb_peak_class *out, int most, int *count) {
    const char *why;
    lb_args a = { 0 };
    *count = 0;
    lb_status s = check_seconds(seconds);
    if (s == LB_OK) s = lb_op_find("peak", &a.op);
    for (int i = 0, n = lb_kernel_count(); i < n && *count < most && s == LB_OK; i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, "peak") == 0 && lb_kernel_fits(k, d, &a, &why))
            out[(*count)++] = (lb_peak_class){ .kernel = k };
    }
    lb_ceiling_lock();
    for (int i = 0; i < *count && s == LB_OK; i++)
        s = measure_peak(d, out[i].kernel, LB_COMPUTE_NONE, seconds / *count, &out[i].ops_per_s);
    lb_ceiling_unlock();
    return s == LB_OK ? s : lb_fail_in(s, "ceilings of device \"%s\"", lb_device_name(d));
}
