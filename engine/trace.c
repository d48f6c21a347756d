/* trace.c: traced runs of a plan: buffers for every span before the run, warm-up, the run of the median length. */
#include "trace.h"
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "measure.h"
#include "plan_internal.h"

#define WARM_NS 20e6
#define RUNS_MOST 99

void lb_trace_defaults(lb_trace_opts *o) {
    *o = (lb_trace_opts){ .cache = LB_CACHE_WEIGHTS_COLD, .eager = false, .runs = 5, .max_time_s = 2 };
}

/* The most spans that a thread can have in a run: a launch and a wait a phase, two waits before a step (hard and soft
 * barrier), one at the end. */
static int64_t spans_most(const lb_plan *p) {
    int64_t n = 1;
    for (int i = 0; i < p->step_count; i++) {
        int32_t phases = 1;
        const lb_choice *c = p->steps[i].choice;
        for (int32_t k = 0; k < c->count; k++)
            if (c->items[k].phases > phases) phases = c->items[k].phases;
        n += 2 * phases + 2;
    }
    return n;
}

typedef struct run_log { uint64_t begin_ns, end_ns; lb_span_log *logs; } run_log;

static void run_log_done(run_log *r, int threads) {
    for (int i = 0; r->logs && i < threads; i++) free(r->logs[i].at);
    free(r->logs);
    r->logs = NULL;
}

/* Pages are written before the run, so that no span holds their faults. */
static lb_status run_log_init(run_log *r, int threads, int64_t capacity) {
    r->logs = aligned_alloc(128, (size_t)threads * sizeof *r->logs);
    if (r->logs) memset(r->logs, 0, (size_t)threads * sizeof *r->logs);
    for (int i = 0; r->logs && i < threads; i++) {
        r->logs[i].at = malloc((size_t)capacity * sizeof *r->logs[i].at);
        if (!r->logs[i].at) {
            run_log_done(r, threads);
            break;
        }
        memset(r->logs[i].at, 0xff, (size_t)capacity * sizeof *r->logs[i].at);
        r->logs[i].capacity = capacity;
    }
    if (r->logs) return LB_OK;
    return lb_fail(LB_ENOMEM, "trace: no memory for %lld spans a thread", (long long)capacity);
}

static lb_status warm(lb_plan *p, bool eager) {
    uint64_t start = lb_now_ns();
    do {
        if (lb_interrupted) return lb_fail(LB_EINTERRUPTED, "interrupted while tracing");
        lb_status s = eager ? lb_plan_replay_eager(p, 1, NULL, NULL) : lb_plan_replay(p, 1, NULL, NULL);
        if (s) return s;
    } while ((double)(lb_now_ns() - start) < WARM_NS);
    return LB_OK;
}

static int by_length(const void *a, const void *b) {
    const run_log *x = a, *y = b;
    uint64_t u = x->end_ns - x->begin_ns, v = y->end_ns - y->begin_ns;
    return (u > v) - (u < v);
}

static lb_status keep(const lb_plan *p, const run_log *r, lb_trace *out) {
    out->begin_ns = r->begin_ns;
    out->end_ns = r->end_ns;
    for (int i = 0; i < p->threads; i++) {
        if (r->logs[i].count > r->logs[i].capacity)
            return lb_fail(LB_EINTERNAL, "trace: thread %d had %lld spans, with room for %lld", i,
                           (long long)r->logs[i].count, (long long)r->logs[i].capacity);
        out->count += r->logs[i].count;
        /* another thread may have left the first barrier before thread 0 read the clock */
        if (r->logs[i].count && r->logs[i].at[0].begin_ns < out->begin_ns) out->begin_ns = r->logs[i].at[0].begin_ns;
    }
    out->spans = malloc((size_t)(out->count + 1) * sizeof *out->spans);
    if (!out->spans) return lb_fail(LB_ENOMEM, "trace: no memory for %lld spans", (long long)out->count);
    lb_span *at = out->spans;
    for (int i = 0; i < p->threads; i++) {
        memcpy(at, r->logs[i].at, (size_t)r->logs[i].count * sizeof *at);
        at += r->logs[i].count;
    }
    return LB_OK;
}

static lb_status take(lb_plan *p, const lb_trace_opts *o, lb_trace *out) {
    run_log runs[RUNS_MOST] = { 0 };
    uint64_t start = lb_now_ns();
    lb_status s = LB_OK;
    int n = 0;
    while (n < o->runs && !s && (n == 0 || (double)(lb_now_ns() - start) * 1e-9 < o->max_time_s)) {
        if (lb_interrupted) s = lb_fail(LB_EINTERRUPTED, "interrupted while tracing");
        if (!s) s = run_log_init(&runs[n], p->threads, spans_most(p));
        if (!s) s = lb_plan_replay_traced(p, o->eager, runs[n].logs, &runs[n].begin_ns, &runs[n].end_ns);
        n++;
    }
    if (!s) {
        qsort(runs, (size_t)n, sizeof *runs, by_length);
        s = keep(p, &runs[(n - 1) / 2], out);
    }
    out->runs = n;
    for (int i = 0; i < n; i++) run_log_done(&runs[i], p->threads);
    return s;
}

lb_status lb_trace_take(lb_plan *p, const lb_trace_opts *o, lb_trace *out) {
    memset(out, 0, sizeof *out);
    if (p->step_count == 0) return lb_fail(LB_EINVAL, "trace: the plan is empty: record a step first");
    if (o->runs < 1 || o->runs > RUNS_MOST)
        return lb_fail(LB_EINVAL, "trace: got %d runs to trace; 1 to %d can be", o->runs, RUNS_MOST);
    out->threads = p->threads;
    out->step_count = p->step_count;
    out->steps = calloc((size_t)p->step_count, sizeof *out->steps);
    if (!out->steps) return lb_fail(LB_ENOMEM, "trace: no memory for %d steps", p->step_count);
    lb_status s = lb_plan_work(p, out->steps);
    if (!s) s = lb_plan_snapshot_updates(p);
    if (!s) s = lb_plan_rotate(p, o->cache, &out->rotation);
    if (!s) s = warm(p, o->eager);
    if (!s) s = take(p, o, out);
    if (out->rotation.sets > 1) {
        lb_rotation none;
        lb_status undone = lb_plan_rotate(p, LB_CACHE_HOT, &none);
        if (!s) s = undone;
    }
    if (s) lb_trace_done(out);
    return s;
}

void lb_trace_done(lb_trace *t) {
    free(t->spans);
    free(t->steps);
    memset(t, 0, sizeof *t);
}
