/* plan_gpu_branch.c: which steps of a plan may run side by side in its graphs, and which stream each is captured on.
 *
 * Two steps keep their order if one writes what the other reads or writes (operands' addresses, as plan_flow.c has them
 * for the CPU's barriers); one without operands keeps its place among all. A step goes on where one that it needs was
 * the last; else on a stream that is free, of which there are LB_CUDA_BRANCHES. Each stream has a workspace and tickets
 * of its own, so its steps keep their order, too: where more steps are independent than there are streams, some wait
 * without need.
 *
 * Steps that hang on a value (plan_gpu_decide.c) stand alone: what is before them ends first, what is behind waits. So
 * do the runs of a graph of several. */
#include "plan_gpu.h"

#include <stdlib.h>
#include <string.h>

#include "mirror.h"

/* The last steps that read and wrote a range of addresses, on each stream; -1 = none. */
typedef struct access { lb_range range; int read[LB_CUDA_BRANCHES], wrote[LB_CUDA_BRANCHES]; } access;
typedef struct finder {
    lb_plan *p;
    access *at;
    int count, capacity;
    int alone;                       /* the last step without operands, which says nothing of its needs; -1 = none */
    int tail[LB_CUDA_BRANCHES];      /* the last step on each stream, -1 = none yet */
    int (*after)[LB_CUDA_BRANCHES];  /* [steps]: of each stream the last step before this one; itself included */
} finder;

static int most_branches(void) {
    const char *text = getenv("LUABENCH_CUDA_BRANCHES");
    int n = text && *text ? atoi(text) : LB_CUDA_BRANCHES;
    return n < 1 ? 1 : n > LB_CUDA_BRANCHES ? LB_CUDA_BRANCHES : n;
}

static void later(int *a, const int *b) {
    for (int i = 0; i < LB_CUDA_BRANCHES; i++) a[i] = b[i] > a[i] ? b[i] : a[i];
}

static void needs_of(finder *f, int i, int *needs) {
    const lb_step *s = &f->p->steps[i];
    bool alone = true;
    for (int b = 0; b < LB_CUDA_BRANCHES; b++) needs[b] = -1;
    if (f->alone >= 0) needs[f->p->gpu->branches[f->alone].stream] = f->alone;
    for (int k = 0, n = lb_operand_count(s->op); k < n; k++) {
        if (!s->launch.t[k].count) continue;
        alone = false;
        bool writes = lb_role_writes(s->op->operands[k].role);
        const lb_list *l = lb_list_of(&s->launch.t[k]);
        for (int32_t j = 0; j < l->count; j++)
            for (int a = 0; a < f->count; a++) {
                if (!lb_range_overlap(f->at[a].range, l->ranges[j])) continue;
                later(needs, f->at[a].wrote);
                if (writes) later(needs, f->at[a].read);
            }
    }
    if (!alone) return;
    later(needs, f->tail);
    f->alone = i;
}

static lb_status note_range(finder *f, lb_range r, bool writes, int i, int branch) {
    access *to = NULL;
    for (int a = 0; a < f->count && !to; a++)
        if (f->at[a].range.lo == r.lo && f->at[a].range.hi == r.hi) to = &f->at[a];
    if (!to) {
        if (f->count == f->capacity) {
            int capacity = f->capacity ? 2 * f->capacity : 64;
            access *at = realloc(f->at, (size_t)capacity * sizeof *at);
            if (!at) return lb_fail(LB_ENOMEM, "plan: no memory for the order of its steps");
            f->at = at, f->capacity = capacity;
        }
        to = &f->at[f->count++];
        to->range = r;
        for (int b = 0; b < LB_CUDA_BRANCHES; b++) to->read[b] = to->wrote[b] = -1;
    }
    (writes ? to->wrote : to->read)[branch] = i;
    return LB_OK;
}

static lb_status note_step(finder *f, int i, int branch) {
    const lb_step *s = &f->p->steps[i];
    lb_status st = LB_OK;
    for (int k = 0, n = lb_operand_count(s->op); k < n && !st; k++) {
        if (!s->launch.t[k].count) continue;
        bool writes = lb_role_writes(s->op->operands[k].role);
        const lb_list *l = lb_list_of(&s->launch.t[k]);
        for (int32_t j = 0; j < l->count && !st; j++) /* what no step of the plan writes orders nothing */
            if (writes || lb_ranges_hit(&f->p->flow.ever_written, l->ranges[j]))
                st = note_range(f, l->ranges[j], writes, i, branch);
    }
    return st;
}

/* The stream whose last step is the latest that this one needs; else one whose last step is over by then, or none was
 * on; else the one that has been left alone the longest. */
static int choose(const finder *f, const int *needs, const int *covered, int branches) {
    int best = -1, idle = -1, oldest = 0;
    for (int b = 0; b < branches; b++) {
        if (f->tail[b] >= 0 && needs[b] == f->tail[b] && (best < 0 || f->tail[b] > f->tail[best])) best = b;
        if (f->tail[b] <= covered[b] && (idle < 0 || (f->tail[idle] < 0 && f->tail[b] >= 0))) idle = b;
        if (f->tail[b] < f->tail[oldest]) oldest = b;
    }
    return best >= 0 ? best : idle >= 0 ? idle : oldest;
}

