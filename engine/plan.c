/* plan.c: a plan's life: interned operand lists, ranges, and the exec records that replay walks. */
#include "plan_internal.h"
#include "device_backend.h"
#include "mirror.h"
#include <stdlib.h>
#include <string.h>

static const int32_t always = 1;

lb_range lb_tensor_range(const lb_tensor *t) {
    uintptr_t lo = lb_tensor_address(t);
    if (t->dtype == LB_QUANT || lb_tensor_is_dense(t)) return (lb_range){ lo, lo + lb_tensor_size_bytes(t) };
    uintptr_t last = 0;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] == 0) return (lb_range){ lo, lo };
        last += (uintptr_t)((t->dims[i] - 1) * t->strides[i]);
    }
    return (lb_range){ lo, lo + (last + 1) * lb_dtype_size(t->dtype) };
}

lb_status lb_ranges_add(lb_ranges *r, lb_range x) {
    if (x.lo == x.hi) return LB_OK;
    if (r->count == r->capacity) {
        int64_t capacity = r->capacity ? r->capacity * 2 : 16;
        lb_range *at = realloc(r->at, (size_t)capacity * sizeof *at);
        if (!at) return lb_fail(LB_ENOMEM, "plan: no memory for %lld operand ranges", (long long)capacity);
        r->at = at;
        r->capacity = capacity;
    }
    r->at[r->count++] = x;
    return LB_OK;
}

bool lb_ranges_hit(const lb_ranges *r, lb_range x) {
    for (int64_t i = 0; i < r->count; i++)
        if (lb_range_overlap(r->at[i], x)) return true;
    return false;
}

/* ---- lists ---- */

