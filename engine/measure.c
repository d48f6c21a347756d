/* measure.c: samples of a plan's time: sized, warmed up, taken until the interval is tight, watched for disturbance.
 *
 * A sample is the time of a loop of runs in C, long enough that the clock's resolution and its call are at most 0.1 %
 * of it. It has `iterations` runs and up to 20 % more, by a seeded draw, so that nothing periodic (timer ticks) always
 * meets the same place of a run. Where runs come in multiples (what makes extra work whole, a GPU's graphs) so does the
 * draw: of fewer than five of them all samples have as many. A run over a millisecond is a sample of its own. Plans
 * whose runs are longer than the whole time allowed still get six samples: with fewer there is no interval.
 *
 * Nothing is dropped: samples that fall out of line or that were disturbed are marked. */
#include "measure.h"

#include "check.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "measure_internal.h"
#include "measure_runs.h"
#include "plan_internal.h"
#include "rng.h"

volatile int lb_interrupted = 0;

#define SAMPLES_LEAST 6             /* whatever max_time says: below it there is no 95 % interval */
#define WINDOW 5                    /* epochs whose medians are compared in the warm-up */
#define WARM_SHARE 0.01
#define ITERATIONS_MOST ((int64_t)1 << 40)
#define PLANS_MOST 64
#define ROUND_NS 1e8                /* of one plan's part of an interleaved round, when plans differ widely */
#define GPU_ENERGY_LEAST_S 0.5      /* shorter than this, a GPU's energy counter says little */
#define COUNTED_NS 1e7              /* of runs with performance counters on */

void lb_measure_defaults(lb_measure_opts *o) {
    *o = (lb_measure_opts){ .precision = 0.01, .max_time_s = 5, .min_samples = 24, .samples = 0, .warmup = -1,
                            .warmup_min_s = 0.3, .warmup_max_s = 3, .cache = LB_CACHE_WEIGHTS_COLD, .eager = false,
                            .seed = 1 };
}

static lb_status check_opts(const lb_measure_opts *o) {
    if (!(o->precision > 0)) return lb_fail(LB_EINVAL, "measure: precision is %g; it must be above 0 (0.01 = 1 %%)",
                                            o->precision);
    if (!(o->max_time_s >= 0)) return lb_fail(LB_EINVAL, "measure: max_time is %g s; it must not be negative",
                                              o->max_time_s);
    if (o->samples < 0 || o->min_samples < 1 || o->samples > (1 << 26) || o->min_samples > (1 << 26))
        return lb_fail(LB_EINVAL, "measure: got %lld samples, at least %lld; both must lie between 1 and %d "
                       "(samples = 0: as many as needed)", (long long)o->samples, (long long)o->min_samples, 1 << 26);
    if (!(o->warmup_min_s >= 0 && o->warmup_max_s >= o->warmup_min_s))
        return lb_fail(LB_EINVAL, "measure: warm-up of at least %g s and at most %g s", o->warmup_min_s,
                       o->warmup_max_s);
    return LB_OK;
}

static lb_status interrupted(void) { return lb_fail(LB_EINTERRUPTED, "interrupted while measuring"); }

static double seconds_since(uint64_t start) { return (double)(lb_now_ns() - start) * 1e-9; }

/* ---- one epoch ------------------------------------------------------------------------------------------------- */

static lb_status epoch(const lb_sampling *m, int64_t runs, double *ns, uint64_t *launches) {
    uint64_t elapsed = 0, count = 0;
    *ns = 0;
    if (lb_interrupted) return interrupted();
    lb_status s = m->o->isolated ? lb_plan_replay_isolated(m->plan, runs, &elapsed, &count)
                  : m->o->eager  ? lb_plan_replay_eager(m->plan, runs, &elapsed, &count)
                                 : lb_plan_replay(m->plan, runs, &elapsed, &count);
    *ns = (double)elapsed;
    if (launches) *launches += count;
    return s;
}

