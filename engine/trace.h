/* trace.h: one run of a plan in detail: when each thread launched what, and when it waited. Never the timed run. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "plan.h"

typedef enum lb_span_kind {
    LB_SPAN_LAUNCH,       /* a kernel's part of a phase */
    LB_SPAN_WAIT          /* from a thread's arrival at a barrier to its release */
} lb_span_kind;

typedef struct lb_span {
    uint64_t begin_ns, end_ns;    /* of lb_now_ns() */
    int32_t step;                 /* waits: the step that could not begin before; the plan's number of steps at its end.
                                     mode "eager": the step whose other parts are awaited */
    int32_t pick;                 /* the item that a step with `pick` used; else 0 */
    int32_t phase, part;
    lb_span_kind kind;
} lb_span;

/* What a step did, counted as lb_plan_account does. */
typedef struct lb_step_work {
    bool ran;
    int32_t pick;
    const lb_kernel *kernel;
    double flops, flops_by[LB_COMPUTE_COUNT];
    double bytes;                 /* its operands' */
    double weight_bytes;          /* weights among them */
    /* Of these, what the run reads for the first time, and again; with the least reuse distance of such a read
     * (lb_account.first_bytes and reuse_bytes say from where). */
    double first_bytes, first_distance, again_bytes, again_distance;
} lb_step_work;
/* Runs the plan once, step by step. `steps` has room for lb_plan_steps(p). */
lb_status lb_plan_work(lb_plan *p, lb_step_work *steps);

typedef struct lb_trace_opts {
    lb_cache cache;
    bool eager;
    int runs;                     /* traced; the one of the median length is kept: 1 to 99 */
    double max_time_s;            /* no further run is begun after this time; the first is run always */
} lb_trace_opts;
void lb_trace_defaults(lb_trace_opts *o);

typedef struct lb_trace {
    lb_span *spans;               /* in the order of their begin, part by part; freed by lb_trace_done */
    int64_t count;
    lb_step_work *steps;          /* [lb_plan_steps] */
    int step_count, threads, runs;
    uint64_t begin_ns, end_ns;    /* of the run; no span begins before it */
    lb_rotation rotation;
} lb_trace;
/* Warms up, traces o->runs runs under the cache regime, keeps one. The plan is as before when it returns; outputs are
 * those of a run. */
lb_status lb_trace_take(lb_plan *p, const lb_trace_opts *o, lb_trace *out);
void lb_trace_done(lb_trace *t);
