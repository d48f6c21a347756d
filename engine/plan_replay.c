/* plan_replay.c: runs plans: all steps in one pool call, n times, or one pool call a step. */
#include "plan_internal.h"
#include "clock.h"
#include <string.h>

/* The kernel of a step, which for a picked one depends on the item. */
typedef struct action {
    void (*launch)(const lb_args *, const lb_launch *);
    int32_t phases;
    bool serial;
} action;

typedef struct begun { const lb_exec *e; const lb_args *args; action a; int32_t pick; } begun;
enum { MOST_BEGUN = 8 };

/* One thread's walk through a plan. `log` is only looked at where `traced` is true: a constant of every call, so that
 * the timed loops are compiled without it. */
typedef struct runner {
    lb_plan *p;
    lb_launch l;
    lb_ticket *first, *last;     /* tickets handed out since the last barrier: [first, last] */
    bool any;
    int begun_count;             /* launches whose first phase ran, and whose others are due before the next barrier */
    begun begun[MOST_BEGUN];
    int64_t launches;
    lb_span_log *log;
} runner;

#define INLINE static inline __attribute__((always_inline))

/* Full logs count on, so that the caller sees that they were too small. */
static void note_span(lb_span_log *log, lb_span_kind kind, int step, const lb_launch *l, uint64_t begin_ns) {
    if (log->count < log->capacity)
        log->at[log->count] = (lb_span){ .begin_ns = begin_ns, .end_ns = lb_now_ns(), .step = step, .pick = l->pick,
                                         .phase = l->phase, .part = l->part, .kind = kind };
    log->count++;
}

static void zero_tickets(void *ctx) {
    runner *r = ctx;
    if (!r->any) return;
    for (lb_ticket *t = r->first; t <= r->last; t++) atomic_store_explicit(&t->value, 0, memory_order_relaxed);
}

/* Every thread has handed out the same tickets, so the last to arrive can zero them from its own notes. */
INLINE void barrier(runner *r, const lb_exec *before, bool traced) {
    uint64_t begin = traced ? lb_now_ns() : 0;
    lb_pool_barrier(r->p->pool, r->l.part, zero_tickets, r);
    r->any = false;
    if (traced) note_span(r->log, LB_SPAN_WAIT, (int)(before - r->p->exec), &r->l, begin);
}

static inline bool wanted(const lb_exec *e) {
    const lb_exec_when *w = e->when;
    return *w->at[0] && *w->at[1] && *w->at[2] && *w->at[3];
}

/* False (and the plan remembers) if the pick is out of range: the step is then left out. */
static inline bool read_pick(lb_plan *p, const lb_exec *e, int part, int32_t *pick) {
    *pick = *e->pick;
    if ((uint32_t)*pick < (uint32_t)e->choice->count) return true;
    if (part == 0 && p->bad_step < 0) {
        p->bad_step = (int)(e - p->exec);
        p->bad_pick = *pick;
    }
    return false;
}

static inline action action_of(const lb_exec *e, int32_t pick) {
    if (!(e->flags & LB_EXEC_PICK)) return (action){ e->launch, e->phases, (e->flags & LB_EXEC_SERIAL) != 0 };
    const lb_choice_item *it = &e->choice->items[pick];
    return (action){ it->launch, it->phases, it->serial };
}

INLINE void launch_one(runner *r, const lb_exec *e, const action *a, const lb_args *args, bool traced) {
    uint64_t begin = traced ? lb_now_ns() : 0;
    a->launch(args, &r->l);
    if (traced) note_span(r->log, LB_SPAN_LAUNCH, (int)(e - r->p->exec), &r->l, begin);
}

/* All phases on this thread alone. */
INLINE void launch_alone(runner *r, const lb_exec *e, const action *a, const lb_args *args, bool traced) {
    lb_launch *l = &r->l;
    for (l->phase = 0; l->phase < a->phases; l->phase++) {
        atomic_store_explicit(l->ticket, 0, memory_order_relaxed);
        launch_one(r, e, a, args, traced);
    }
    l->phase = 0;
}

