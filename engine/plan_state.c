/* plan_state.c: contents that are kept: operands updated in place, and outputs to compare with. */
#include "plan_internal.h"
#include "device_backend.h"
#include "memory.h"
#include "mirror.h"
#include <stdlib.h>
#include <string.h>

static size_t saved_bytes(const lb_saved *v) { return v->range.hi - v->range.lo; }
static size_t saved_offset(const lb_saved *v) { return v->range.lo - (uintptr_t)v->buffer->data; }

void lb_saves_done(lb_saves *s) {
    for (int i = 0; i < s->count; i++) {
        lb_saved *v = &s->at[i];
        if (v->buffer->mirror) lb_device_free(v->buffer->device, v->bytes, saved_bytes(v));
        else free(v->bytes);
        lb_buffer_release(v->buffer);
    }
    free(s->at);
    memset(s, 0, sizeof *s);
}

/* A device that fails here fails again at once, where an error can be returned. */
void lb_saves_restore(const lb_saves *s) {
    for (int i = 0; i < s->count; i++) {
        const lb_saved *v = &s->at[i];
        lb_mirror *m = v->buffer->mirror;
        if (!m) memcpy((void *)v->range.lo, v->bytes, saved_bytes(v));
        else if (!lb_buffer_push(v->buffer, true))
            lb_device_copy(v->buffer->device, (char *)m->device + saved_offset(v), v->bytes, saved_bytes(v));
    }
}

/* The first byte of [from, from + n) that differs from what was saved; n = none. */
static size_t first_difference(const lb_saved *v) {
    enum { CHUNK = 1 << 14 };
    size_t n = saved_bytes(v);
    const lb_mirror *m = v->buffer->mirror;
    unsigned char now[CHUNK], then[CHUNK];
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t k = n - at < CHUNK ? n - at : CHUNK, i = 0;
        const unsigned char *a = (const unsigned char *)v->range.lo + at, *b = (const unsigned char *)v->bytes + at;
        if (m) {
            const lb_device_memory *memory = v->buffer->device->backend->memory;
            if (lb_buffer_peek(v->buffer, saved_offset(v) + at, k, now) || memory->get(v->buffer->device, then, b, k))
                return at;
            a = now, b = then;
        }
        if (memcmp(a, b, k) == 0) continue;
        while (a[i] == b[i]) i++;
        return at + i;
    }
    return n;
}

int lb_saves_differ(const lb_saves *s, size_t *byte) {
    for (int i = 0; i < s->count; i++)
        if ((*byte = first_difference(&s->at[i])) < saved_bytes(&s->at[i])) return i;
    return -1;
}

static lb_status keep_bytes(lb_saved *v) {
    size_t n = saved_bytes(v);
    lb_mirror *m = v->buffer->mirror;
    if (!m) {
        if (!(v->bytes = malloc(n))) return lb_fail(LB_ENOMEM, "plan: no memory to keep %zu bytes of an operand", n);
        memcpy(v->bytes, (const void *)v->range.lo, n);
        return LB_OK;
    }
    lb_status st = lb_buffer_push(v->buffer, false);
    if (!st) st = lb_device_alloc(v->buffer->device, n, &v->bytes);
    if (st) return lb_fail_in(st, "plan: keeping an operand");
    st = lb_device_copy(v->buffer->device, v->bytes, (const char *)m->device + saved_offset(v), n);
    if (st) lb_device_free(v->buffer->device, v->bytes, n);
    return st;
}

/* Saves a range once; a later writer of the same range takes over its name. */
static lb_status save(lb_saves *s, int *capacity, lb_buffer *b, lb_range r, int step, int slot, int32_t item) {
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
    lb_saved v = { .range = r, .buffer = b, .step = step, .slot = slot, .item = item };
    lb_status st = keep_bytes(&v);
    if (st) return st;
    lb_buffer_retain(b);
    s->at[s->count++] = v;
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
        uintptr_t at = lb_tensor_address(ref->tensor) + (uintptr_t)ref->index * sizeof(int32_t);
        lb_range r = { at, at + sizeof(int32_t) };
        if (is_state(p, LB_READ, r) && !lb_ranges_hit(written, r))
            st = save(out, capacity, ref->tensor->buffer, r, i, 0, 0);
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
                    st = save(out, &capacity, s->launch.t[k].items[j]->buffer, r, i, k, j);
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
            for (int32_t j = 0; j < o->count && !st; j++)
                st = save(out, &capacity, o->items[j]->buffer, lb_tensor_range(o->items[j]), i, k, j);
        }
    }
    out->taken = true;
    if (st) lb_saves_done(out);
    return st;
}

int64_t lb_memory_available(const lb_device *d) {
    if (d->backend->memory) return d->backend->memory->available((lb_device *)d);
    int64_t now = lb_memory_room_get().available;
    if (now > 0) return now;
    return lb_device_caps_of(d)->memory_free_bytes;
}
