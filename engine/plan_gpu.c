/* plan_gpu.c: plans on a GPU. A plan is captured into a graph, steps that do not need one another side by side
 * (plan_gpu_branch.c); eagerly and step by step it is one stream in order. Steps that hang on a value (`when`, `pick`)
 * are parts of the graph that the device chooses (plan_gpu_decide.c). Where it cannot, and in mode eager, they are
 * launched from here after the value was read. */
#include "plan_gpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cuda_source.h"
#include "mirror.h"

/* The most nodes of graphs of several runs: large ones, and smaller ones for what is left. */
static const int chunk_nodes[LB_GPU_CHUNKS] = { 256, 32, 8 };

/* ---- views ----------------------------------------------------------------------------------------------------- */

static int list_sets(const lb_plan *p, const lb_list *l) { return l->rotated ? p->sets : 1; }
static lb_tensor *list_item(const lb_list *l, int set, int32_t i) {
    return l->rotated && set > 0 ? l->rotated[set][i] : l->items[i];
}
static lb_tensor **view_items(const lb_plan *p, const lb_list *l, int set) {
    size_t all = (size_t)list_sets(p, l) * (size_t)l->count;
    return (lb_tensor **)(l->views + all) + (l->rotated ? (size_t)set * (size_t)l->count : 0);
}

static lb_status add_operand(lb_gpu_plan *g, lb_buffer *b, bool written) {
    if (g->operand_count == g->operand_capacity) {
        int64_t capacity = g->operand_capacity ? 2 * g->operand_capacity : 64;
        lb_gpu_operand *at = realloc(g->operands, (size_t)capacity * sizeof *at);
        if (!at) return lb_fail(LB_ENOMEM, "plan: no memory for %lld operands", (long long)capacity);
        g->operands = at;
        g->operand_capacity = capacity;
    }
    g->operands[g->operand_count++] = (lb_gpu_operand){ b, written };
    return LB_OK;
}

/* The list's items on the device, and an entry for each buffer. */
static lb_status view_list(lb_plan *p, lb_list *l, bool written) {
    int sets = list_sets(p, l);
    size_t all = (size_t)sets * (size_t)l->count;
    bool fresh = !l->views;
    if (fresh) l->views = malloc(all * (sizeof *l->views + sizeof(lb_tensor *)));
    if (!l->views) return lb_fail(LB_ENOMEM, "plan: no memory for %zu operands", all);
    lb_tensor **items = (lb_tensor **)(l->views + all);
    for (size_t i = 0; i < all; i++) {
        lb_tensor *t = list_item(l, (int)(i / (size_t)l->count), (int32_t)(i % (size_t)l->count));
        lb_status st = add_operand(p->gpu, t->buffer, written);
        if (!st && fresh) st = lb_buffer_push(t->buffer, false);
        if (st) return st;
        if (!fresh) continue;
        lb_gpu_view *v = &l->views[i];
        v->t = *t;
        v->b = (lb_buffer){ .device = t->buffer->device, .size_bytes = t->buffer->size_bytes,
                            .data = t->buffer->mirror->device };
        v->t.buffer = &v->b;
        v->t.repacked = NULL;
        items[i] = &v->t;
    }
    return LB_OK;
}

static int by_buffer(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)((const lb_gpu_operand *)a)->buffer, y = (uintptr_t)((const lb_gpu_operand *)b)->buffer;
    return x < y ? -1 : x > y;
}

static void distinct_operands(lb_gpu_plan *g) {
    int64_t n = 0;
    if (g->operand_count) qsort(g->operands, (size_t)g->operand_count, sizeof *g->operands, by_buffer);
    for (int64_t i = 0; i < g->operand_count; i++) {
        if (n && g->operands[n - 1].buffer == g->operands[i].buffer)
            g->operands[n - 1].written |= g->operands[i].written;
        else g->operands[n++] = g->operands[i];
    }
    g->operand_count = n;
}