INLINE void run_single(runner *r, const lb_args *args, bool traced) {
    lb_plan *p = r->p;
    lb_launch *l = &r->l;
    int64_t launches = 0;
    const lb_exec *end = p->exec + p->step_count;
    l->ticket = &p->exec[0].ticket->value;
    for (const lb_exec *e = p->exec; e < end; e++, args++) {
        l->workspace = e->workspace;
        if (!traced && !(e->flags & (LB_EXEC_WHEN | LB_EXEC_PICK | LB_EXEC_PHASES))) {
            atomic_store_explicit(l->ticket, 0, memory_order_relaxed);
            e->launch(args, l);
            launches++;
            continue;
        }
        if ((e->flags & LB_EXEC_WHEN) && !wanted(e)) continue;
        l->pick = 0;
        if ((e->flags & LB_EXEC_PICK) && !read_pick(p, e, 0, &l->pick)) continue;
        action a = action_of(e, l->pick);
        launch_alone(r, e, &a, args, traced);
        l->pick = 0;
        launches++;
    }
    r->launches += launches;
}

/* One phase, in which the step's ticket is used. */
INLINE void launch_phase(runner *r, const begun *b, int32_t phase, bool traced) {
    const lb_exec *e = b->e;
    if (!r->any) r->first = r->last = e->ticket;
    if (e->ticket > r->last) r->last = e->ticket;
    if (e->ticket < r->first) r->first = e->ticket;
    r->any = true;
    r->l.workspace = e->workspace;
    r->l.ticket = &e->ticket->value;
    r->l.pick = b->pick;
    r->l.phase = phase;
    launch_one(r, e, &b->a, b->args, traced);
    r->l.phase = 0;
}

/* The phases that are due, those of the same number together. */
static void finish_begun(runner *r, bool traced) {
    int32_t phases = 1;
    for (int i = 0; i < r->begun_count; i++)
        if (r->begun[i].a.phases > phases) phases = r->begun[i].a.phases;
    for (int32_t ph = 1; ph < phases; ph++) {
        barrier(r, r->begun[0].e, traced);
        for (int i = 0; i < r->begun_count; i++)
            if (ph < r->begun[i].a.phases) launch_phase(r, &r->begun[i], ph, traced);
    }
    r->begun_count = 0;
}

/* A barrier between steps. */
INLINE void barrier_between(runner *r, const lb_exec *before, bool traced) {
    if (r->begun_count) finish_begun(r, traced);
    barrier(r, before, traced);
}

INLINE void launch_parallel(runner *r, const lb_exec *e, const action *a, const lb_args *args, bool traced) {
    begun b = { e, args, *a, r->l.pick };
    launch_phase(r, &b, 0, traced);
    if (a->phases == 1) return;
    r->begun[r->begun_count++] = b;
    if (r->begun_count == MOST_BEGUN) finish_begun(r, traced);
}

INLINE void launch_serial(runner *r, const lb_exec *e, const action *a, const lb_args *args, bool traced) {
    if (r->l.part != 0) return;
    int parts = r->l.parts;
    r->l.parts = 1;
    r->l.workspace = e->workspace;
    r->l.ticket = &e->ticket->value;
    launch_alone(r, e, a, args, traced);
    r->l.parts = parts;
    atomic_store_explicit(r->l.ticket, 0, memory_order_relaxed);
}

INLINE void run_parallel(runner *r, const lb_args *args, bool traced) {
    lb_plan *p = r->p;
    bool pending = false;
    int64_t launches = 0;
    const lb_exec *end = p->exec + p->step_count;
    for (const lb_exec *e = p->exec; e < end; e++, args++) {
        uint32_t flags = e->flags;
        if (flags & LB_EXEC_HARD) {
            barrier_between(r, e, traced);
            pending = false;
        }
        if (flags & LB_EXEC_BARRIER) pending = true;
        if ((flags & LB_EXEC_WHEN) && !wanted(e)) continue;
        if (pending) {
            barrier_between(r, e, traced);
            pending = false;
        }
        r->l.pick = 0;
        if ((flags & LB_EXEC_PICK) && !read_pick(p, e, r->l.part, &r->l.pick)) continue;
        action a = action_of(e, r->l.pick);
        if (a.serial) launch_serial(r, e, &a, args, traced);
        else launch_parallel(r, e, &a, args, traced);
        launches++;
    }
    r->l.pick = 0;
    barrier_between(r, end, traced);
    r->launches += launches;
}

