/* plan_rotate.c: cold caches by rotation among copies of what a run touches.
 *
 * What rotates: the weights that an accounting run touched, as the kernels read them; for all-cold also the LB_READ
 * operands that no step writes and that are not integers (ids, offsets and flags steer the work and stay). Outputs and
 * intermediates stay where they are: they are hot in a real model too, and steps hand them to one another. */
#include "plan_internal.h"
#include "cache.h"
#include <stdlib.h>
#include <string.h>

#define MAX_SETS 16384
/* GPUs: each set is a graph, and how much of a longer read their L2 keeps was never measured. */
#define COLD_L2S 4
#define MAX_GRAPHS 4096
#define MAX_ARGS_BYTES ((double)(256 << 20))   /* of all sets' arguments and item lists */
#define MEMORY_SHARE 0.25                      /* of the available memory that copies may take */
/* Where the machine does not tell its cache size. */
#define UNKNOWN_LLC_BYTES ((double)(128 << 20))

const char *lb_cache_name(lb_cache c) {
    static const char *const names[] = { "hot", "weights-cold", "all-cold" };
    return (unsigned)c < 3 ? names[c] : "unknown";
}

bool lb_cache_parse(const char *name, lb_cache *out) {
    for (int i = 0; i < 3; i++)
        if (strcmp(name, lb_cache_name((lb_cache)i)) == 0) return *out = (lb_cache)i, true;
    return false;
}

/* ---- what a run touches ---- */

typedef struct touched {
    lb_plan *p;
    lb_tensor **at;          /* distinct, sorted at the end */
    int64_t count, capacity;
    bool all, no_memory;
} touched;

static int by_pointer(const void *a, const void *b) {
    uintptr_t x = (uintptr_t) * (lb_tensor *const *)a, y = (uintptr_t) * (lb_tensor *const *)b;
    return x < y ? -1 : x > y;
}

static void compact(touched *t) {
    if (t->count == 0) return;
    qsort(t->at, (size_t)t->count, sizeof *t->at, by_pointer);
    int64_t n = 1;
    for (int64_t i = 1; i < t->count; i++)
        if (t->at[i] != t->at[n - 1]) t->at[n++] = t->at[i];
    t->count = n;
}

static void touch(void *ctx, lb_tensor *w) {
    touched *t = ctx;
    if (t->count == t->capacity) {
        compact(t);   /* repeats are the rule: grow only if the distinct ones fill half of the room */
        if (t->count * 2 >= t->capacity) {
            int64_t capacity = t->capacity ? t->capacity * 2 : 256;
            lb_tensor **at = realloc(t->at, (size_t)capacity * sizeof *at);
            if (!at) {
                t->no_memory = true;
                return;
            }
            t->at = at;
            t->capacity = capacity;
        }
    }
    t->at[t->count++] = w;
}

static bool rotates(const touched *t, const lb_tensor *x) {
    lb_range r = lb_tensor_range(x);
    return r.lo != r.hi && x->dtype != LB_I32 && x->dtype != LB_I64 && !lb_ranges_hit(&t->p->flow.ever_written, r);
}

static lb_status touch_step(void *ctx, lb_plan *p, int i, int32_t pick) {
    touched *t = ctx;
    const lb_step *s = &p->steps[i];
    lb_step_touch(s, pick, touch, t);
    for (int k = 0, n = lb_operand_count(s->op); t->all && k < n; k++) {
        const lb_operand *o = &s->launch.t[k];
        if (s->op->operands[k].role == LB_READ && o->count) touch(t, o->items[o->count > 1 ? pick : 0]);
    }
    return t->no_memory ? lb_fail(LB_ENOMEM, "rotation: no memory to list what step %d touches", i + 1) : LB_OK;
}

static lb_status find_touched(lb_plan *p, bool all, touched *t, double *bytes) {
    *t = (touched){ .p = p, .all = all };
    *bytes = 0;
    lb_status st = lb_plan_trace(p, touch_step, t);
    if (st) return st;
    compact(t);
    int64_t n = 0;
    for (int64_t i = 0; i < t->count; i++) {
        if (!rotates(t, t->at[i])) continue;
        lb_range r = lb_tensor_range(t->at[i]);
        *bytes += (double)(r.hi - r.lo);
        t->at[n++] = t->at[i];
    }
    t->count = n;
    return LB_OK;
}

