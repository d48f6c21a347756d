/* plan_internal.h: what the files of the plan share: steps, interned operand lists, dataflow state, exec records.
 *
 * Threads and barriers. Every thread of the pool walks the same array of exec records. Barriers are of two kinds:
 *   soft  before a step whose operands conflict with those of a step since the last barrier. If the step is skipped
 *         (its `when` is 0) the barrier is not lost but put off to the next step that runs.
 *   hard  before a step whose `when` was written since the last hard barrier: it is always executed, because all
 *         threads must read the same value to decide alike.
 * Serial steps all run on thread 0, in order, so that they never need a barrier between one another.
 * Steps with no barrier between them are independent, so their kernels' phases run side by side: all first phases, a
 * barrier, all second ones. Ten small steps of two phases then wait twice and not ten times. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel.h"
#include "op.h"
#include "plan.h"
#include "pool.h"
#include "selection.h"
#include "trace.h"

#define LB_MAX_WHENS 4
#define LB_LIST_BUCKETS 4096
/* Steps of one interval have workspaces of their own; beyond this many bytes a barrier is cheaper than more memory. */
#define LB_INTERVAL_WORKSPACE ((size_t)64 << 20)

/* Addresses [lo, hi) that a tensor's elements lie in. */
typedef struct lb_range { uintptr_t lo, hi; } lb_range;

typedef struct lb_ranges { lb_range *at; int64_t count, capacity; } lb_ranges;

enum { LB_MARK_READ, LB_MARK_READ_SERIAL, LB_MARK_WRITE, LB_MARK_WRITE_SERIAL, LB_MARK_HARD, LB_MARK_EVER,
       LB_MARKS };

/* Operand lists are interned: 5000 steps that pick among the same 64 experts share one array. */
typedef struct lb_list {
    struct lb_list *next;            /* of its hash bucket */
    uint64_t hash;
    uint32_t mark[LB_MARKS];         /* the interval in which it was noted; saves noting it again */
    lb_range *ranges;
    lb_tensor ***rotated;            /* per rotation set the items, set 0 included; NULL = not rotated */
    struct lb_gpu_view *views;       /* plan_gpu.c */
    struct lb_list *lent;            /* read instead while plans take turns; NULL = itself */
    bool borrowed;                   /* such a stand-in; goes when they have ended */
    int32_t count;
    lb_tensor *items[];              /* retained */
} lb_list;

static inline lb_list *lb_list_of(const lb_operand *o) {
    return (lb_list *)((char *)o->items - offsetof(lb_list, items));
}

typedef struct lb_choice_item {
    void (*launch)(const lb_args *, const lb_launch *);
    const lb_kernel *kernel;
    int32_t phases;
    bool serial;
    lb_why why;
} lb_choice_item;

/* The kernel of each item that a step can pick (one for steps without `pick`); shared by steps that are alike. */
typedef struct lb_choice {
    int refs;
    bool serial;                     /* all of them are */
    size_t workspace_bytes;          /* the most that any of them needs */
    int32_t count;
    lb_choice_item items[];
} lb_choice;

typedef struct lb_step {
    const lb_op *op;
    char *label;                     /* NULL = none */
    lb_args native, launch;          /* operand items belong to the plan's lists */
    lb_choice *choice;
    const lb_kernel *asked;          /* opts->kernel and opts->native_layout, to find steps that are alike */
    bool asked_native;
    lb_ref whens[LB_MAX_WHENS];
    int when_count;
    lb_ref pick;
    bool barrier, hard;
    size_t workspace_offset;
    int ticket;                      /* its place among the steps of the interval */
    bool ran;                        /* in the last run step by step */
    int32_t picked;
} lb_step;

enum { LB_EXEC_BARRIER = 1, LB_EXEC_HARD = 2, LB_EXEC_SERIAL = 4, LB_EXEC_WHEN = 8, LB_EXEC_PICK = 16,
       LB_EXEC_PHASES = 32 };

/* Steps of an interval that say by op->apart which others' outputs they leave alone. */
enum { LB_MAX_APART = 64 };

typedef struct lb_ticket { _Alignas(64) atomic_llong value; } lb_ticket;

typedef struct lb_exec_when { const int32_t *at[LB_MAX_WHENS]; } lb_exec_when;

/* What replay reads of a step; one cache line. Its args are at the same index in the rotation set's array. */
typedef struct lb_exec {
    _Alignas(64) void (*launch)(const lb_args *, const lb_launch *);
    void *workspace;
    lb_ticket *ticket;
    uint32_t flags;
    int32_t phases;
    const int32_t *pick;
    const lb_choice *choice;
    const lb_exec_when *when;        /* unused entries point at a constant 1 */
} lb_exec;