/* ---- whole plans ---- */

typedef struct replay {
    lb_plan *p;
    int64_t n;
    int set;
    uint64_t begin_ns, end_ns;
    int64_t launches;
} replay;

static void replay_part(void *ctx, int part, int parts) {
    replay *y = ctx;
    lb_plan *p = y->p;
    runner r = { .p = p, .l = { .part = part, .parts = parts } };
    int set = y->set, sets = p->sets;
    if (parts > 1) lb_pool_barrier(p->pool, part, NULL, NULL);
    if (part == 0) y->begin_ns = lb_now_ns();
    for (int64_t i = 0; i < y->n; i++) {
        const lb_args *args = sets > 1 ? p->set_args[set] : p->args0;
        if (parts > 1) run_parallel(&r, args, false);
        else run_single(&r, args, false);
        if (++set >= sets) set = 0;
    }
    if (part == 0) {
        y->end_ns = lb_now_ns();
        y->launches = r.launches;
    }
}

static lb_status bad_pick(lb_plan *p) {
    if (p->bad_step < 0) return LB_OK;
    const lb_step *s = &p->steps[p->bad_step];
    lb_status st = lb_fail(LB_EINVAL, "plan: step %d (%s%s%s) picked item %d, but there are %d (0 to %d)",
                           p->bad_step + 1, s->op->name, s->label ? ", " : "", s->label ? s->label : "",
                           (int)p->bad_pick, (int)s->choice->count, (int)s->choice->count - 1);
    p->bad_step = -1;
    return st;
}

static lb_status run_replay(lb_plan *p, replay *y) {
    p->bad_step = -1;
    y->begin_ns = y->end_ns = 0;
    if (p->step_count == 0) return LB_OK;
    if (p->on_gpu) {
        double ns = 0;
        lb_status st = lb_gpu_replay(p, LB_GPU_GRAPH, y->n, y->set, &ns, &y->launches);
        y->end_ns = (uint64_t)ns;
        return st;
    }
    lb_pool_run(p->pool, replay_part, y);
    return LB_OK;
}

lb_status lb_plan_run(lb_plan *p) {
    lb_status st = lb_plan_prepare(p);
    if (st) return st;
    replay y = { .p = p, .n = 1, .set = p->set };
    st = run_replay(p, &y);
    p->set = (p->set + 1) % p->sets;
    return st ? st : bad_pick(p);
}

lb_status lb_plan_run_set(lb_plan *p, int set) {
    lb_status st = lb_plan_prepare(p);
    if (st) return st;
    replay y = { .p = p, .n = 1, .set = set };
    st = run_replay(p, &y);
    return st ? st : bad_pick(p);
}

static lb_status begin_replay(lb_plan *p, int64_t n) {
    if (n < 1) return lb_fail(LB_EINVAL, "plan: got %lld runs to replay; at least 1 is needed", (long long)n);
    lb_status st = lb_plan_prepare(p);
    if (!st) lb_saves_restore(&p->updates);
    return st;
}

lb_status lb_plan_replay(lb_plan *p, int64_t n, uint64_t *elapsed_ns, uint64_t *launches) {
    lb_status st = begin_replay(p, n);
    if (st) return st;
    replay y = { .p = p, .n = n, .set = p->set };
    st = run_replay(p, &y);
    p->set = (int)((p->set + n) % p->sets);
    if (elapsed_ns) *elapsed_ns = y.end_ns - y.begin_ns;
    if (launches) *launches = (uint64_t)y.launches;
    lb_saves_restore(&p->updates);
    return st ? st : bad_pick(p);
}