/* ---- copies ---- */

/* Same form, layout and strides over a buffer of its own. */
static lb_status copy_tensor(lb_device *d, const lb_tensor *t, lb_tensor **out) {
    lb_range r = lb_tensor_range(t);
    int64_t bytes = (int64_t)(r.hi - r.lo);
    lb_tensor *c = NULL;
    lb_status st = lb_tensor_new(d, LB_U8, NULL, 1, &bytes, &c);
    if (st) return st;
    c->dtype = t->dtype;
    c->quantizer = t->quantizer;
    c->layout = t->layout;
    c->rank = t->rank;
    memcpy(c->dims, t->dims, sizeof c->dims);
    memcpy(c->strides, t->strides, sizeof c->strides);
    *out = c;
    return LB_OK;
}

typedef struct copy_job { lb_rotating *rotating; int copies; } copy_job;

static void copy_range(void *ctx, int64_t begin, int64_t end) {
    const copy_job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        const lb_rotating *r = &j->rotating[i / j->copies];
        lb_range from = lb_tensor_range(r->tensor);
        memcpy(lb_tensor_data(r->copies[i % j->copies]), lb_tensor_data(r->tensor), from.hi - from.lo);
    }
}

static lb_status make_copies(lb_plan *p, const touched *t, int sets) {
    p->rotating = calloc((size_t)t->count, sizeof *p->rotating);
    if (!p->rotating) return lb_fail(LB_ENOMEM, "rotation: no memory for %lld tensors", (long long)t->count);
    p->rotating_count = (int)t->count;
    lb_gpu_done(p);              /* made for one set */
    p->sets = sets;
    for (int64_t i = 0; i < t->count; i++) {
        lb_rotating *r = &p->rotating[i];
        r->tensor = t->at[i];
        r->copies = calloc((size_t)sets - 1, sizeof *r->copies);
        if (!r->copies) return lb_fail(LB_ENOMEM, "rotation: no memory for %d copies", sets - 1);
        for (int k = 0; k < sets - 1; k++) {
            lb_status st = copy_tensor(p->device, r->tensor, &r->copies[k]);
            if (st) return lb_fail_in(st, "rotation: copy %d of %d", k + 1, sets - 1);
        }
    }
    copy_job j = { p->rotating, sets - 1 };
    lb_pool_for(p->pool, t->count * (sets - 1), 1, copy_range, &j);
    return LB_OK;
}

static const lb_rotating *find_rotating(const lb_plan *p, const lb_tensor *t) {
    int lo = 0, hi = p->rotating_count - 1;
    while (lo <= hi) {
        int mid = (lo + hi) / 2;
        uintptr_t at = (uintptr_t)p->rotating[mid].tensor;
        if (at == (uintptr_t)t) return &p->rotating[mid];
        if (at < (uintptr_t)t) lo = mid + 1;
        else hi = mid - 1;
    }
    return NULL;
}

/* ---- arguments of each set ---- */

static lb_status rotate_list(lb_plan *p, lb_list *l) {
    bool any = false;
    for (int32_t i = 0; i < l->count && !any; i++) any = find_rotating(p, l->items[i]) != NULL;
    if (!any || l->rotated) return LB_OK;
    l->rotated = calloc((size_t)p->sets, sizeof *l->rotated);
    if (!l->rotated) return lb_fail(LB_ENOMEM, "rotation: no memory for %d lists", p->sets);
    for (int s = 1; s < p->sets; s++)
        if (!(l->rotated[s] = malloc((size_t)l->count * sizeof(lb_tensor *))))
            return lb_fail(LB_ENOMEM, "rotation: no memory for %d lists", p->sets);
    for (int32_t i = 0; i < l->count; i++) {
        const lb_rotating *r = find_rotating(p, l->items[i]);
        for (int s = 1; s < p->sets; s++) l->rotated[s][i] = r ? r->copies[s - 1] : l->items[i];
    }
    return LB_OK;
}