static lb_status make_views(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    lb_list *last = NULL;
    for (int i = 0; i < p->step_count; i++)
        for (int k = 0, n = lb_operand_count(p->steps[i].op); k < n; k++) {
            if (!p->steps[i].launch.t[k].count) continue;
            lb_list *l = lb_list_of(&p->steps[i].launch.t[k]);
            bool written = lb_role_writes(p->steps[i].op->operands[k].role);
            if (l == last && !written) continue;
            lb_status st = view_list(p, l, written);
            if (st) return st;
            last = l;
        }
    g->args = calloc((size_t)p->sets, sizeof *g->args);
    if (!g->args) return lb_fail(LB_ENOMEM, "plan: no memory for %d sets", p->sets);
    for (int s = 0; s < p->sets; s++) {
        g->args[s] = malloc((size_t)p->step_count * sizeof **g->args);
        if (!g->args[s]) return lb_fail(LB_ENOMEM, "plan: no memory for %d steps", p->step_count);
        for (int i = 0; i < p->step_count; i++) {
            g->args[s][i] = p->steps[i].launch;
            for (int k = 0; k < LB_MAX_OPERANDS; k++)
                if (g->args[s][i].t[k].count)
                    g->args[s][i].t[k].items = view_items(p, lb_list_of(&p->steps[i].launch.t[k]), s);
        }
    }
    return LB_OK;
}

/* ---- preparing ------------------------------------------------------------------------------------------------- */

/* Does the host read what this step hangs on? */
static bool decided(const lb_plan *p, int i) { return !p->gpu->decided && lb_gpu_has_condition(&p->steps[i]); }

static lb_status find_segments(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    int n = 0;
    for (int i = 0; i < p->step_count; i++) n += i == 0 || decided(p, i) != decided(p, i - 1);
    g->segments = calloc((size_t)n + 1, sizeof *g->segments);
    if (!g->segments) return lb_fail(LB_ENOMEM, "plan: no memory for %d graphs", n);
    for (int i = 0; i < p->step_count; i++) {
        if (i == 0 || decided(p, i) != decided(p, i - 1))
            g->segments[g->segment_count++] = (lb_gpu_segment){ .first = i, .decided = decided(p, i) };
        g->segments[g->segment_count - 1].last = i + 1;
    }
    for (int s = 0; s < g->segment_count; s++) {
        g->segments[s].graphs = calloc((size_t)p->sets, sizeof *g->segments[s].graphs);
        if (!g->segments[s].graphs) return lb_fail(LB_ENOMEM, "plan: no memory for the graphs of %d sets", p->sets);
    }
    return LB_OK;
}

static lb_status add_ref(lb_gpu_plan *g, lb_tensor *t) {
    for (int i = 0; i < g->ref_count; i++)
        if (g->refs[i].tensor == t) return LB_OK;
    lb_gpu_watched *refs = realloc(g->refs, ((size_t)g->ref_count + 1) * sizeof *refs);
    if (!refs) return lb_fail(LB_ENOMEM, "plan: no memory for the conditions of steps");
    g->refs = refs;
    g->refs[g->ref_count] = (lb_gpu_watched){ t, malloc(lb_tensor_size_bytes(t) + 1) };
    if (!g->refs[g->ref_count].values) return lb_fail(LB_ENOMEM, "plan: no memory for the conditions of steps");
    g->ref_count++;
    lb_status st = add_operand(g, t->buffer, false);
    return st ? st : lb_buffer_push(t->buffer, false);
}

static bool writes_ref(const lb_gpu_plan *g, const lb_step *s) {
    for (int k = 0, n = lb_operand_count(s->op); k < n; k++) {
        if (!lb_role_writes(s->op->operands[k].role)) continue;
        for (int32_t j = 0; j < s->launch.t[k].count; j++)
            for (int r = 0; r < g->ref_count; r++)
                if (lb_range_overlap(lb_tensor_range(s->launch.t[k].items[j]), lb_tensor_range(g->refs[r].tensor)))
                    return true;
    }
    return false;
}

static lb_status find_refs(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    lb_status st = LB_OK;
    for (int i = 0; i < p->step_count && !st; i++) {
        const lb_step *s = &p->steps[i];
        for (int w = 0; w < s->when_count && !st; w++) st = add_ref(g, s->whens[w].tensor);
        if (!st && s->pick.tensor) st = add_ref(g, s->pick.tensor);
    }
    if (st) return st;
    g->changes_refs = calloc((size_t)p->step_count + 1, sizeof *g->changes_refs);
    if (!g->changes_refs) return lb_fail(LB_ENOMEM, "plan: no memory for %d steps", p->step_count);
    for (int i = 0; i < p->step_count && g->ref_count; i++) g->changes_refs[i] = writes_ref(g, &p->steps[i]);
    return LB_OK;
}