static uint64_t hash_items(lb_tensor *const *items, int32_t count) {
    uint64_t h = 0x9e3779b97f4a7c15u ^ (uint64_t)count;
    for (int32_t i = 0; i < count; i++) {
        h = (h ^ (uint64_t)(uintptr_t)items[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

void lb_list_free(lb_list *l) {
    free(l->views);
    for (int32_t i = 0; i < l->count; i++) lb_tensor_release(l->items[i]);
    free(l->ranges);
    free(l);
}

lb_status lb_plan_intern(lb_plan *p, lb_tensor *const *items, int32_t count, lb_list **out, bool *created) {
    uint64_t h = hash_items(items, count);
    lb_list **bucket = &p->lists[h % LB_LIST_BUCKETS];
    size_t bytes = (size_t)count * sizeof *items;
    if (created) *created = false;
    for (lb_list *l = *bucket; l; l = l->next)
        if (l->hash == h && l->count == count && memcmp(l->items, items, bytes) == 0) return *out = l, LB_OK;
    lb_list *l = calloc(1, sizeof *l + bytes);
    if (l) l->ranges = malloc((size_t)count * sizeof *l->ranges);
    if (!l || !l->ranges) {
        free(l);
        return lb_fail(LB_ENOMEM, "plan: no memory for a list of %d tensors", (int)count);
    }
    for (int32_t i = 0; i < count; i++) {
        l->items[i] = lb_tensor_retain(items[i]);
        l->ranges[i] = lb_tensor_range(items[i]);
    }
    l->hash = h;
    l->count = count;
    l->next = *bucket;
    *bucket = l;
    if (created) *created = true;
    return *out = l, LB_OK;
}

/* ---- life ---- */

lb_status lb_plan_new(lb_device *d, lb_plan **out) {
    *out = NULL;
    if (!d) return lb_fail(LB_EINVAL, "plan: got no device; hint: lb.plan(lb.device \"cpu\")");
    lb_pool *pool = lb_device_pool(d);
    if (!pool)
        return lb_fail(LB_EUNSUPPORTED, "plan: device %s has no thread pool to run a plan on; hint: use \"cpu\"",
                       lb_device_name(d));
    lb_plan *p = calloc(1, sizeof *p);
    if (!p) return lb_fail(LB_ENOMEM, "plan: no memory for a plan");
    p->refs = 1;
    p->device = lb_device_retain(d);
    p->pool = pool;
    p->threads = d->backend->memory ? 1 : lb_pool_threads(pool);
    p->on_gpu = d->backend->memory != NULL;
    p->flow.interval = p->flow.hard_interval = 1;
    p->sets = 1;
    p->bad_step = -1;
    *out = p;
    return LB_OK;
}

lb_plan *lb_plan_retain(lb_plan *p) {
    p->refs++;
    return p;
}

void lb_choice_release(lb_choice *c) {
    if (c && --c->refs == 0) free(c);
}

static void exec_done(lb_plan *p) {
    lb_gpu_done(p);
    free(p->exec);
    free(p->exec_whens);
    free(p->args0);
    free(p->tickets);
    if (p->workspace) lb_device_free(p->device, p->workspace, p->workspace_size);
    p->exec = NULL;
    p->exec_whens = NULL;
    p->args0 = NULL;
    p->tickets = NULL;
    p->workspace = NULL;
    p->workspace_size = 0;
    p->exec_count = 0;
}

void lb_plan_release(lb_plan *p) {
    if (!p || --p->refs > 0) return;
    lb_plan_unrotate(p);
    exec_done(p);
    for (int i = 0; i < p->step_count; i++) {
        lb_step *s = &p->steps[i];
        free(s->label);
        lb_choice_release(s->choice);
        for (int w = 0; w < s->when_count; w++) lb_tensor_release(s->whens[w].tensor);
        if (s->pick.tensor) lb_tensor_release(s->pick.tensor);
    }
    free(p->steps);
    for (int b = 0; b < LB_LIST_BUCKETS; b++)
        for (lb_list *l = p->lists[b], *next; l; l = next) {
            next = l->next;
            lb_list_free(l);
        }
    lb_flow_done(&p->flow);
    free(p->repacked.at);
    lb_saves_done(&p->updates);
    lb_saves_done(&p->outputs);
    lb_device_release(p->device);
    free(p);
}

lb_device *lb_plan_device(const lb_plan *p) { return p->device; }
int lb_plan_steps(const lb_plan *p) { return p->step_count; }

void lb_plan_repack(const lb_plan *p, uint64_t *ns, double *bytes) {
    if (ns) *ns = p->repack_ns;
    if (bytes) *bytes = p->repack_bytes;
}

lb_status lb_plan_step(const lb_plan *p, int i, lb_step_info *out) {
    if (i < 0 || i >= p->step_count)
        return lb_fail(LB_EINVAL, "plan: got step %d, but the plan has %d steps", i + 1, p->step_count);
    const lb_step *s = &p->steps[i];
    const lb_kernel *k = s->choice->items[0].kernel;
    for (int32_t j = 1; k && j < s->choice->count; j++)
        if (s->choice->items[j].kernel != k) k = NULL;
    const char *why = lb_why_name(s->choice->items[0].why);
    for (int32_t j = 1; why && j < s->choice->count; j++)
        if (s->choice->items[j].why != s->choice->items[0].why) why = NULL;
    *out = (lb_step_info){ .op = s->op->name, .kernel = k ? k->name : NULL, .label = s->label, .args = &s->native,
                           .barrier_before = s->barrier || s->hard, .why = why, .native = s->asked_native,
                           .items = s->pick.tensor ? s->choice->count : 0 };
    return LB_OK;
}

lb_status lb_plan_reserve(lb_plan *p, lb_step **out) {
    if (p->step_count == p->step_capacity) {
        int capacity = p->step_capacity ? p->step_capacity * 2 : 16;
        lb_step *steps = realloc(p->steps, (size_t)capacity * sizeof *steps);
        if (!steps) return lb_fail(LB_ENOMEM, "plan: no memory for %d steps", capacity);
        p->steps = steps;
        p->step_capacity = capacity;
    }
    *out = &p->steps[p->step_count];
    memset(*out, 0, sizeof **out);
    return LB_OK;
}

/* ---- preparing for replay ---- */

static uint32_t exec_flags(const lb_plan *p, const lb_step *s, int phases) {
    uint32_t f = 0;
    if (s->hard) f |= LB_EXEC_HARD;
    if (s->barrier) f |= LB_EXEC_BARRIER;
    if (s->when_count) f |= LB_EXEC_WHEN;
    if (s->pick.tensor) f |= LB_EXEC_PICK;
    if (phases > 1) f |= LB_EXEC_PHASES;
    if (p->threads > 1 && s->choice->items[0].serial) f |= LB_EXEC_SERIAL;
    return f;
}

void lb_plan_work_in(lb_plan *p, void *workspace, lb_ticket *tickets) {
    int when = 0;
    for (int i = 0; i < p->step_count; i++) {
        const lb_step *s = &p->steps[i];
        const lb_choice_item *c = &s->choice->items[0];
        bool serial = s->choice->serial || p->threads == 1;
        lb_exec *e = &p->exec[i];
        *e = (lb_exec){ .launch = c->launch, .phases = c->phases, .choice = s->choice,
                        .flags = exec_flags(p, s, c->phases),
                        .ticket = &tickets[p->threads == 1 ? 0 : s->ticket] };
        if (s->choice->workspace_bytes)
            e->workspace = (char *)workspace + (serial ? p->workspace_serial_at : s->workspace_offset);
        if (s->pick.tensor) e->pick = (const int32_t *)lb_tensor_address(s->pick.tensor) + s->pick.index;
        if (s->when_count) {
            lb_exec_when *w = &p->exec_whens[when++];
            for (int j = 0; j < LB_MAX_WHENS; j++)
                w->at[j] = j < s->when_count
                               ? (const int32_t *)lb_tensor_address(s->whens[j].tensor) + s->whens[j].index : &always;
            e->when = w;
        }
        p->args0[i] = s->launch;
    }
}

lb_status lb_plan_prepare(lb_plan *p) {
    if (p->exec_count == p->step_count) return LB_OK;
    lb_plan_unrotate(p);
    exec_done(p);
    size_t n = (size_t)p->step_count, whens = 0;
    for (size_t i = 0; i < n; i++) whens += p->steps[i].when_count > 0;
    p->exec = aligned_alloc(64, n * sizeof *p->exec);
    p->exec_whens = malloc((whens + 1) * sizeof *p->exec_whens);
    p->args0 = malloc(n * sizeof *p->args0);
    size_t tickets = (size_t)p->flow.tickets_most + 1;
    p->tickets = aligned_alloc(64, tickets * sizeof *p->tickets);
    if (!p->exec || !p->exec_whens || !p->args0 || !p->tickets) {
        exec_done(p);
        return lb_fail(LB_ENOMEM, "plan: no memory to prepare %d steps for replay", p->step_count);
    }
    for (size_t i = 0; i < tickets; i++) atomic_init(&p->tickets[i].value, 0);
    p->workspace_serial_at = (p->flow.workspace_most + 255) & ~(size_t)255;
    p->workspace_size = p->workspace_serial_at + p->flow.serial_workspace_most;
    if (p->workspace_size) {
        lb_status st = lb_device_alloc(p->device, p->workspace_size, &p->workspace);
        if (st) {
            p->workspace = NULL;
            exec_done(p);
            return lb_fail_in(st, "plan: workspace");
        }
        /* pages come before anything is timed */
        st = lb_device_set(p->device, p->workspace, 0xff, p->workspace_size);
        if (st) return exec_done(p), st;
    }
    lb_plan_work_in(p, p->workspace, p->tickets);
    p->exec_count = p->step_count;
    return LB_OK;
}
