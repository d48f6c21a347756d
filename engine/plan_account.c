/* plan_account.c: what a run does: launches by kernel, flops, bytes, and the weights that it touches. */
#include "plan_internal.h"
#include "cache.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

lb_status lb_plan_trace(lb_plan *p, lb_trace_fn fn, void *ctx) {
    lb_saves own = { 0 }, *updates = &p->updates;
    lb_status st = lb_plan_prepare(p);
    if (st) return st;
    if (!updates->taken) {
        updates = &own;
        if ((st = lb_updates_save(p, &own))) return st;
    }
    lb_saves_restore(updates);
    for (int i = 0; i < p->step_count && !st; i++) {
        bool ran = false;
        int32_t pick = 0;
        st = lb_plan_run_step(p, i, &ran, &pick);
        if (!st && ran && fn) st = fn(ctx, p, i, pick);
    }
    p->traced = st == LB_OK;
    lb_saves_restore(updates);
    lb_saves_done(&own);
    return st;
}

void lb_step_touch(const lb_step *s, int32_t pick, lb_touch_fn fn, void *ctx) {
    if (s->op->touch) {
        s->op->touch(&s->launch, pick, fn, ctx);
        return;
    }
    for (int i = 0, n = lb_operand_count(s->op); i < n; i++) {
        const lb_operand *o = &s->launch.t[i];
        if (s->op->operands[i].role == LB_WEIGHT && o->count) fn(ctx, o->items[o->count > 1 ? pick : 0]);
    }
}

/* ---- the last-level cache, as a stack of weights, most recently used last ---- */

typedef struct used { uintptr_t at; double bytes; int step; bool again; } used;

typedef struct counting {
    lb_account *out;
    used *stack;                /* distinct weights */
    int64_t depth, stack_capacity;
    used *reads;                /* of all weights, in order */
    int64_t read_count, read_capacity;
    double capacity;            /* of the cache; 0 (unknown): every read counts again */
    double min_weight_bytes;
    lb_range *acts;             /* activation operands of the launches; weight[i]: share of the range that moved */
    double *moved;
    int64_t act_count, act_capacity;
    double launch_weight_bytes;
    double launch_elements[LB_COMPUTE_COUNT];   /* weights of a launch, by the compute type of their panels */
    const lb_device *device;
    int path_capacity;
    lb_step_work *steps;        /* NULL = not wanted */
    int step;                   /* that is being counted */
    bool no_memory;
} counting;

static bool push(used **list, int64_t *count, int64_t *capacity, used u) {
    if (*count == *capacity) {
        int64_t more = *capacity ? *capacity * 2 : 64;
        used *grown = realloc(*list, (size_t)more * sizeof *grown);
        if (!grown) return false;
        *list = grown;
        *capacity = more;
    }
    (*list)[(*count)++] = u;
    return true;
}

/* The place of a weight in the stack (-1: not in it), and the bytes that were used since. */
static int64_t find_used(const counting *c, const used *u, double *since) {
    int64_t i = c->depth - 1;
    *since = 0;
    for (; i >= 0 && !(c->stack[i].at == u->at && c->stack[i].bytes == u->bytes); i--) *since += c->stack[i].bytes;
    return i;
}

static void move_to_top(counting *c, int64_t i, used u) {
    memmove(&c->stack[i], &c->stack[i + 1], (size_t)(c->depth - 1 - i) * sizeof *c->stack);
    c->stack[c->depth - 1] = u;
}

/* Of reads that a step does from different distances the least counts for all: the floor stays one. */
static void note_step(double *bytes_sum, double *least, double distance, double bytes) {
    if (*bytes_sum == 0 || distance < *least) *least = distance;
    *bytes_sum += bytes;
}

static void note_distance(double *buckets, double distance, double bytes) {
    int i = distance < 1 ? 0 : (int)(log2(distance) * LB_REUSE_PER_OCTAVE);
    buckets[i < LB_REUSE_BUCKETS ? i : LB_REUSE_BUCKETS - 1] += bytes;
}