/* `bytes` lie where the buffer's are: in the host's memory or the device's. */
typedef struct lb_saved { lb_range range; void *bytes; lb_buffer *buffer; int step, slot; int32_t item; } lb_saved;
typedef struct lb_saves { lb_saved *at; int count; bool taken; } lb_saves;

typedef struct lb_rotating { lb_tensor *tensor; lb_tensor **copies; } lb_rotating;

/* Accesses since the last barrier, by [serial]; see plan_flow.c. */
typedef struct lb_flow {
    lb_ranges reads[2], writes[2];
    lb_ranges hard_writes;           /* since the last hard barrier */
    lb_ranges ever_written;
    int apart[LB_MAX_APART], apart_count;   /* steps of this interval whose LB_PARTIAL writes are not in `writes` */
    uint32_t interval, hard_interval;
    size_t workspace_used;
    int tickets_used;
    int tickets_most;
    size_t workspace_most, serial_workspace_most;
} lb_flow;

struct lb_plan {
    int refs;
    lb_device *device;
    lb_pool *pool;
    int threads;
    lb_step *steps;
    int step_count, step_capacity;
    lb_list *lists[LB_LIST_BUCKETS];
    lb_flow flow;
    lb_ranges repacked;              /* native bytes of weights that kernels read from a converted copy */
    uint64_t repack_ns;
    double repack_bytes;

    /* prepared for replay by lb_plan_prepare */
    int exec_count;                  /* steps that exec[] covers; the plan is prepared if == step_count */
    lb_exec *exec;
    lb_exec_when *exec_whens;
    lb_args *args0;
    lb_ticket *tickets;
    void *workspace;
    size_t workspace_size, workspace_serial_at;

    int sets, set;                   /* rotation sets, and the next run's */
    lb_args **set_args;              /* [sets]; [0] == args0 */
    lb_rotating *rotating;
    int rotating_count;

    lb_saves updates, outputs;
    bool on_gpu;                     /* its device has a memory and a stream of its own: plan_gpu.c runs it */
    struct lb_gpu_plan *gpu;         /* NULL = not prepared */
    bool traced;                     /* the steps' `ran` is known */
    int bad_step;                    /* a pick out of range: the step, and what it was; -1 = none */
    int32_t bad_pick;
};

/* plan.c */
lb_range lb_tensor_range(const lb_tensor *t);
static inline bool lb_range_overlap(lb_range a, lb_range b) { return a.lo < b.hi && b.lo < a.hi; }
lb_status lb_ranges_add(lb_ranges *r, lb_range x);
bool lb_ranges_hit(const lb_ranges *r, lb_range x);
/* The plan's list of exactly these tensors; *created (may be NULL) says whether it is new. */
lb_status lb_plan_intern(lb_plan *p, lb_tensor *const *items, int32_t count, lb_list **out, bool *created);
void lb_list_free(lb_list *l);
/* Builds exec records, tickets and workspace for the steps recorded so far. */
lb_status lb_plan_prepare(lb_plan *p);
/* Lets a prepared plan run in this workspace and with these tickets, both large enough, and with its recorded
 * operands. */
void lb_plan_work_in(lb_plan *p, void *workspace, lb_ticket *tickets);
/* A new step at the end, to be filled in; it counts once step_count is raised. */
lb_status lb_plan_reserve(lb_plan *p, lb_step **out);
void lb_choice_release(lb_choice *c);
static inline int lb_operand_count(const lb_op *op) {
    int n = 0;
    while (n < LB_MAX_OPERANDS && op->operands && op->operands[n].name) n++;
    return n;
}
static inline bool lb_role_writes(lb_role r) { return r == LB_WRITE || r == LB_PARTIAL || r == LB_UPDATE; }
static inline bool lb_role_reads(lb_role r) { return r == LB_READ || r == LB_WEIGHT || r == LB_UPDATE; }

/* plan_flow.c: decides barriers, workspace and ticket of a step, and notes what it reads and writes. */
lb_status lb_flow_step(lb_plan *p, lb_step *s);
void lb_flow_done(lb_flow *f);