static void drop_graphs(lb_plan *p, lb_gpu_plan *g) {
    for (int i = 0; i < g->segment_count; i++) {
        for (int s = 0; g->segments[i].graphs && s < p->sets; s++)
            if (g->segments[i].graphs[s]) API(p)->graph_free(DEV(p), g->segments[i].graphs[s]);
        free(g->segments[i].graphs);
    }
    for (int k = 0; k < LB_GPU_CHUNKS; k++) {
        lb_gpu_chunks *c = &g->chunks[k];
        for (int i = 0; c->graphs && i < c->count; i++)
            if (c->graphs[i]) API(p)->graph_free(DEV(p), c->graphs[i]);
        free(c->graphs);
        *c = (lb_gpu_chunks){ 0 };
    }
    free(g->segments);
    g->segments = NULL;
    g->segment_count = 0;
}

void lb_gpu_done(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    p->gpu = NULL;
    for (int b = 0; g && b < LB_LIST_BUCKETS; b++)
        for (lb_list *l = p->lists[b]; l; l = l->next) {
            free(l->views);
            l->views = NULL;
        }
    if (!g) return;
    for (int s = 0; g->args && s < p->sets; s++) free(g->args[s]);
    drop_graphs(p, g);
    if (g->decided) API(p)->free(DEV(p), g->decided);
    lb_gpu_branches_done(p, g);
    for (int i = 0; i < g->ref_count; i++) free(g->refs[i].values);
    free(g->args);
    free(g->choices);
    free(g->operands);
    free(g->refs);
    free(g->changes_refs);
    free(g);
}

/* Runs of a few short steps: several of them in one graph, so that what is timed is not the launching of graphs. They
 * cover the rotation sets in order, several graphs where these are more than one holds. What begins or ends within one
 * runs by graphs of a single run. */
static void plan_chunks(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    int64_t nodes = lb_gpu_nodes(p);
    int made = 0;
    if (g->segment_count != 1 || g->segments[0].decided || !nodes) return;
    for (int k = 0; k < LB_GPU_CHUNKS; k++) {
        int runs = (int)(chunk_nodes[k] / nodes);
        if (k && runs < p->sets) runs = p->sets * nodes <= chunk_nodes[1] ? p->sets : 0;     /* whole rotations only */
        if (runs >= p->sets) runs -= runs % p->sets;
        if (runs < 2 || (made && runs >= g->chunks[made - 1].runs)) continue;
        lb_gpu_chunks *c = &g->chunks[made];
        c->count = (p->sets + runs - 1) / runs;
        if (c->count > 1) runs = (p->sets + c->count - 1) / c->count, c->count = (p->sets + runs - 1) / runs;
        c->graphs = calloc((size_t)c->count, sizeof *c->graphs);
        if (c->graphs) c->runs = runs, made++;
        else c->count = 0;
    }
}

/* Runs of the graph that begins at `set`, which is a multiple of c->runs. */
static int chunk_runs(const lb_plan *p, const lb_gpu_chunks *c, int set) {
    return c->count > 1 && set + c->runs > p->sets ? p->sets - set : c->runs;
}

/* The largest graph of several runs that begins at `set` and is wanted whole, of `left` runs; NULL: none. */
static const lb_gpu_chunks *chunk_at(const lb_plan *p, int set, int64_t left) {
    for (int k = 0; k < LB_GPU_CHUNKS; k++) {
        const lb_gpu_chunks *c = &p->gpu->chunks[k];
        if (c->runs && set % c->runs == 0 && set / c->runs < c->count && left >= chunk_runs(p, c, set)) return c;
    }
    return NULL;
}

static lb_status gpu_prepare(lb_plan *p) {
    if (p->gpu) return LB_OK;
    p->gpu = calloc(1, sizeof *p->gpu);
    if (!p->gpu) return lb_fail(LB_ENOMEM, "plan: no memory for a plan");
    lb_status st = make_views(p);
    if (!st) st = find_refs(p);
    if (!st) distinct_operands(p->gpu);
    if (!st) st = lb_gpu_find_choices(p);
    if (!st) st = find_segments(p);
    if (!st) st = lb_gpu_find_branches(p);
    if (st) return lb_gpu_done(p), st;
    plan_chunks(p);
    return LB_OK;
}

