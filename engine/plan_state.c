/* plan_state.c: contents that are kept: operands updated in place, and outputs to compare with. */
#include "plan_internal.h"
#include "memory.h"
#include <stdlib.h>
#include <string.h>

void lb_saves_done(lb_saves *s) {
    for (int i = 0; i < s->count; i++) free(s->at[i].bytes);
    free(s->at);
    memset(s, 0, sizeof *s);
}

void lb_saves_restore(const lb_saves *s) {
    for (int i = 0; i < s->count; i++)
        memcpy((void *)s->at[i].range.lo, s->at[i].bytes, s->at[i].range.hi - s->at[i].range.lo);
}

int lb_saves_differ(const lb_saves *s, size_t *byte) {
    for (int i = 0; i < s->count; i++) {
        const lb_saved *v = &s->at[i];
        size_t n = v->range.hi - v->range.lo;
        const unsigned char *now = (const void *)v->range.lo, *then = v->bytes;
        if (memcmp(now, then, n) == 0) continue;
        for (*byte = 0; now[*byte] == then[*byte]; ++*byte) continue;
        return i;
    }
    return -1;
}

/* Saves a range once; a later writer of the same range takes over its name. */
static lb_status save(lb_saves *s, int *capacity, lb_range r, int step, int slot, int32_t item) {
    if (r.lo == r.hi) return LB_OK;
    for (int i = 0; i < s->count; i++)
        if (s->at[i].range.lo == r.lo && s->at[i].range.hi == r.hi) {
            s->at[i].step = step;
            s->at[i].slot = slot;
            s->at[i].item = item;
            return LB_OK;
        }
    if (s->count == *capacity) {
        int more = *capacity ? *capacity * 2 : 16;
        lb_saved *at = realloc(s->at, (size_t)more * sizeof *at);
        if (!at) return lb_fail(LB_ENOMEM, "plan: no memory to keep %d operands", more);
        s->at = at;
        *capacity = more;
    }
    void *bytes = malloc(r.hi - r.lo);
    if (!bytes) return lb_fail(LB_ENOMEM, "plan: no memory to keep %zu bytes of an operand", (size_t)(r.hi - r.lo));
    memcpy(bytes, (const void *)r.lo, r.hi - r.lo);
    s->at[s->count++] = (lb_saved){ r, bytes, step, slot, item };
    return LB_OK;
}

/* Does a step take this range as it finds it, where the plan itself changes it: in place, or later on? */
static bool is_state(const lb_plan *p, lb_role role, lb_range r) {
    return role == LB_UPDATE || (lb_role_reads(role) && lb_ranges_hit(&p->flow.ever_written, r));
}

/* The elements that `when` and `pick` read, if a step writes them only later. */
static lb_status save_refs(const lb_plan *p, int i, const lb_ranges *written, lb_saves *out, int *capacity) {
    const lb_step *s = &p->steps[i];
    lb_status st = LB_OK;
    for (int w = 0; w <= s->when_count && !st; w++) {
        const lb_ref *ref = w < s->when_count ? &s->whens[w] : &s->pick;
        if (!ref->tensor) continue;
        uintptr_t at = (uintptr_t)lb_tensor_data(ref->tensor) + (uintptr_t)ref->index * sizeof(int32_t);
        lb_range r = { at, at + sizeof(int32_t) };
        if (is_state(p, LB_READ, r) && !lb_ranges_hit(written, r)) st = save(out, capacity, r, i, 0, 0);
    }
    return st;
}

lb_status lb_updates_save(lb_plan *p, lb_saves *out) {
    memset(out, 0, sizeof *out);
    lb_ranges written = { 0 };
    int capacity = 0;
    lb_status st = LB_OK;
    for (int i = 0; i < p->step_count && !st; i++) {
        const lb_step *s = &p->steps[i];
        int n = lb_operand_count(s->op);
        st = save_refs(p, i, &written, out, &capacity);
        for (int k = 0; k < n && !st; k++)
            for (int32_t j = 0; j < s->launch.t[k].count && !st; j++) {
                lb_range r = lb_tensor_range(s->launch.t[k].items[j]);
                if (is_state(p, s->op->operands[k].role, r) && !lb_ranges_hit(&written, r))
                    st = save(out, &capacity, r, i, k, j);
            }
        for (int k = 0; k < n && !st; k++)
            for (int32_t j = 0; j < s->launch.t[k].count && lb_role_writes(s->op->operands[k].role) && !st; j++) {
                lb_range r = lb_tensor_range(s->launch.t[k].items[j]);
                bool known = written.count && memcmp(&written.at[written.count - 1], &r, sizeof r) == 0;
                if (!known) st = lb_ranges_add(&written, r);
            }
    }
    free(written.at);
    out->taken = true;
    if (st) lb_saves_done(out);
    return st;
}

lb_status lb_plan_snapshot_updates(lb_plan *p) {
    lb_saves fresh;
    lb_status st = lb_updates_save(p, &fresh);
    if (st) return st;
    lb_saves_done(&p->updates);
    p->updates = fresh;
    return LB_OK;
}

lb_status lb_outputs_save(lb_plan *p, lb_saves *out) {
    memset(out, 0, sizeof *out);
    int capacity = 0;
    lb_status st = LB_OK;
    for (int i = 0; i < p->step_count && !st; i++) {
        const lb_step *s = &p->steps[i];
        if (!s->ran) continue;
        for (int k = 0, n = lb_operand_count(s->op); k < n && !st; k++) {
            const lb_operand *o = &s->launch.t[k];
            if (!lb_role_writes(s->op->operands[k].role)) continue;
            for (int32_t j = 0; j < o->count && !st; j++) st = save(out, &capacity, lb_tensor_range(o->items[j]), i, k, j);
        }
    }
    out->taken = true;
    if (st) lb_saves_done(out);
    return st;
}

int64_t lb_memory_available(const lb_device *d) {
    int64_t now = lb_memory_room_get().available;
    if (now > 0) return now;
    return lb_device_caps_of(d)->memory_free_bytes;
}
