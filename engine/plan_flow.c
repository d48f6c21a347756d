/* plan_flow.c: dataflow of a plan: where barriers are needed, and what steps of one interval must not share. */
#include "plan_internal.h"
#include <stdlib.h>
#include <string.h>

void lb_flow_done(lb_flow *f) {
    for (int i = 0; i < 2; i++) {
        free(f->reads[i].at);
        free(f->writes[i].at);
    }
    free(f->hard_writes.at);
    free(f->ever_written.at);
    memset(f, 0, sizeof *f);
}

static bool list_hits(const lb_list *l, const lb_ranges *r) {
    if (r->count == 0) return false;
    for (int32_t i = 0; i < l->count; i++)
        if (lb_ranges_hit(r, l->ranges[i])) return true;
    return false;
}

static lb_range ref_range(const lb_ref *r) {
    uintptr_t at = lb_tensor_address(r->tensor) + (uintptr_t)r->index * sizeof(int32_t);
    return (lb_range){ at, at + sizeof(int32_t) };
}

/* Does the step touch what one of the steps in f->apart writes? The step says itself where its op knows. */
static bool hits_apart(const lb_plan *p, const lb_step *s) {
    for (int q = 0; q < p->flow.apart_count; q++) {
        const lb_step *before = &p->steps[p->flow.apart[q]];
        if (before->op == s->op && s->op->apart(&before->native, &s->native)) continue;
        for (int j = 0, m = lb_operand_count(before->op); j < m; j++) {
            if (before->op->operands[j].role != LB_PARTIAL || !before->launch.t[j].count) continue;
            const lb_list *written = lb_list_of(&before->launch.t[j]);
            lb_ranges r = { .at = written->ranges, .count = written->count };
            for (int i = 0, n = lb_operand_count(s->op); i < n; i++)
                if (s->launch.t[i].count && list_hits(lb_list_of(&s->launch.t[i]), &r)) return true;
            if (s->pick.tensor && lb_ranges_hit(&r, ref_range(&s->pick))) return true;
        }
    }
    return false;
}

/* A serial step follows serial steps on the same thread: only accesses of parallel ones ([0]) can race with it. */
static bool conflicts(const lb_flow *f, const lb_step *s, bool serial) {
    int kinds = serial ? 1 : 2;
    for (int k = 0; k < kinds; k++) {
        for (int i = 0, n = lb_operand_count(s->op); i < n; i++) {
            if (!s->launch.t[i].count) continue;
            const lb_list *l = lb_list_of(&s->launch.t[i]);
            lb_role role = s->op->operands[i].role;
            if (list_hits(l, &f->writes[k])) return true;
            if (lb_role_writes(role) && list_hits(l, &f->reads[k])) return true;
        }
        if (s->pick.tensor && lb_ranges_hit(&f->writes[k], ref_range(&s->pick))) return true;
    }
    return false;
}

static lb_status note(lb_ranges *r, lb_list *l, int mark, uint32_t interval) {
    if (l->mark[mark] == interval) return LB_OK;
    l->mark[mark] = interval;
    for (int32_t i = 0; i < l->count; i++) {
        lb_status st = lb_ranges_add(r, l->ranges[i]);
        if (st) return st;
    }
    return LB_OK;
}

static lb_status note_step(lb_plan *p, const lb_step *s, bool serial) {
    lb_flow *f = &p->flow;
    lb_status st = LB_OK;
    bool apart = !serial && s->op->apart && f->apart_count < LB_MAX_APART;
    if (apart) f->apart[f->apart_count++] = (int)(s - p->steps);
    for (int i = 0, n = lb_operand_count(s->op); i < n && !st; i++) {
        if (!s->launch.t[i].count) continue;
        lb_list *l = lb_list_of(&s->launch.t[i]);
        lb_role role = s->op->operands[i].role;
        if (lb_role_reads(role)) st = note(&f->reads[serial], l, LB_MARK_READ + serial, f->interval);
        if (st || !lb_role_writes(role)) continue;
        if (!apart || role != LB_PARTIAL) st = note(&f->writes[serial], l, LB_MARK_WRITE + serial, f->interval);
        if (!st) st = note(&f->hard_writes, l, LB_MARK_HARD, f->hard_interval);
        if (!st) st = note(&f->ever_written, l, LB_MARK_EVER, 1);
    }
    if (!st && s->pick.tensor) st = lb_ranges_add(&f->reads[serial], ref_range(&s->pick));
    /* every thread reads `when`, also those that have no part in the step */
    for (int w = 0; w < s->when_count && !st; w++) st = lb_ranges_add(&f->reads[0], ref_range(&s->whens[w]));
    return st;
}

static void new_interval(lb_flow *f, bool hard) {
    for (int k = 0; k < 2; k++) f->reads[k].count = f->writes[k].count = 0;
    f->apart_count = 0;
    f->interval++;
    f->workspace_used = 0;
    f->tickets_used = 0;
    if (!hard) return;
    f->hard_writes.count = 0;
    f->hard_interval++;
}

lb_status lb_flow_step(lb_plan *p, lb_step *s) {
    lb_flow *f = &p->flow;
    bool single = p->threads == 1, serial = single || s->choice->serial;
    size_t need = (s->choice->workspace_bytes + 63) & ~(size_t)63;
    for (int w = 0; w < s->when_count && !single && !s->hard; w++)
        s->hard = lb_ranges_hit(&f->hard_writes, ref_range(&s->whens[w]));
    if (!s->hard && !single) {
        s->barrier = conflicts(f, s, serial) || hits_apart(p, s);
        if (!serial && f->workspace_used && f->workspace_used + need > LB_INTERVAL_WORKSPACE) s->barrier = true;
    }
    if (s->hard || s->barrier) new_interval(f, s->hard);
    if (serial) {
        if (need > f->serial_workspace_most) f->serial_workspace_most = need;
    } else {
        s->workspace_offset = f->workspace_used;
        f->workspace_used += need;
        if (f->workspace_used > f->workspace_most) f->workspace_most = f->workspace_used;
    }
    s->ticket = f->tickets_used++;
    if (!single && f->tickets_used > f->tickets_most) f->tickets_most = f->tickets_used;
    return note_step(p, s, serial);
}