/* All operands are on the device, and what steps write counts as the device's. */
static lb_status bring(lb_plan *p) {
    lb_status st = lb_plan_prepare(p);
    if (!st) st = gpu_prepare(p);
    if (!st) st = API(p)->current(DEV(p));
    for (int64_t i = 0; i < (st ? 0 : p->gpu->operand_count) && !st; i++)
        st = lb_buffer_push(p->gpu->operands[i].buffer, p->gpu->operands[i].written);
    if (!st) p->gpu->refs_read = false;
    return st;
}

/* ---- launching ------------------------------------------------------------------------------------------------- */

static lb_status in_step(const lb_plan *p, int i, int32_t pick, lb_status st) {
    const lb_step *s = &p->steps[i];
    return lb_fail_in(st, "step %d, %s by %s%s%s%s", i + 1, s->op->name, lb_step_kernel(s, pick)->name,
                      s->label ? " (" : "", s->label ? s->label : "", s->label ? ")" : "");
}

lb_status lb_gpu_launch(lb_plan *p, int i, int set, int32_t pick) {
    const lb_choice *c = p->steps[i].choice;
    const lb_choice_item *it = &c->items[c->count > 1 ? pick : 0];
    int b = p->gpu->branches[i].stream;
    lb_launch l = { .stream = API(p)->stream(DEV(p)), .parts = 1, .pick = pick,
                    .workspace = b ? p->gpu->workspaces[b] : p->exec[i].workspace,
                    .cuda_tickets = lb_cuda_tickets_of(CUDA(p), b) };
    for (l.phase = 0; l.phase < it->phases; l.phase++) it->launch(&p->gpu->args[set][i], &l);
    lb_status st = lb_cuda_source_launched();
    if (!st) st = API(p)->launched(DEV(p));
    if (p->gpu->changes_refs[i]) p->gpu->refs_read = false;
    return st ? in_step(p, i, pick, st) : LB_OK;
}

static lb_status read_refs(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    lb_status st = LB_OK;
    for (int i = 0; i < g->ref_count && !g->refs_read && !st; i++)
        st = lb_buffer_peek(g->refs[i].tensor->buffer, g->refs[i].tensor->offset_bytes,
                            lb_tensor_size_bytes(g->refs[i].tensor), g->refs[i].values);
    g->refs_read = st == LB_OK;
    return st;
}

static int32_t ref_value(const lb_gpu_plan *g, const lb_ref *r) {
    for (int i = 0; i < g->ref_count; i++)
        if (g->refs[i].tensor == r->tensor) return g->refs[i].values[r->index];
    return 0;
}

/* *run is false, too, where the pick is out of range: the plan remembers it. */
static lb_status decide(lb_plan *p, int i, bool *run, int32_t *pick) {
    const lb_step *s = &p->steps[i];
    *run = true;
    *pick = 0;
    if (!lb_gpu_has_condition(s)) return LB_OK;
    lb_status st = read_refs(p);
    if (st) return in_step(p, i, 0, st);
    for (int w = 0; w < s->when_count && *run; w++) *run = ref_value(p->gpu, &s->whens[w]) != 0;
    if (!*run || !s->pick.tensor) return LB_OK;
    int32_t n = ref_value(p->gpu, &s->pick);
    *pick = n;
    if ((uint32_t)n < (uint32_t)s->choice->count) return LB_OK;
    *run = false;
    *pick = 0;
    if (p->bad_step < 0) p->bad_step = i, p->bad_pick = n;
    return LB_OK;
}

static lb_status capture(lb_plan *p, int first, int last, int set, int runs, lb_cuda_graph **out) {
    lb_status st = API(p)->capture_begin(DEV(p)), ended;
    for (int r = 0; r < runs && !st; r++) st = lb_gpu_capture_steps(p, first, last, (set + r) % p->sets);
    char text[1024];
    if (st) strncpy(text, lb_error(), sizeof text - 1), text[sizeof text - 1] = 0;
    if (st) API(p)->body(DEV(p), -1);
    ended = API(p)->capture_end(DEV(p), out);
    if (!st) return ended ? in_step(p, first, 0, ended) : LB_OK;
    if (!ended) API(p)->graph_free(DEV(p), *out);
    *out = NULL;
    return lb_fail(st, "%s", text);
}