static double target_ns(void) {
    const lb_clock_info *c = lb_clock_info_get();
    return fmax(1e6, 1000 * fmax(c->resolution_ns, c->cost_ns));
}

/* Finds a number of runs that takes the target time. It is believed when it took it twice: the first time may have
 * been a page fault's or somebody else's. */
static lb_status size_epoch(lb_sampling *m, double target, double *run_ns) {
    int64_t n = 1;
    for (int crossed = 0;;) {
        double ns;
        lb_status s = epoch(m, n, &ns, NULL);
        if (s != LB_OK) return s;
        *run_ns = ns / (double)n;
        if (ns >= target && (++crossed == 2 || ns >= 100 * target)) break;
        if (ns >= target) continue;
        crossed = 0;
        double growth = ns > 0 ? 1.2 * target / ns : 10;
        n = (int64_t)ceil((double)n * fmin(fmax(growth, 1.1), 10));
        if (n > ITERATIONS_MOST)
            return lb_fail(LB_EINVAL, "measure: %lld runs of the plan take no time at all: has it any steps that run?",
                           (long long)n);
    }
    m->s.iterations = n;
    m->run_ns = *run_ns;
    return LB_OK;
}

/* ---- warm-up --------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median5(const double *x) {
    double sorted[WINDOW];
    memcpy(sorted, x, sizeof sorted);
    qsort(sorted, WINDOW, sizeof sorted[0], compare);
    return sorted[WINDOW / 2];
}

/* A GPU's samples are graphs of several runs as a whole, or whole rotations of several graphs, so that launching graphs
 * is no part of them. Where a sample would be few runs, launching is little beside it, and it stays as short as it
 * is. */
static lb_status take_whole_graphs(lb_sampling *m) {
    enum { SHORT = 50 };            /* so many runs in a sample of a millisecond: each is 20 us or less */
    int64_t runs = 1;
    double ns;
    if (!m->plan->on_gpu || m->o->eager || m->o->isolated) return LB_OK;
    lb_status s = lb_gpu_whole_runs(m->plan, &runs);
    int64_t most = (m->s.iterations > SHORT ? 16 : 2) * m->s.iterations;
    int64_t whole = lb_runs_whole(m->quantum, runs, m->extra);
    if (s != LB_OK || runs == 1 || whole > most || whole > LB_QUANTUM_MOST) return s;
    m->quantum = whole;
    m->s.iterations = lb_runs_up(m->s.iterations, whole);
    return m->plan->set ? epoch(m, m->plan->sets - m->plan->set, &ns, NULL) : LB_OK;
}

/* Runs epochs until the median of the last five is within 1 % of that of the five before; at least and at most as
 * long as the options say, sizing included. */
static lb_status warm_epochs(lb_sampling *m, uint64_t start) {
    const lb_measure_opts *o = m->o;
    double last[2 * WINDOW];        /* ns per run, oldest first */
    int64_t epochs = 0;
    bool stable = false;
    for (;;) {
        double elapsed = seconds_since(start);
        if (o->warmup >= 0 ? epochs >= o->warmup
                           : elapsed >= o->warmup_max_s || (stable && elapsed >= o->warmup_min_s))
            break;
        double ns;
        lb_status s = epoch(m, m->s.iterations, &ns, NULL);
        if (s != LB_OK) return s;
        memmove(last, last + 1, sizeof last - sizeof last[0]);
        last[2 * WINDOW - 1] = ns / (double)m->s.iterations;
        if (++epochs < 2 * WINDOW) continue;
        double before = median5(last), now = median5(last + WINDOW);
        stable = fabs(now - before) <= WARM_SHARE * before;
    }
    m->s.warmup_epochs = epochs;
    m->s.warmup_stable = stable;
    double now = epochs >= WINDOW ? median5(last + WINDOW) : 0;
    if (now > 0) m->run_ns = now;
    return LB_OK;
}