static lb_status place(finder *f, int i, int branches) {
    lb_gpu_branch *to = &f->p->gpu->branches[i];
    int needs[LB_CUDA_BRANCHES], covered[LB_CUDA_BRANCHES];
    needs_of(f, i, needs);
    memcpy(covered, needs, sizeof covered);
    for (int b = 0; b < LB_CUDA_BRANCHES; b++)
        if (needs[b] >= 0) later(covered, f->after[needs[b]]);
    to->stream = choose(f, needs, covered, branches);
    for (int b = 0; b < LB_CUDA_BRANCHES; b++) f->after[i][b] = -1;
    if (f->tail[to->stream] >= 0) later(f->after[i], f->after[f->tail[to->stream]]);
    /* the latest first: what they come after themselves need not be waited for */
    for (;;) {
        int latest = -1;
        for (int b = 0; b < LB_CUDA_BRANCHES; b++)
            if (needs[b] > f->after[i][b] && needs[b] > latest) latest = needs[b];
        if (latest < 0) break;
        to->after[to->after_count++] = latest;
        f->p->gpu->branches[latest].awaited = true;
        later(f->after[i], f->after[latest]);
    }
    f->after[i][to->stream] = i;
    f->tail[to->stream] = i;
    return note_step(f, i, to->stream);
}

static void begin_part(finder *f) {
    f->count = 0;
    f->alone = -1;
    for (int b = 0; b < LB_CUDA_BRANCHES; b++) f->tail[b] = -1;
}

/* A workspace for each stream but the first, which has the plan's. */
static lb_status make_workspaces(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    lb_status st = LB_OK;
    for (int i = 0; i < p->step_count; i++) {
        int b = g->branches[i].stream;
        if (b && p->steps[i].choice->workspace_bytes > g->workspace_bytes[b])
            g->workspace_bytes[b] = p->steps[i].choice->workspace_bytes;
    }
    for (int b = 1; b < LB_CUDA_BRANCHES && !st; b++) {
        if (!g->workspace_bytes[b]) continue;
        st = lb_device_alloc(p->device, g->workspace_bytes[b], &g->workspaces[b]);
        if (st) g->workspaces[b] = NULL;
        else st = lb_device_set(p->device, g->workspaces[b], 0xff, g->workspace_bytes[b]);
    }
    return st;
}

void lb_gpu_branches_done(lb_plan *p, lb_gpu_plan *g) {
    for (int b = 1; b < LB_CUDA_BRANCHES; b++) {
        if (g->workspaces[b]) lb_device_free(p->device, g->workspaces[b], g->workspace_bytes[b]);
        g->workspaces[b] = NULL;
        g->workspace_bytes[b] = 0;
    }
    free(g->branches);
    g->branches = NULL;
}

static lb_status find(lb_plan *p, int branches) {
    finder f = { .p = p };
    size_t n = (size_t)p->step_count + 1;
    lb_status st = LB_OK;
    p->gpu->branches = calloc(n, sizeof *p->gpu->branches);
    f.after = malloc(n * sizeof *f.after);
    if (!p->gpu->branches || !f.after)
        st = lb_fail(LB_ENOMEM, "plan: no memory for the order of %d steps", p->step_count);
    begin_part(&f);
    for (int i = 0; i < p->step_count && !st; i++) {
        if (lb_gpu_has_condition(&p->steps[i])) begin_part(&f);
        else st = place(&f, i, branches);
    }
    free(f.at);
    free(f.after);
    return st ? st : make_workspaces(p);
}

/* Where there is no memory for more workspaces, one stream does. */
lb_status lb_gpu_find_branches(lb_plan *p) {
    lb_status st = find(p, most_branches());
    if (st != LB_ENOMEM) return st;
    lb_gpu_branches_done(p, p->gpu);
    return find(p, 1);
}

/* ---- capturing ------------------------------------------------------------------------------------------------- */

/* Marks: a step's is its number; behind those the beginning of a stretch, and the end of each stream. */
static int mark_of_begin(const lb_plan *p) { return p->step_count; }
static int mark_of_end(const lb_plan *p, int stream) { return p->step_count + stream; }

static lb_status enter(lb_plan *p, const lb_gpu_branch *at, bool *entered) {
    lb_status st = API(p)->branch(DEV(p), at->stream);
    if (!st && !entered[at->stream] && !at->after_count) st = API(p)->after(DEV(p), mark_of_begin(p));
    entered[at->stream] = true;
    return st;
}

lb_status lb_gpu_capture_stretch(lb_plan *p, int first, int last, int set) {
    const lb_gpu_branch *at = p->gpu->branches;
    bool entered[LB_CUDA_BRANCHES] = { true }, several = false;
    lb_status st = LB_OK;
    for (int i = first; i < last; i++) several |= at[i].stream != 0;
    if (several) st = API(p)->mark(DEV(p), mark_of_begin(p));
    for (int i = first; i < last && !st; i++) {
        if (several) st = enter(p, &at[i], entered);
        for (int k = 0; k < at[i].after_count && !st; k++) st = API(p)->after(DEV(p), at[i].after[k]);
        if (!st) st = lb_gpu_launch(p, i, set, 0);
        if (!st && at[i].awaited) st = API(p)->mark(DEV(p), i);
    }
    for (int b = 1; b < LB_CUDA_BRANCHES && !st; b++) {
        if (!entered[b]) continue;
        st = API(p)->branch(DEV(p), b);
        if (!st) st = API(p)->mark(DEV(p), mark_of_end(p, b));
        if (!st) st = API(p)->branch(DEV(p), 0);
        if (!st) st = API(p)->after(DEV(p), mark_of_end(p, b));
    }
    return st;
}
