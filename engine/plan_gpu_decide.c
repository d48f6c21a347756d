/* plan_gpu_decide.c: steps that hang on a value (`when`, `pick`) as parts of a captured graph: the device reads the
 * values and runs what they name. Where it cannot, the host reads them (plan_gpu.c), and lb_plan_conditions says
 * why. */
#include "plan_gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mirror.h"

/* Of a plan's graphs of one run, those of several runs not counted: each body is a graph of its own to the driver. */
enum { BODIES_MOST = 4096 };

static bool same_ref(const lb_ref *a, const lb_ref *b) {
    return a->tensor == b->tensor && (!a->tensor || a->index == b->index);
}

static bool same_conditions(const lb_step *a, const lb_step *b) {
    if (a->when_count != b->when_count || !same_ref(&a->pick, &b->pick)) return false;
    if (a->pick.tensor && a->choice->count != b->choice->count) return false;
    for (int w = 0; w < a->when_count; w++)
        if (!same_ref(&a->whens[w], &b->whens[w])) return false;
    return true;
}

/* Values are read where a choice begins: none of its steps but the last may change them. */
static void list_choices(const lb_plan *p, lb_gpu_plan *g) {
    for (int i = 0; i < p->step_count; i++) {
        const lb_step *s = &p->steps[i];
        lb_gpu_choice *last = g->choice_count ? &g->choices[g->choice_count - 1] : NULL;
        if (!lb_gpu_has_condition(s)) continue;
        if (last && last->last == i && same_conditions(&p->steps[last->first], s) && !g->changes_refs[i - 1]) {
            last->last = i + 1;
            continue;
        }
        g->choices[g->choice_count++] = (lb_gpu_choice){ i, i + 1, s->pick.tensor ? s->choice->count : 1, 0, 0 };
        g->picks |= s->pick.tensor != NULL;
    }
}

/* One kernel reads the values of as many choices as come before the next change of a value. */
static void read_together(lb_gpu_plan *g) {
    lb_gpu_choice *head = NULL;
    int seen = 0;                /* steps before this one were looked at */
    for (int c = 0; c < g->choice_count; c++) {
        lb_gpu_choice *one = &g->choices[c];
        bool changed = !head || head->together == LB_CUDA_DECISIONS;
        for (; seen < one->first; seen++) changed |= head && g->changes_refs[seen];
        if (changed) head = one;
        one->place = head->together++;
        if (changed) seen = one->first;
    }
}

int64_t lb_gpu_nodes(const lb_plan *p) {
    const lb_gpu_plan *g = p->gpu;
    int64_t n = p->step_count;
    for (int c = 0; c < g->choice_count; c++)
        n += 2 + (int64_t)g->choices[c].bodies * (g->choices[c].last - g->choices[c].first);
    return n;
}

void lb_gpu_decide_on_host(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    snprintf(g->why_host, sizeof g->why_host, "%s", lb_error());
    if (g->decided) API(p)->free(DEV(p), g->decided);
    g->decided = NULL;
}

lb_status lb_gpu_find_choices(lb_plan *p) {
    lb_gpu_plan *g = p->gpu;
    int64_t bodies = 0;
    void *at = NULL;
    for (int i = 0; i < p->step_count; i++) g->always += !lb_gpu_has_condition(&p->steps[i]);
    if (!g->ref_count) return LB_OK;
    g->choices = calloc((size_t)p->step_count, sizeof *g->choices);
    if (!g->choices) return lb_fail(LB_ENOMEM, "plan: no memory for the conditions of steps");
    list_choices(p, g);
    read_together(g);
    for (int c = 0; c < g->choice_count; c++) bodies += (int64_t)g->choices[c].bodies * p->sets;
    if (bodies > BODIES_MOST) {
        snprintf(g->why_host, sizeof g->why_host, "%lld bodies in its graphs; %d are the most that are captured",
                 (long long)bodies, (int)BODIES_MOST);
        return LB_OK;
    }
    lb_status st = API(p)->alloc(DEV(p), sizeof *g->decided, &at);
    g->decided = at;
    return st;
}

/* ---- capturing ------------------------------------------------------------------------------------------------- */