/* ---- step by step ---- */

typedef struct one_step {
    lb_plan *p;
    const lb_exec *e;
    const lb_args *args;
    action a;
    int32_t pick;
    lb_span_log *logs;           /* one for each part; NULL = not traced */
} one_step;

static void one_step_part(void *ctx, int part, int parts) {
    const one_step *o = ctx;
    runner r = { .p = o->p, .l = { .part = part, .parts = parts, .pick = o->pick, .workspace = o->e->workspace,
                                   .ticket = &o->e->ticket->value } };
    if (o->logs) {
        r.log = &o->logs[part];
        if (parts == 1) launch_alone(&r, o->e, &o->a, o->args, true);
        else launch_parallel(&r, o->e, &o->a, o->args, true);
    } else {
        if (parts == 1) launch_alone(&r, o->e, &o->a, o->args, false);
        else launch_parallel(&r, o->e, &o->a, o->args, false);
    }
    finish_begun(&r, o->logs != NULL);
}

static void run_one(lb_plan *p, const lb_exec *e, const lb_args *args, int32_t pick, lb_span_log *logs) {
    one_step o = { p, e, args, action_of(e, pick), pick, logs };
    atomic_store_explicit(&e->ticket->value, 0, memory_order_relaxed);
    if (o.a.serial) {
        one_step_part(&o, 0, 1);
    } else {
        lb_pool_run(p->pool, one_step_part, &o);
        /* what the caller's thread has to wait for after its own part */
        if (logs && p->threads > 1)
            note_span(&logs[0], LB_SPAN_WAIT, (int)(e - p->exec), &(lb_launch){ .pick = pick },
                      logs[0].count ? logs[0].at[logs[0].count - 1].end_ns : lb_now_ns());
    }
    atomic_store_explicit(&e->ticket->value, 0, memory_order_relaxed);
}

/* Decides and runs; *ran false if `when` is 0 or the pick is out of range. */
static inline bool run_if_wanted(lb_plan *p, const lb_exec *e, const lb_args *args, int32_t *pick, lb_span_log *logs) {
    *pick = 0;
    if ((e->flags & LB_EXEC_WHEN) && !wanted(e)) return false;
    if ((e->flags & LB_EXEC_PICK) && !read_pick(p, e, 0, pick)) return false;
    run_one(p, e, args, *pick, logs);
    return true;
}

lb_status lb_plan_run_step(lb_plan *p, int i, bool *ran, int32_t *pick) {
    lb_status st = lb_plan_prepare(p);
    if (st) return st;
    p->bad_step = -1;
    if (p->on_gpu) st = lb_gpu_step(p, i, ran, pick);
    else *ran = run_if_wanted(p, &p->exec[i], &p->args0[i], pick, NULL);
    if (st) return st;
    p->steps[i].ran = *ran;
    p->steps[i].picked = *pick;
    return bad_pick(p);
}

lb_status lb_plan_decide(lb_plan *p, int i, bool *run, int32_t *pick) {
    lb_status st = lb_plan_prepare(p);
    if (st) return st;
    const lb_exec *e = &p->exec[i];
    p->bad_step = -1;
    *pick = 0;
    if (p->on_gpu) return (st = lb_gpu_decide(p, i, run, pick)) ? st : bad_pick(p);
    *run = !(e->flags & LB_EXEC_WHEN) || wanted(e);
    if (*run && (e->flags & LB_EXEC_PICK) && !read_pick(p, e, 0, pick)) return bad_pick(p);
    return LB_OK;
}

static lb_status replay_gpu(lb_plan *p, lb_gpu_mode mode, int64_t n, uint64_t *elapsed_ns, uint64_t *launches) {
    double ns = 0;
    int64_t count = 0;
    p->bad_step = -1;
    lb_status st = lb_gpu_replay(p, mode, n, p->set, &ns, &count);
    p->set = (int)((p->set + n) % p->sets);
    if (elapsed_ns) *elapsed_ns = (uint64_t)ns;
    if (launches) *launches = (uint64_t)count;
    lb_saves_restore(&p->updates);
    return st ? st : bad_pick(p);
}