/* Graphs are captured before the epochs: a GPU that waited for them afterwards would clock down. The runs have become
 * faster by the epochs, so that a sample is sized once more; if only then it is long enough for whole graphs, a few
 * epochs come behind. */
static lb_status warm_up(lb_sampling *m, uint64_t start, double target) {
    lb_status s = take_whole_graphs(m);
    if (s == LB_OK) s = warm_epochs(m, start);
    if (s != LB_OK) return s;
    if (m->s.warmup_epochs >= WINDOW && m->run_ns * (double)m->s.iterations < target)
        m->s.iterations = (int64_t)ceil(1.05 * target / m->run_ns);
    int64_t quantum = m->quantum;
    double ns;
    s = take_whole_graphs(m);
    m->s.iterations = lb_runs_up(m->s.iterations, m->quantum);
    for (int i = 0; i < WINDOW && m->quantum != quantum && s == LB_OK; i++) s = epoch(m, m->s.iterations, &ns, NULL);
    return s;
}

/* ---- samples --------------------------------------------------------------------------------------------------- */

static bool grow(lb_sampling *m) {
    if (m->s.n < m->capacity) return true;
    int64_t capacity = m->capacity ? 2 * m->capacity : 1024;
    double *ns = realloc(m->s.ns, (size_t)capacity * sizeof *ns);
    if (ns) m->s.ns = ns;
    double *ghz = realloc(m->ghz, (size_t)capacity * sizeof *ghz);
    if (ghz) m->ghz = ghz;
    uint32_t *marks = realloc(m->s.marks, (size_t)capacity * sizeof *marks);
    if (marks) m->s.marks = marks;
    if (!ns || !ghz || !marks) return false;
    m->capacity = capacity;
    return true;
}

/* Steal is read every 10 ms: all samples since the last reading share what it says. */
static void mark_stolen(lb_sampling *m) {
    double share;
    if (!lb_watcher_steal(&m->watcher, &share)) return;
    for (int64_t i = m->steal_from; i < m->s.n && lb_disturbance_stolen(share); i++) m->s.marks[i] |= LB_MARK_STOLEN;
    m->steal_from = m->s.n;
}

/* Asking a GPU's driver takes its time: every 20 ms, for all samples since. */
static void mark_throttled(lb_sampling *m) {
    lb_device_live live;
    uint64_t now = lb_now_ns();
    if (now - m->clocks_read_ns < 20000000u || !lb_device_live_read(lb_plan_device(m->plan), &live)) return;
    m->clocks_read_ns = now;
    bool low = live.reasons_known && (live.reasons & LB_REASONS_THROTTLED);
    for (int64_t i = m->clocks_from; i < m->s.n && low; i++) m->s.marks[i] |= LB_MARK_THROTTLED;
    m->clocks_from = m->s.n;
}

static lb_status take_sample(lb_sampling *m, int64_t runs) {
    lb_snapshot before, after;
    double ns;
    if (!grow(m)) return lb_fail(LB_ENOMEM, "measure: no memory for %lld samples", (long long)m->s.n + 1);
    int64_t all = lb_runs_launched(runs, m->extra);
    /* Other numbers of runs than those of the warm-up need other graphs: none is captured while we watch. */
    lb_status s = m->plan->on_gpu && !m->o->eager && !m->o->isolated ? lb_gpu_prepare(m->plan, all) : LB_OK;
    if (s != LB_OK) return s;
    if (m->energy.count) lb_energy_joules(&m->energy);           /* what was used between the samples is not theirs */
    lb_watcher_read(&m->watcher, &before);
    s = epoch(m, all, &ns, &m->s.launches);
    if (s != LB_OK) return s;
    lb_watcher_read(&m->watcher, &after);
    if (m->energy.count) m->joules += lb_energy_joules(&m->energy);
    m->energy_runs += (double)all;
    m->s.ns[m->s.n] = ns / (double)runs;
    m->s.marks[m->s.n] = lb_disturbance_add(&m->disturbance, &before, &after, ns);
    m->ghz[m->s.n] = lb_device_frequency_ghz(lb_plan_device(m->plan));
    m->s.n++;
    mark_stolen(m);
    mark_throttled(m);
    return LB_OK;
}