static lb_status rotate_args(lb_plan *p) {
    size_t bytes = (size_t)p->step_count * sizeof(lb_args);
    lb_status st = LB_OK;
    for (int b = 0; b < LB_LIST_BUCKETS; b++)
        for (lb_list *l = p->lists[b]; l; l = l->next)
            if ((st = rotate_list(p, l))) return st;
    p->set_args = calloc((size_t)p->sets, sizeof *p->set_args);
    if (!p->set_args) return lb_fail(LB_ENOMEM, "rotation: no memory for %d sets", p->sets);
    p->set_args[0] = p->args0;
    for (int s = 1; s < p->sets; s++) {
        lb_args *a = p->set_args[s] = malloc(bytes);
        if (!a) return lb_fail(LB_ENOMEM, "rotation: no memory for the arguments of %d sets", p->sets);
        memcpy(a, p->args0, bytes);
        for (int i = 0; i < p->step_count; i++)
            for (int k = 0; k < LB_MAX_OPERANDS; k++)
                if (a[i].t[k].count && lb_list_of(&p->args0[i].t[k])->rotated)
                    a[i].t[k].items = lb_list_of(&p->args0[i].t[k])->rotated[s];
    }
    return LB_OK;
}

void lb_plan_unrotate(lb_plan *p) {
    lb_gpu_done(p);
    for (int b = 0; b < LB_LIST_BUCKETS && p->rotating; b++)
        for (lb_list *l = p->lists[b]; l; l = l->next) {
            for (int s = 1; l->rotated && s < p->sets; s++) free(l->rotated[s]);
            free(l->rotated);
            l->rotated = NULL;
        }
    for (int s = 1; p->set_args && s < p->sets; s++) free(p->set_args[s]);
    free(p->set_args);
    for (int i = 0; i < p->rotating_count; i++) {
        for (int s = 0; p->rotating[i].copies && s < p->sets - 1; s++)
            if (p->rotating[i].copies[s]) lb_tensor_release(p->rotating[i].copies[s]);
        free(p->rotating[i].copies);
    }
    free(p->rotating);
    p->rotating = NULL;
    p->rotating_count = 0;
    p->set_args = NULL;
    p->sets = 1;
    p->set = 0;
}

/* How many sets are needed and how many can be had. */
static int count_sets(const lb_plan *p, double touched_bytes, bool *capped) {
    double llc = lb_cache_capacity(p->device), items = 0;
    bool graphs = p->on_gpu;
    double caches = llc > 0 ? llc : UNKNOWN_LLC_BYTES, cold = graphs ? COLD_L2S * caches : lb_cache_cold_bytes(caches);
    *capped = false;
    if (touched_bytes <= 0 || touched_bytes >= cold) return 1;
    double need = cold / touched_bytes, most = graphs ? MAX_GRAPHS : MAX_SETS;
    need = 1 + (double)(int64_t)need + (need > (double)(int64_t)need);
    double memory = MEMORY_SHARE * (double)lb_memory_available(p->device);
    if (1 + memory / touched_bytes < most) most = 1 + memory / touched_bytes;
    for (int b = 0; b < LB_LIST_BUCKETS; b++)
        for (const lb_list *l = p->lists[b]; l; l = l->next) items += l->count;
    double set_bytes = (double)p->step_count * sizeof(lb_args) + items * sizeof(lb_tensor *);
    if (1 + MAX_ARGS_BYTES / set_bytes < most) most = 1 + MAX_ARGS_BYTES / set_bytes;
    *capped = need > most;
    return (int)(*capped ? most : need);
}

lb_status lb_plan_rotate(lb_plan *p, lb_cache cache, lb_rotation *out) {
    lb_rotation none;
    if (!out) out = &none;
    *out = (lb_rotation){ .sets = 1 };
    lb_plan_unrotate(p);
    if (cache == LB_CACHE_HOT) return LB_OK;
    if (cache != LB_CACHE_WEIGHTS_COLD && cache != LB_CACHE_ALL_COLD)
        return lb_fail(LB_EINVAL, "rotation: got cache regime %d; hot, weights-cold and all-cold exist", (int)cache);
    touched t;
    lb_status st = find_touched(p, cache == LB_CACHE_ALL_COLD, &t, &out->touched_bytes);
    if (st) goto done;
    out->sets = count_sets(p, out->touched_bytes, &out->capped);
    if (out->sets == 1) goto done;
    out->copied_bytes = out->touched_bytes * (out->sets - 1);
    st = make_copies(p, &t, out->sets);
    if (!st) st = rotate_args(p);
    if (st) {
        lb_plan_unrotate(p);
        *out = (lb_rotation){ .sets = 1 };
    }
done:
    free(t.at);
    return st;
}