static const int32_t *address(const lb_ref *r) {
    const lb_tensor *t = r->tensor;
    return (const int32_t *)(const void *)((const char *)t->buffer->mirror->device + t->offset_bytes) + r->index;
}

static lb_status decide(lb_plan *p, const lb_gpu_choice *head) {
    lb_cuda_decision at[LB_CUDA_DECISIONS] = { 0 };
    for (int k = 0; k < head->together; k++) {
        const lb_step *s = &p->steps[head[k].first];
        for (int w = 0; w < s->when_count; w++) at[k].whens[w] = address(&s->whens[w]);
        at[k].when_count = s->when_count;
        at[k].pick = s->pick.tensor ? address(&s->pick) : NULL;
        at[k].bodies = head[k].bodies;
        at[k].step = head[k].first;
        at[k].steps = head[k].last - head[k].first;
    }
    return API(p)->decide(DEV(p), at, head->together, p->gpu->decided);
}

static lb_status capture_choice(lb_plan *p, const lb_gpu_choice *c, int set) {
    lb_status st = c->together ? decide(p, c) : LB_OK;
    if (!st) st = API(p)->choice(DEV(p), c->place);
    for (int b = 0; b < c->bodies && !st; b++) {
        st = API(p)->body(DEV(p), b);
        for (int i = c->first; i < c->last && !st; i++) st = lb_gpu_launch(p, i, set, b);
        if (!st) st = API(p)->body(DEV(p), -1);
    }
    return st;
}

lb_status lb_gpu_capture_steps(lb_plan *p, int first, int last, int set) {
    const lb_gpu_plan *g = p->gpu;
    lb_status st = LB_OK;
    int c = 0;
    while (c < g->choice_count && g->choices[c].first < first) c++;
    for (int i = first; i < last && !st;) {
        if (c < g->choice_count && g->choices[c].first == i && g->decided) {
            st = capture_choice(p, &g->choices[c], set);
            i = g->choices[c++].last;
        } else {
            int end = c < g->choice_count && g->choices[c].first < last && g->decided ? g->choices[c].first : last;
            st = lb_gpu_capture_stretch(p, i, end, set);
            i = end;
        }
    }
    return st;
}

/* ---- what ran -------------------------------------------------------------------------------------------------- */

lb_status lb_gpu_decided_begin(lb_plan *p) {
    lb_cuda_decided *d = p->gpu->decided;
    if (!d) return LB_OK;
    lb_status st = API(p)->set(DEV(p), &d->launches, 0, sizeof d->launches);
    return st ? st : API(p)->set(DEV(p), &d->bad, 0xff, sizeof d->bad);
}

lb_status lb_gpu_decided_end(lb_plan *p, int64_t *launches) {
    lb_cuda_decided d;
    if (!p->gpu->decided) return LB_OK;
    lb_status st = API(p)->get(DEV(p), &d, p->gpu->decided, sizeof d);
    if (st) return st;
    *launches += (int64_t)d.launches;
    if (d.bad != UINT64_MAX && p->bad_step < 0)
        p->bad_step = (int)(d.bad >> 32), p->bad_pick = (int32_t)(uint32_t)d.bad;
    return LB_OK;
}

/* ---- told ------------------------------------------------------------------------------------------------------ */

static bool hangs_on_values(const lb_plan *p) {
    bool any = false;
    for (int i = 0; i < p->step_count; i++) any |= lb_gpu_has_condition(&p->steps[i]);
    return any && p->on_gpu;
}

void lb_plan_conditions_seen(const lb_plan *p, bool eager, char *text, size_t bytes) {
    if (!hangs_on_values(p)) snprintf(text, bytes, "%s", "");
    else if (eager) snprintf(text, bytes, "host: mode eager");
    else if (p->gpu && p->gpu->decided) snprintf(text, bytes, "device");
    else if (p->gpu) snprintf(text, bytes, "host: %s", p->gpu->why_host);
}

lb_status lb_plan_conditions(lb_plan *p, bool eager, char *text, size_t bytes) {
    lb_status st = hangs_on_values(p) && !eager ? lb_gpu_capture(p) : LB_OK;
    snprintf(text, bytes, "%s", "");
    if (!st) lb_plan_conditions_seen(p, eager, text, bytes);
    return st;
}