/* The graphs of a single run of a rotation set. */
static lb_status capture_run(lb_plan *p, int set) {
    lb_gpu_plan *g = p->gpu;
    lb_status st = LB_OK;
    for (int i = 0; i < g->segment_count && !st; i++)
        if (!g->segments[i].decided && !g->segments[i].graphs[set])
            st = capture(p, g->segments[i].first, g->segments[i].last, set, 1, &g->segments[i].graphs[set]);
    return st;
}

/* What n runs from `set` on need and was not captured before: all of it now, none of it while it is timed. */
static lb_status capture_each(lb_plan *p, lb_gpu_mode mode, int64_t n, int set) {
    lb_status st = LB_OK;
    int64_t singles = 0, runs;
    for (int64_t done = 0; done < n && singles < p->sets && !st; done += runs) {
        int at = (int)((set + done) % p->sets);
        const lb_gpu_chunks *c = mode == LB_GPU_GRAPH ? chunk_at(p, at, n - done) : NULL;
        runs = c ? chunk_runs(p, c, at) : 1;
        singles = c ? 0 : singles + 1;            /* so many one after the other: all are there */
        if (!c) st = capture_run(p, at);
        else if (!c->graphs[at / c->runs]) st = capture(p, 0, p->step_count, at, (int)runs, &c->graphs[at / c->runs]);
        else if (runs >= p->sets && n - done > 2 * runs)
            runs = (n - done) / runs * runs - runs;     /* that one again and again */
    }
    return st;
}

/* A device that does not take the choices leaves them to the host. */
static lb_status capture_runs(lb_plan *p, lb_gpu_mode mode, int64_t n, int set) {
    lb_gpu_plan *g = p->gpu;
    lb_status st = capture_each(p, mode, n, set);
    if (!st || !g->decided || API(p)->lost(DEV(p))) return st;
    lb_gpu_decide_on_host(p);
    drop_graphs(p, g);
    st = find_segments(p);
    if (st) return lb_gpu_done(p), st;
    plan_chunks(p);
    return capture_each(p, mode, n, set);
}

lb_status lb_gpu_capture(lb_plan *p) {
    lb_status st = bring(p);
    return st ? st : capture_runs(p, LB_GPU_ISOLATED, 1, 0);
}

/* Of the smallest graphs that hold whole rotations; else a rotation, which is several. */
static int64_t whole_runs(const lb_plan *p) {
    int64_t runs = 1;
    for (int k = 0; k < LB_GPU_CHUNKS; k++) {
        const lb_gpu_chunks *c = &p->gpu->chunks[k];
        if (c->runs) runs = c->count > 1 ? p->sets : c->runs;
    }
    return runs;
}

lb_status lb_gpu_whole_runs(lb_plan *p, int64_t *runs) {
    lb_status st = bring(p);
    *runs = 1;
    if (!st) st = capture_runs(p, LB_GPU_GRAPH, whole_runs(p), 0);
    if (!st) *runs = whole_runs(p);               /* the host may decide now */
    return st;
}

lb_status lb_gpu_prepare(lb_plan *p, int64_t n) {
    lb_status st = bring(p);
    return st ? st : capture_runs(p, LB_GPU_GRAPH, n, p->set);
}

static lb_status run_step(lb_plan *p, int i, int set, int64_t *launches) {
    bool run;
    int32_t pick;
    lb_status st = decide(p, i, &run, &pick);
    if (st || !run) return st;
    ++*launches;
    return lb_gpu_launch(p, i, set, pick);
}

static lb_status run_graphs(lb_plan *p, int set, int64_t *launches) {
    lb_status st = LB_OK;
    for (int k = 0; k < p->gpu->segment_count && !st; k++) {
        const lb_gpu_segment *s = &p->gpu->segments[k];
        if (s->decided) {
            for (int i = s->first; i < s->last && !st; i++) st = run_step(p, i, set, launches);
            continue;
        }
        st = API(p)->graph_launch(DEV(p), s->graphs[set]);
        *launches += p->gpu->decided ? p->gpu->always : s->last - s->first;
        for (int i = s->first; i < s->last; i++)
            if (p->gpu->changes_refs[i]) p->gpu->refs_read = false;
    }
    return st;
}

static lb_status run_eager(lb_plan *p, int set, int64_t *launches) {
    lb_status st = LB_OK;
    for (int i = 0; i < p->step_count && !st; i++) st = run_step(p, i, set, launches);
    return st;
}