/* plan_replay.c */
/* Runs one step on the pool, with the args of rotation set 0. *ran false: its `when` is 0. */
lb_status lb_plan_run_step(lb_plan *p, int i, bool *ran, int32_t *pick);
/* Reads `when` and `pick` of a step as they are now; LB_EINVAL if the pick is out of range. */
lb_status lb_plan_decide(lb_plan *p, int i, bool *run, int32_t *pick);
/* Runs all steps once with one rotation set. */
lb_status lb_plan_run_set(lb_plan *p, int set);
/* One run, traced into one log a thread (emptied first); spans beyond a log's capacity are counted, but not kept. Not
 * for plans without steps. */
typedef struct lb_span_log { _Alignas(128) lb_span *at; int64_t count, capacity; } lb_span_log;
lb_status lb_plan_replay_traced(lb_plan *p, bool eager, lb_span_log *logs, uint64_t *begin_ns, uint64_t *end_ns);
static inline const lb_kernel *lb_step_kernel(const lb_step *s, int32_t pick) {
    return s->choice->items[s->choice->count > 1 ? pick : 0].kernel;
}

/* plan_account.c: runs step by step; calls fn after each step that ran. LB_UPDATE operands that no earlier step writes
 * are restored afterwards. */
typedef lb_status (*lb_trace_fn)(void *ctx, lb_plan *p, int step, int32_t pick);
lb_status lb_plan_trace(lb_plan *p, lb_trace_fn fn, void *ctx);
/* The weights that a launch reads, in the kernel's layout. */
void lb_step_touch(const lb_step *s, int32_t pick, lb_touch_fn fn, void *ctx);

/* plan_share.c */
/* What plans that take turns have in common: see there. Neither runs other than by replay until lb_plans_unshare, and
 * no step is recorded. `operands`: also those that no plan writes (not for rotated plans, which have many copies).
 * Plans of different devices, and of GPUs, share nothing. On failure nothing is shared. */
typedef struct lb_common { lb_device *device; void *workspace; size_t workspace_size; lb_ticket *tickets; } lb_common;
lb_status lb_plans_share(lb_plan *const *plans, int count, bool operands, lb_common *c);
void lb_plans_unshare(lb_plan *const *plans, int count, lb_common *c);   /* also of one that is all zeros */

/* plan_rotate.c */
void lb_plan_unrotate(lb_plan *p);

/* plan_state.c */
void lb_saves_done(lb_saves *s);
lb_status lb_updates_save(lb_plan *p, lb_saves *out);
void lb_saves_restore(const lb_saves *s);
/* Contents of what the steps that ran have written; later writers of the same bytes win. */
lb_status lb_outputs_save(lb_plan *p, lb_saves *out);
/* First saved operand that differs now, or -1; *byte is the offset of the difference from the range's start. */
int lb_saves_differ(const lb_saves *s, size_t *byte);
/* Bytes of memory that can be had now without swapping; 0 = unknown. */
int64_t lb_memory_available(const lb_device *d);

/* plan_gpu.c */
typedef enum lb_gpu_mode {
    LB_GPU_GRAPH,      /* captured graphs */
    LB_GPU_EAGER,      /* a launch from C for each step */
    LB_GPU_ISOLATED    /* each run alone: cold L2, enqueued behind a kernel that waits for the host, events around it */
} lb_gpu_mode;
/* n runs, from rotation set `set` on. *ns: by the device's clock, what lies between the runs included but where
 * isolated. */
lb_status lb_gpu_replay(lb_plan *p, lb_gpu_mode mode, int64_t n, int set, double *ns, int64_t *launches);
/* One step with the args of set 0; waits for it. */
lb_status lb_gpu_step(lb_plan *p, int i, bool *ran, int32_t *pick);
lb_status lb_gpu_decide(lb_plan *p, int i, bool *run, int32_t *pick);
lb_status lb_gpu_traced(lb_plan *p, int set, lb_span_log *log, uint64_t *begin_ns, uint64_t *end_ns);
/* Enqueues one run; waits for it where a step has a `pick`, which may be out of range (and where the host reads
 * values). */
lb_status lb_gpu_submit(lb_plan *p);
/* A graph of one run, so that it is known whether the device makes the choices. */
lb_status lb_gpu_capture(lb_plan *p);
/* Multiples of so many runs, from set 0 on, are graphs of several runs and nothing else; 1: a graph holds one run
 * only. */
lb_status lb_gpu_whole_runs(lb_plan *p, int64_t *runs);
/* Captures what n runs by graphs need from where the plan stands, so that nothing is when they are timed. */
lb_status lb_gpu_prepare(lb_plan *p, int64_t n);
void lb_gpu_done(lb_plan *p);