static int64_t jittered(const lb_sampling *m, int64_t i) {
    return lb_runs_jittered(m->s.iterations, m->quantum, m->o->seed, i);
}

/* Sorting all samples after each would cost more than sampling: look again when there are 1/16 more, or `end` of
 * them. */
static int64_t next_look(int64_t n, int64_t end) {
    int64_t next = n + (n / 16 > 1 ? n / 16 : 1);
    return end > n && end < next ? end : next;
}

/* What a GPU has used since its driver was loaded; NaN: not known. Its counter steps some ten times a second. */
static double gpu_joules(const lb_sampling *m) {
    lb_device_live live;
    return m->on_gpu && lb_device_live_read(lb_plan_device(m->plan), &live) ? live.joules : NAN;
}

static lb_status sample_until_precise(lb_sampling *m) {
    const lb_measure_opts *o = m->o;
    uint64_t start = lb_now_ns();
    int64_t look = o->min_samples, end = 0;
    for (;;) {
        lb_status s = take_sample(m, jittered(m, m->s.n));
        if (s != LB_OK) return s;
        m->s.elapsed_s = seconds_since(start);
        if (o->samples > 0) {
            if (m->s.n >= o->samples) return LB_OK;
            continue;
        }
        if (m->s.n >= SAMPLES_LEAST && m->s.elapsed_s >= o->max_time_s) return LB_OK;
        if (m->s.n < look) continue;
        lb_stats_of(m->s.ns, m->s.n, &m->s.stats);
        if (lb_stats_enough(m->s.n, lb_half_width(&m->s.stats), o->precision * m->s.stats.median, &end)) return LB_OK;
        look = next_look(m->s.n, end);
    }
}

/* ---- whole measurements ---------------------------------------------------------------------------------------- */

static lb_status set_extra(lb_sampling *m, double share) {
    m->share = m->quantum = 1;
    if (share == 0) return LB_OK;
    if (!(share > 0 && share <= 1) || lb_runs_of_share(share) == 0)
        return lb_fail(LB_EINVAL, "measure: extra work of %g of a run; expected a share up to 1 that makes whole runs "
                       "of 1000 or fewer, such as 0.02", share);
    m->extra = share;
    m->share = m->quantum = lb_runs_of_share(share);
    return LB_OK;
}

/* What is timed are the rotation's copies, so they have to give what the originals give. */
static lb_status check_copies(lb_plan *p) {
    lb_check c;
    lb_status s = lb_plan_check_sets(p, &c);
    return s || c.passed ? s : lb_fail(LB_EINTERNAL, "measure: %s", c.reason);
}

static lb_status sampler_init(lb_sampling *m, lb_plan *p, const lb_measure_opts *o, double extra) {
    memset(m, 0, sizeof *m);
    m->plan = p;
    m->o = o;
    if (lb_plan_steps(p) == 0) return lb_fail(LB_EINVAL, "measure: the plan is empty: record a step first");
    lb_status s = set_extra(m, extra);
    if (s == LB_OK) s = lb_plan_rotate(p, o->cache, &m->s.rotation);
    if (s == LB_OK) s = lb_plan_snapshot_updates(p);
    m->s.unchecked = o->unchecked;
    if (s == LB_OK && !o->unchecked) s = check_copies(p);
    if (s == LB_OK)                 /* here, since a rotated plan has more bodies, perhaps too many */
        s = lb_plan_conditions(p, o->eager && !o->isolated, m->s.conditions, sizeof m->s.conditions);
    if (s != LB_OK) return s;
    lb_device_pool(lb_plan_device(p));          /* its threads are watched */
    lb_watcher_init(&m->watcher, lb_device_threads(lb_plan_device(p)));
    lb_disturbance_init(&m->disturbance);
    m->on_gpu = strncmp(lb_device_name(lb_plan_device(p)), "cpu", 3) != 0;
    m->joules = m->on_gpu ? NAN : 0;
    if (!m->on_gpu) lb_energy_open(&m->energy, NULL);    /* the processor's is not what a GPU used */
    return LB_OK;
}