/* The next runs by one launch. *runs: how many. */
static lb_status run_some(lb_plan *p, lb_gpu_mode mode, int64_t left, int set, int64_t *runs, int64_t *launches) {
    const lb_gpu_plan *g = p->gpu;
    *runs = 1;
    p->gpu->refs_read = false;
    if (mode == LB_GPU_EAGER) return run_eager(p, set, launches);
    const lb_gpu_chunks *c = chunk_at(p, set, left);
    if (!c) return run_graphs(p, set, launches);
    *runs = chunk_runs(p, c, set);
    *launches += *runs * (g->decided ? g->always : p->step_count);
    return API(p)->graph_launch(DEV(p), c->graphs[set / c->runs]);
}

/* ---- replaying ------------------------------------------------------------------------------------------------- */

static bool host_decides(const lb_plan *p) {
    for (int i = 0; i < p->gpu->segment_count; i++)
        if (p->gpu->segments[i].decided) return true;
    return false;
}

/* "..., in a run of 12 steps (gemm.q4_0.mma, ...)": a fault is seen only at the end, and step by step runs say
 * where. */
static lb_status in_run(const lb_plan *p, lb_status st) {
    return lb_fail_in(st, "a run of %d step%s from %s to %s", p->step_count, p->step_count == 1 ? "" : "s",
                      lb_step_kernel(&p->steps[0], 0)->name, lb_step_kernel(&p->steps[p->step_count - 1], 0)->name);
}

static lb_status replay(lb_plan *p, lb_gpu_mode mode, int64_t n, int set, double *ns, int64_t *launches) {
    lb_cuda_state *c = CUDA(p);
    bool timed_out = false, blocked = mode != LB_GPU_EAGER && !host_decides(p);
    int64_t done = 0, runs = 0;
    lb_status st = c->api->clock(c->dev, 0);
    if (!st && blocked) st = c->api->block(c->dev);
    if (st) return st;
    st = c->api->event(c->dev, 0);
    for (int64_t k = 0; done < n && !st; done += runs, k++) {
        st = run_some(p, mode, n - done, (int)((set + done) % p->sets), &runs, launches);
        if (k == 0 && blocked) c->api->unblock(c->dev, &timed_out);
    }
    if (!st) st = c->api->event(c->dev, 1);
    if (!st) st = c->api->clock(c->dev, 1);
    if (!st) st = c->api->elapsed(c->dev, 0, 1, ns);
    if (!st) st = c->api->clock_ghz(c->dev, 0, 1, &c->ghz);
    c->timed_out = timed_out;
    return st;
}

/* A single step needs no graph, unless the device decides whether it runs. */
static bool as_graphs(const lb_plan *p) { return p->step_count > 1 || p->gpu->decided; }

static lb_status isolated(lb_plan *p, int set, double *ns, int64_t *launches) {
    lb_cuda_state *c = CUDA(p);
    bool timed_out = false, blocked = !host_decides(p), graphs = as_graphs(p);
    double each = 0;
    lb_status st = c->api->flush(c->dev);
    if (!st) st = c->api->clock(c->dev, 0);
    if (!st) st = c->api->sync(c->dev);
    if (!st && blocked) st = c->api->block(c->dev);
    if (st) return st;
    p->gpu->refs_read = false;
    st = c->api->event(c->dev, 0);
    if (!st) st = !graphs ? run_eager(p, set, launches) : run_graphs(p, set, launches);
    if (!st) st = c->api->event(c->dev, 1);
    if (blocked) c->api->unblock(c->dev, &timed_out);
    if (!st) st = c->api->clock(c->dev, 1);
    if (!st) st = c->api->elapsed(c->dev, 0, 1, &each);
    if (!st) st = c->api->clock_ghz(c->dev, 0, 1, &c->ghz);
    c->timed_out |= timed_out;
    *ns += each;
    return st;
}