/* A weight is still there if it and everything used since it was last read fit together. */
static void touch_weight(void *ctx, lb_tensor *w) {
    counting *c = ctx;
    used u = { .at = lb_tensor_address(w), .bytes = (double)lb_tensor_size_bytes(w), .step = c->step };
    double since;
    c->launch_weight_bytes += u.bytes;
    const lb_kernel *panel = w->quantizer ? lb_kernel_panel_for(c->device, w->quantizer) : NULL;
    if (panel) c->launch_elements[panel->compute] += (double)lb_tensor_numel(w);
    int64_t i = find_used(c, &u, &since);
    if (!push(&c->reads, &c->read_count, &c->read_capacity, u)) c->no_memory = true;
    if (i >= 0) {
        if (since + u.bytes > c->capacity) c->min_weight_bytes += u.bytes;
        note_distance(c->out->reuse_bytes, since + u.bytes, u.bytes);
        lb_step_work *s = c->steps ? &c->steps[c->step] : NULL;
        if (s) note_step(&s->again_bytes, &s->again_distance, since + u.bytes, u.bytes);
        move_to_top(c, i, u);
        return;
    }
    if (!push(&c->stack, &c->depth, &c->stack_capacity, u)) c->no_memory = true;
    c->min_weight_bytes += u.bytes;
    c->out->weight_bytes += u.bytes;
    c->out->weights_touched++;
}

/* The run once more over the stack that it left, up to the last weight's first read. */
static void note_first_reads(counting *c) {
    int64_t left = c->depth;
    for (int64_t r = 0; r < c->read_count && left > 0; r++) {
        used u = c->reads[r];
        double since;
        int64_t i = find_used(c, &u, &since);
        if (i < 0) return;
        if (!c->stack[i].again) {
            note_distance(c->out->first_bytes, since + u.bytes, u.bytes);
            lb_step_work *s = c->steps ? &c->steps[u.step] : NULL;
            if (s) note_step(&s->first_bytes, &s->first_distance, since + u.bytes, u.bytes);
            left--;
        }
        u.again = true;
        move_to_top(c, i, u);
    }
}

/* ---- activations ---- */

static bool add_act(counting *c, lb_range r, double share) {
    if (c->act_count == c->act_capacity) {
        int64_t capacity = c->act_capacity ? c->act_capacity * 2 : 256;
        lb_range *acts = realloc(c->acts, (size_t)capacity * sizeof *acts);
        if (acts) c->acts = acts;
        double *moved = realloc(c->moved, (size_t)capacity * sizeof *moved);
        if (moved) c->moved = moved;
        if (!acts || !moved) return false;
        c->act_capacity = capacity;
    }
    c->acts[c->act_count] = r;
    c->moved[c->act_count++] = share * (double)(r.hi - r.lo);
    return true;
}

/* A launch may use a part of its operands (the rows of a class): the bytes that it reports, less its weights, are
 * spread over its other operands by size. */
static void note_acts(counting *c, const lb_step *s, int32_t pick, double bytes) {
    double all = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0, n = lb_operand_count(s->op); i < n; i++) {
            const lb_operand *o = &s->launch.t[i];
            if (s->op->operands[i].role == LB_WEIGHT || !o->count) continue;
            lb_range r = lb_tensor_range(o->items[o->count > 1 && pick < o->count ? pick : 0]);
            if (r.hi == r.lo) continue;
            if (pass == 0) all += (double)(r.hi - r.lo);
            else if (!add_act(c, r, bytes < all ? bytes / all : 1)) c->no_memory = true;
        }
        if (all <= 0 || bytes <= 0) return;
    }
}

typedef struct act { lb_range r; double moved; } act;

static int by_address(const void *a, const void *b) {
    uintptr_t x = ((const act *)a)->r.lo, y = ((const act *)b)->r.lo;
    return x < y ? -1 : x > y;
}

/* Overlapping operands (a matrix and its rows) count together, and never more than the bytes that they span. */
static lb_status distinct_act_bytes(const counting *c, double *out) {
    *out = 0;
    if (c->act_count == 0) return LB_OK;
    act *a = malloc((size_t)c->act_count * sizeof *a);
    if (!a) return lb_fail(LB_ENOMEM, "plan: no memory to account %lld operands", (long long)c->act_count);
    for (int64_t i = 0; i < c->act_count; i++) a[i] = (act){ c->acts[i], c->moved[i] };
    qsort(a, (size_t)c->act_count, sizeof *a, by_address);
    for (int64_t i = 0; i < c->act_count;) {
        uintptr_t lo = a[i].r.lo, hi = a[i].r.hi;
        double moved = a[i].moved;
        for (i++; i < c->act_count && a[i].r.lo < hi; i++) {
            if (a[i].r.hi > hi) hi = a[i].r.hi;
            moved += a[i].moved;
        }
        double span = (double)(hi - lo);
        *out += moved < span ? moved : span;
    }
    free(a);
    return LB_OK;
}