lb_status lb_plan_replay_isolated(lb_plan *p, int64_t n, uint64_t *elapsed_ns, uint64_t *launches) {
    if (!p->on_gpu)
        return lb_fail(LB_EUNSUPPORTED, "plan: runs are isolated on GPUs; device %s is none",
                       lb_device_name(p->device));
    lb_status st = begin_replay(p, n);
    return st ? st : replay_gpu(p, LB_GPU_ISOLATED, n, elapsed_ns, launches);
}

lb_status lb_plan_submit(lb_plan *p) {
    if (!p->on_gpu) return lb_plan_run(p);
    lb_status st = lb_plan_prepare(p);
    p->bad_step = -1;
    if (!st) st = lb_gpu_submit(p);
    return st ? st : bad_pick(p);
}

lb_status lb_plan_replay_eager(lb_plan *p, int64_t n, uint64_t *elapsed_ns, uint64_t *launches) {
    lb_status st = begin_replay(p, n);
    if (st) return st;
    if (p->on_gpu) return replay_gpu(p, LB_GPU_EAGER, n, elapsed_ns, launches);
    uint64_t count = 0, begin = lb_now_ns();
    p->bad_step = -1;
    for (int64_t i = 0; i < n; i++) {
        const lb_args *args = p->sets > 1 ? p->set_args[p->set] : p->args0;
        int32_t pick;
        for (int s = 0; s < p->step_count; s++) count += run_if_wanted(p, &p->exec[s], &args[s], &pick, NULL);
        if (++p->set >= p->sets) p->set = 0;
    }
    uint64_t end = lb_now_ns();
    if (elapsed_ns) *elapsed_ns = end - begin;
    if (launches) *launches = count;
    lb_saves_restore(&p->updates);
    return bad_pick(p);
}

/* ---- traced ---- */

typedef struct traced_replay { replay y; lb_span_log *logs; } traced_replay;

static void traced_part(void *ctx, int part, int parts) {
    traced_replay *t = ctx;
    lb_plan *p = t->y.p;
    const lb_args *args = p->sets > 1 ? p->set_args[t->y.set] : p->args0;
    runner r = { .p = p, .l = { .part = part, .parts = parts }, .log = &t->logs[part] };
    if (parts > 1) lb_pool_barrier(p->pool, part, NULL, NULL);
    if (part == 0) t->y.begin_ns = lb_now_ns();
    if (parts > 1) run_parallel(&r, args, true);
    else run_single(&r, args, true);
    if (part == 0) t->y.end_ns = lb_now_ns();
}

static void traced_eager(lb_plan *p, replay *y, lb_span_log *logs) {
    const lb_args *args = p->sets > 1 ? p->set_args[y->set] : p->args0;
    int32_t pick;
    y->begin_ns = lb_now_ns();
    for (int s = 0; s < p->step_count; s++) run_if_wanted(p, &p->exec[s], &args[s], &pick, logs);
    y->end_ns = lb_now_ns();
}

lb_status lb_plan_replay_traced(lb_plan *p, bool eager, lb_span_log *logs, uint64_t *begin_ns, uint64_t *end_ns) {
    lb_status st = begin_replay(p, 1);
    if (st) return st;
    for (int i = 0; i < p->threads; i++) logs[i].count = 0;
    traced_replay t = { .y = { .p = p, .n = 1, .set = p->set }, .logs = logs };
    p->bad_step = -1;
    if (p->on_gpu) st = lb_gpu_traced(p, p->set, logs, &t.y.begin_ns, &t.y.end_ns);
    else if (eager) traced_eager(p, &t.y, logs);
    else lb_pool_run(p->pool, traced_part, &t);
    p->set = (p->set + 1) % p->sets;
    *begin_ns = t.y.begin_ns;
    *end_ns = t.y.end_ns;
    lb_saves_restore(&p->updates);
    return st ? st : bad_pick(p);
}