lb_status lb_gpu_replay(lb_plan *p, lb_gpu_mode mode, int64_t n, int set, double *ns, int64_t *launches) {
    *ns = 0;
    *launches = 0;
    lb_status st = bring(p);
    if (!st && mode != LB_GPU_EAGER && (mode != LB_GPU_ISOLATED || as_graphs(p))) st = capture_runs(p, mode, n, set);
    if (st) return st;
    CUDA(p)->timed_out = false;
    if (mode != LB_GPU_EAGER) st = lb_gpu_decided_begin(p);
    if (st) return in_run(p, st);
    if (mode != LB_GPU_ISOLATED) st = replay(p, mode, n, set, ns, launches);
    for (int64_t i = 0; mode == LB_GPU_ISOLATED && i < n && !st; i++)
        st = isolated(p, (int)((set + i) % p->sets), ns, launches);
    if (!st && mode != LB_GPU_EAGER) st = lb_gpu_decided_end(p, launches);
    return st ? in_run(p, st) : LB_OK;
}

lb_status lb_gpu_submit(lb_plan *p) {
    int64_t launches = 0;
    lb_status st = bring(p);
    bool graphs = !st && as_graphs(p);
    if (graphs) st = capture_runs(p, LB_GPU_ISOLATED, 1, p->set);
    if (!st) st = lb_gpu_decided_begin(p);
    if (!st) st = graphs ? run_graphs(p, p->set, &launches) : run_eager(p, p->set, &launches);
    if (!st && p->gpu->picks) st = lb_gpu_decided_end(p, &launches);      /* or a pick out of range would be nobody's */
    p->set = (p->set + 1) % p->sets;
    return st;
}

/* ---- step by step ---------------------------------------------------------------------------------------------- */

/* A launch that leaves tickets behind would spoil the next one that uses them: found here, and put right. */
static lb_status tickets_are_back(lb_plan *p, int i, int32_t pick) {
    unsigned *at = lb_cuda_tickets_of(CUDA(p), p->gpu->branches[i].stream);
    static unsigned words[LB_CUDA_TICKET_BYTES / 4];
    lb_status st = API(p)->get(DEV(p), words, at, LB_CUDA_TICKET_BYTES);
    for (int k = 0; k < LB_CUDA_TICKET_BYTES / 4 && !st; k++) {
        if (!words[k]) continue;
        unsigned left = words[k];
        st = API(p)->set(DEV(p), at, 0, LB_CUDA_TICKET_BYTES);
        return st ? st
                  : in_step(p, i, pick, lb_fail(LB_EINTERNAL, "it left ticket %d at %u; all must be 0 again", k, left));
    }
    return st;
}

lb_status lb_gpu_step(lb_plan *p, int i, bool *ran, int32_t *pick) {
    lb_status st = bring(p);
    *ran = false;
    if (!st) st = decide(p, i, ran, pick);
    if (st || !*ran) return st;
    if ((st = lb_gpu_launch(p, i, 0, *pick))) return st;
    st = API(p)->sync(DEV(p));
    return st ? in_step(p, i, *pick, st) : tickets_are_back(p, i, *pick);
}

lb_status lb_gpu_decide(lb_plan *p, int i, bool *run, int32_t *pick) {
    lb_status st = gpu_prepare(p);
    if (!st) p->gpu->refs_read = false;
    return st ? st : decide(p, i, run, pick);
}

lb_status lb_gpu_traced(lb_plan *p, int set, lb_span_log *log, uint64_t *begin_ns, uint64_t *end_ns) {
    lb_cuda_state *c = CUDA(p);
    double from = 0, to = 0;
    lb_status st = bring(p);
    *begin_ns = lb_now_ns();
    if (!st) st = c->api->event(c->dev, 0);
    for (int i = 0; i < p->step_count && !st; i++) {
        bool run;
        int32_t pick;
        st = decide(p, i, &run, &pick);
        if (st || !run) continue;
        st = c->api->event(c->dev, 1);
        if (!st) st = lb_gpu_launch(p, i, set, pick);
        if (!st) st = c->api->event(c->dev, 2);
        if (!st) st = c->api->elapsed(c->dev, 0, 2, &to);
        if (!st) st = c->api->elapsed(c->dev, 0, 1, &from);
        if (!st && log->count < log->capacity)
            log->at[log->count] = (lb_span){ .begin_ns = *begin_ns + (uint64_t)from, .end_ns = *begin_ns + (uint64_t)to,
                                             .step = i, .pick = pick, .kind = LB_SPAN_LAUNCH };
        log->count++;
    }
    *end_ns = *begin_ns + (uint64_t)to;
    return st ? in_run(p, st) : LB_OK;
}