/* ---- the account ---- */

static lb_path_entry *path_entry(counting *c, const char *op, const char *kernel) {
    lb_account *a = c->out;
    for (int i = 0; i < a->path_count; i++)
        if (strcmp(a->path[i].op, op) == 0 && strcmp(a->path[i].kernel, kernel) == 0) return &a->path[i];
    if (a->path_count == c->path_capacity) {
        int capacity = c->path_capacity ? c->path_capacity * 2 : 16;
        lb_path_entry *path = realloc(a->path, (size_t)capacity * sizeof *path);
        if (!path) return NULL;
        a->path = path;
        c->path_capacity = capacity;
    }
    a->path[a->path_count] = (lb_path_entry){ .op = op, .kernel = kernel };
    return &a->path[a->path_count++];
}

/* A kernel that builds on the panels of other kernels computes as they do: its operations go to their compute types, by
 * share of the weights (exact where all experts have as many rows, or panels of one type). */
static void count_flops(counting *c, const lb_kernel *k, double flops) {
    double all = 0;
    for (int i = 0; i < LB_COMPUTE_COUNT && k->panel_weights; i++) all += c->launch_elements[i];
    c->out->flops += flops;
    if (all <= 0) c->out->flops_by[k->compute] += flops;
    for (int i = 0; i < LB_COMPUTE_COUNT && all > 0; i++) c->out->flops_by[i] += flops * c->launch_elements[i] / all;
}

static lb_status count_step(void *ctx, lb_plan *p, int i, int32_t pick) {
    counting *c = ctx;
    const lb_step *s = &p->steps[i];
    const lb_kernel *k = lb_step_kernel(s, pick);
    lb_work w = { 0 };
    lb_account before = *c->out;
    c->step = i;
    c->launch_weight_bytes = 0;
    memset(c->launch_elements, 0, sizeof c->launch_elements);
    lb_step_touch(s, pick, touch_weight, c);
    if (s->op->work) s->op->work(&s->launch, pick, &w);
    note_acts(c, s, pick, w.bytes - c->launch_weight_bytes);
    lb_path_entry *e = path_entry(c, s->op->name, k->name);
    if (!e || c->no_memory) return lb_fail(LB_ENOMEM, "plan: no memory to account step %d", i + 1);
    if (!e->launches) e->why = lb_why_name(s->choice->items[s->choice->count > 1 ? pick : 0].why);
    e->launches++;
    e->weight_bytes += c->launch_weight_bytes;
    c->out->launches++;
    count_flops(c, k, w.flops);
    c->out->bytes_streamed += w.bytes;
    c->out->weight_bytes_streamed += c->launch_weight_bytes;
    if (c->steps) {
        lb_step_work *o = &c->steps[i];
        o->ran = true;
        o->pick = pick;
        o->kernel = k;
        o->flops = w.flops;
        o->bytes = w.bytes;
        o->weight_bytes = c->launch_weight_bytes;
        for (int t = 0; t < LB_COMPUTE_COUNT; t++) o->flops_by[t] = c->out->flops_by[t] - before.flops_by[t];
    }
    return LB_OK;
}

static lb_status account(lb_plan *p, lb_account *out, lb_step_work *steps) {
    memset(out, 0, sizeof *out);
    counting c = { .out = out, .device = p->device, .steps = steps, .capacity = lb_cache_capacity(p->device) };
    double acts = 0;
    lb_status st = lb_plan_trace(p, count_step, &c);
    if (!st) st = distinct_act_bytes(&c, &acts);
    if (!st) note_first_reads(&c);
    out->act_bytes = acts;
    out->bytes_min = c.min_weight_bytes + acts;
    free(c.stack);
    free(c.reads);
    free(c.acts);
    free(c.moved);
    if (st) lb_account_done(out);
    return st;
}

lb_status lb_plan_account(lb_plan *p, lb_account *out) { return account(p, out, NULL); }

lb_status lb_plan_work(lb_plan *p, lb_step_work *steps) {
    lb_account a;
    memset(steps, 0, (size_t)p->step_count * sizeof *steps);
    lb_status st = account(p, &a, steps);
    lb_account_done(&a);
    return st;
}

void lb_account_done(lb_account *a) {
    free(a->path);
    memset(a, 0, sizeof *a);
}