/* Undoes the rotation, so that the plan is as it was recorded, and hands over the samples if all went well. */
static lb_status sampler_done(lb_sampling *m, lb_status s, lb_samples *out) {
    lb_watcher_done(&m->watcher);
    lb_energy_close(&m->energy);
    if (m->plan && m->s.rotation.sets > 1) {
        lb_rotation none;
        lb_status undone = lb_plan_rotate(m->plan, LB_CACHE_HOT, &none);
        if (s == LB_OK) s = undone;
    }
    free(m->ghz);
    if (s == LB_OK) *out = m->s;
    else lb_samples_done(&m->s);
    return s;
}

/* In the same cache regime, after the timed runs and for some 10 ms: counters cost time of their own. */
static lb_status count_events(lb_sampling *m) {
    const char *why = lb_counters_reason();
    m->s.counts.runs = 0;
    if (*why) {
        snprintf(m->s.counts.reason, sizeof m->s.counts.reason, "%s", why);
        return LB_OK;
    }
    int64_t runs = (int64_t)fmax(1, COUNTED_NS / fmax(m->s.stats.median, 1));
    return lb_counters_run(m->plan, runs, m->o->eager, &lb_perf_kernel, &m->s.counts);
}

lb_status lb_measure(lb_plan *p, const lb_measure_opts *o, lb_samples *out) {
    lb_sampling m = { 0 };
    double run_ns, target = target_ns();
    memset(out, 0, sizeof *out);
    lb_status s = check_opts(o);
    if (s != LB_OK) return s;
    s = sampler_init(&m, p, o, o->extra_work ? o->extra_work[0] : 0);
    uint64_t start = lb_now_ns();
    if (s == LB_OK) s = size_epoch(&m, target, &run_ns);
    if (s == LB_OK) s = warm_up(&m, start, target);
    double joules = gpu_joules(&m);
    if (s == LB_OK) s = sample_until_precise(&m);
    if (m.on_gpu) m.joules = m.s.elapsed_s >= GPU_ENERGY_LEAST_S ? gpu_joules(&m) - joules : NAN;
    if (s == LB_OK) lb_sampling_judge(&m);
    if (s == LB_OK) s = count_events(&m);
    return sampler_done(&m, s, out);
}

void lb_samples_done(lb_samples *s) {
    free(s->ns);
    free(s->marks);
    memset(s, 0, sizeof *s);
}

/* ---- interleaved ----------------------------------------------------------------------------------------------- */

/* Equal runs for all: what the fastest plan needs, unless a much slower one would make rounds too long. They make all
 * extra work whole, and whole graphs as far as rounds do not become too long by these. */
static lb_status equalize(lb_sampling *m, int count, const double *run_ns) {
    int64_t most = 1, share = 1;
    double slowest = 1;
    for (int i = 0; i < count; i++) {
        share = lb_runs_common(share, m[i].share);
        if (share > LB_QUANTUM_MOST)
            return lb_fail(LB_EINVAL, "measure: the plans' shares of extra work are whole only in %lld runs; expected "
                           "shares that are in %d or fewer, such as 0.02 and 0.1", (long long)share, LB_QUANTUM_MOST);
        if (m[i].s.iterations > most) most = m[i].s.iterations;
        slowest = fmax(slowest, run_ns[i]);
    }
    int64_t cap = (int64_t)fmax(1, fmax(ROUND_NS, target_ns()) / slowest);
    int64_t quantum = share, longest = cap < LB_QUANTUM_MOST ? cap : LB_QUANTUM_MOST;
    for (int i = 0; i < count; i++) quantum = lb_runs_agreed(quantum, share, m[i].quantum, longest);
    int64_t runs = lb_runs_up(most < cap ? most : cap, quantum);
    if (runs > cap && runs > quantum) runs -= quantum;
    for (int i = 0; i < count; i++) {
        m[i].quantum = quantum;
        m[i].s.iterations = runs;
    }
    return LB_OK;
}

static void shuffle(int *order, int count, uint64_t seed, uint64_t block) {
    for (int i = 0; i < count; i++) order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = (int)(lb_rng_u64(seed, (1ull << 40) + block * PLANS_MOST + (uint64_t)i) % (uint64_t)(i + 1));
        int swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* The greatest half-width of the sign intervals of the log ratios to plan 0: what the comparison will say. Of a single
 * plan, that of its own times, as a share of their median. NaN or infinite: unknown. */
static double widest(const lb_sampling *m, int count) {
    int64_t n = m[0].s.n;
    lb_stats s;
    if (count == 1) {
        lb_stats_of(m[0].s.ns, n, &s);
        return lb_half_width(&s) / s.median;
    }
    double *ratio = malloc((size_t)n * sizeof *ratio), most = ratio ? 0 : INFINITY;
    for (int i = 1; i < count && ratio; i++) {
        for (int64_t j = 0; j < n; j++) ratio[j] = log(m[i].s.ns[j] / m[0].s.ns[j]);
        lb_stats_of(ratio, n, &s);
        if (!(lb_half_width(&s) <= most)) most = lb_half_width(&s);
        if (isnan(most)) break;
    }
    free(ratio);
    return most;
}

/* Each block of `count` rounds is a cyclic Latin square over a fresh permutation: every plan is once in each place. */
static lb_status sample_rounds(lb_sampling *m, int count, const lb_measure_opts *o) {
    int order[PLANS_MOST];
    uint64_t start = lb_now_ns();
    int64_t look = o->min_samples, end = 0;
    for (int64_t round = 0;; round++) {
        if (round % count == 0) shuffle(order, count, o->seed, (uint64_t)(round / count));
        int64_t runs = jittered(&m[0], round);
        for (int k = 0; k < count; k++) {
            lb_status s = take_sample(&m[order[(k + round) % count]], runs);
            if (s != LB_OK) return s;
        }
        int64_t n = round + 1;
        double elapsed = seconds_since(start);
        for (int i = 0; i < count; i++) m[i].s.elapsed_s = elapsed;
        if (n % count != 0) continue;
        if (o->samples > 0) {
            if (n >= o->samples) return LB_OK;
            continue;
        }
        if (n >= SAMPLES_LEAST && elapsed >= o->max_time_s * count) return LB_OK;
        if (n < look) continue;
        if (lb_stats_enough(n, widest(m, count), o->precision, &end)) return LB_OK;
        look = next_look(n, end);
    }
}

lb_status lb_measure_interleaved(lb_plan *const *plans, int count, const lb_measure_opts *o, lb_samples *out) {
    if (count < 1 || count > PLANS_MOST)
        return lb_fail(LB_EINVAL, "measure: got %d plans to interleave; 1 to %d can be", count, PLANS_MOST);
    memset(out, 0, (size_t)count * sizeof *out);
    lb_status s = check_opts(o);
    if (s != LB_OK) return s;
    double run_ns[PLANS_MOST], target = target_ns();
    lb_sampling *m = calloc((size_t)count, sizeof *m);
    if (!m) return lb_fail(LB_ENOMEM, "measure: no memory for %d plans", count);
    lb_common common = { 0 };
    for (int i = 0; i < count && s == LB_OK; i++)
        s = sampler_init(&m[i], plans[i], o, o->extra_work ? o->extra_work[i] : 0);
    if (s == LB_OK) s = lb_plans_share(plans, count, o->cache == LB_CACHE_HOT, &common);
    for (int i = 0; i < count && s == LB_OK; i++) {
        uint64_t start = lb_now_ns();
        s = size_epoch(&m[i], target, &run_ns[i]);
        if (s == LB_OK) s = warm_up(&m[i], start, target);
    }
    if (s == LB_OK) s = equalize(m, count, run_ns);
    if (s == LB_OK) s = sample_rounds(m, count, o);
    lb_plans_unshare(plans, count, &common);
    for (int i = 0; i < count; i++) {
        if (s == LB_OK) lb_sampling_judge(&m[i]);
        s = sampler_done(&m[i], s, &out[i]);
    }
    for (int i = 0; i < count && s != LB_OK; i++) lb_samples_done(&out[i]);
    free(m);
    return s;
}

/* ---- in pieces ------------------------------------------------------------------------------------------------- */

struct lb_sampler {
    lb_sampling m;
    lb_measure_opts o;
    bool open;
};

lb_status lb_sampler_new(lb_plan *p, const lb_measure_opts *o, lb_sampler **out) {
    double run_ns, target = target_ns();
    *out = NULL;
    lb_status status = check_opts(o);
    if (status != LB_OK) return status;
    lb_sampler *s = calloc(1, sizeof *s);
    if (!s) return lb_fail(LB_ENOMEM, "measure: no memory for a sampler");
    s->o = *o;
    s->o.extra_work = NULL;         /* the caller's; read once here */
    s->open = true;
    status = sampler_init(&s->m, lb_plan_retain(p), &s->o, o->extra_work ? o->extra_work[0] : 0);
    uint64_t start = lb_now_ns();
    if (status == LB_OK) status = size_epoch(&s->m, target, &run_ns);
    if (status == LB_OK) status = warm_up(&s->m, start, target);
    if (status == LB_OK) *out = s;
    else lb_sampler_free(s);
    return status;
}

int64_t lb_sampler_iterations(const lb_sampler *s, int64_t *quantum) {
    if (quantum) *quantum = s->m.quantum;
    return s->m.s.iterations;
}

int64_t lb_sampler_share(const lb_sampler *s) { return s->m.share; }

double lb_sampler_run_ns(const lb_sampler *s) { return s->m.run_ns; }

lb_status lb_sampler_take(lb_sampler *s, int64_t samples, int64_t iterations, int64_t quantum) {
    if (!s->open) return lb_fail(LB_EINVAL, "measure: the sampler has finished");
    if (samples < 1 || iterations < 0 || iterations > ITERATIONS_MOST || quantum < 0 || quantum > LB_QUANTUM_MOST)
        return lb_fail(LB_EINVAL, "measure: %lld samples of %lld runs in multiples of %lld cannot be taken",
                       (long long)samples, (long long)iterations, (long long)quantum);
    if (iterations > 0) s->m.s.iterations = iterations;
    if (quantum > 0) s->m.quantum = quantum;
    s->m.s.iterations = lb_runs_up(s->m.s.iterations, s->m.quantum);
    uint64_t start = lb_now_ns();
    lb_status status = LB_OK;
    for (int64_t i = 0; i < samples && status == LB_OK; i++) status = take_sample(&s->m, jittered(&s->m, s->m.s.n));
    s->m.s.elapsed_s += seconds_since(start);
    return status;
}

lb_status lb_sampler_finish(lb_sampler *s, lb_samples *out) {
    memset(out, 0, sizeof *out);
    if (!s->open || s->m.s.n == 0)
        return lb_fail(LB_EINVAL, s->open ? "measure: the sampler has taken no samples"
                       : "measure: the sampler has finished");
    lb_sampling_judge(&s->m);
    s->open = false;
    return sampler_done(&s->m, LB_OK, out);
}

void lb_sampler_free(lb_sampler *s) {
    if (!s) return;
    lb_plan *p = s->m.plan;
    if (s->open) {
        lb_samples none;
        sampler_done(&s->m, LB_EINTERRUPTED, &none);
    }
    lb_plan_release(p);
    free(s);
}
