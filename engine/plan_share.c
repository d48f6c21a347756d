/* plan_share.c: plans that take turns use the same memory wherever they can.
 *
 * Where a block of memory happens to lie is worth some per cent of a time (aliased addresses, sets of a cache), the
 * same way in every round: pairing does not remove it, and identical code is called different. So the plans of one
 * comparison work in one workspace and hand out the same tickets, and an operand that no plan writes is read from the
 * first plan that has the same bytes in the same form. Outputs stay apart, so that each plan's results can be told. */
#include "plan_internal.h"
#include <stdlib.h>
#include <string.h>

/* ---- equal operands ---- */

static bool same_form(const lb_tensor *a, const lb_tensor *b) {
    return a->dtype == b->dtype && a->quantizer == b->quantizer && a->layout == b->layout && a->rank == b->rank &&
           memcmp(a->dims, b->dims, sizeof a->dims[0] * (size_t)a->rank) == 0 &&
           (a->dtype == LB_QUANT || memcmp(a->strides, b->strides, sizeof a->strides[0] * (size_t)a->rank) == 0) &&
           a->layout_bytes == b->layout_bytes;
}

static bool same_bytes(lb_range a, lb_range b) {
    return a.hi - a.lo == b.hi - b.lo && memcmp((const void *)a.lo, (const void *)b.lo, a.hi - a.lo) == 0;
}

static bool written_by_any(lb_plan *const *plans, int count, lb_range r) {
    for (int i = 0; i < count; i++)
        if (lb_ranges_hit(&plans[i]->flow.ever_written, r)) return true;
    return false;
}

/* The tensor of an earlier plan that can be read instead; NULL = none. */
static lb_tensor *equal_of(lb_plan *const *plans, int count, int self, const lb_tensor *t, lb_range r) {
    for (int i = 0; i < self; i++) {
        for (int b = 0; b < LB_LIST_BUCKETS; b++) {
            for (const lb_list *l = plans[i]->lists[b]; l; l = l->next) {
                for (int32_t k = 0; k < l->count; k++) {
                    lb_tensor *u = l->items[k];
                    if (u == t) return NULL;
                    if (same_form(t, u) && same_bytes(r, l->ranges[k]) && !written_by_any(plans, count, l->ranges[k]))
                        return u;
                }
            }
        }
    }
    return NULL;
}

static lb_status lend_list(lb_plan *const *plans, int count, int self, lb_list *l, lb_list **made) {
    lb_tensor **items = malloc((size_t)l->count * sizeof *items);
    bool any = false;
    if (!items) return lb_fail(LB_ENOMEM, "measure: no memory for a list of %d tensors", (int)l->count);
    for (int32_t k = 0; k < l->count; k++) {
        lb_range r = l->ranges[k];
        lb_tensor *u = r.lo == r.hi || written_by_any(plans, count, r) ? NULL
                                                                      : equal_of(plans, count, self, l->items[k], r);
        items[k] = u ? u : l->items[k];
        any = any || u;
    }
    lb_status st = LB_OK;
    bool created = false;
    if (any) st = lb_plan_intern(plans[self], items, l->count, &l->lent, &created);
    if (created) {
        l->lent->borrowed = true;
        *made = l->lent;
    }
    free(items);
    return st;
}

/* Lists that this adds are marked `borrowed`; they are not themselves looked at. */
static lb_status lend_operands(lb_plan *const *plans, int count, int self) {
    lb_plan *p = plans[self];
    lb_status st = LB_OK;
    for (int b = 0; b < LB_LIST_BUCKETS && !st; b++) {
        for (lb_list *l = p->lists[b]; l && !st; l = l->next) {
            lb_list *made = NULL;
            if (!l->borrowed) st = lend_list(plans, count, self, l, &made);
        }
    }
    for (int i = 0; i < p->step_count && !st; i++) {
        for (int k = 0, n = lb_operand_count(p->steps[i].op); k < n; k++) {
            lb_operand *o = &p->args0[i].t[k];
            lb_list *l = o->count ? lb_list_of(o) : NULL;
            if (l && l->lent) o->items = l->lent->items;
        }
    }
    return st;
}

static void give_back_operands(lb_plan *p) {
    for (int b = 0; b < LB_LIST_BUCKETS; b++) {
        for (lb_list **at = &p->lists[b]; *at;) {
            lb_list *l = *at;
            l->lent = NULL;
            if (l->borrowed) {
                *at = l->next;
                lb_list_free(l);
            } else {
                at = &l->next;
            }
        }
    }
}

/* ---- workspace ---- */

static bool seen_before(lb_plan *const *plans, int i) {
    for (int j = 0; j < i; j++)
        if (plans[j] == plans[i]) return true;
    return false;
}

static lb_status new_common(lb_plan *const *plans, int count, lb_common *c) {
    size_t tickets = 0;
    for (int i = 0; i < count; i++) {
        size_t n = (size_t)plans[i]->flow.tickets_most + 1;
        if (n > tickets) tickets = n;
        if (plans[i]->workspace_size > c->workspace_size) c->workspace_size = plans[i]->workspace_size;
    }
    c->device = lb_device_retain(plans[0]->device);
    c->tickets = aligned_alloc(64, tickets * sizeof *c->tickets);
    if (!c->tickets) return lb_fail(LB_ENOMEM, "measure: no memory for plans that take turns");
    for (size_t i = 0; i < tickets; i++) atomic_init(&c->tickets[i].value, 0);
    if (!c->workspace_size) return LB_OK;
    lb_status st = lb_device_alloc(c->device, c->workspace_size, &c->workspace);
    if (st) return lb_fail_in(st, "measure: workspace of plans that take turns");
    memset(c->workspace, 0xff, c->workspace_size);
    return LB_OK;
}

lb_status lb_plans_share(lb_plan *const *plans, int count, bool operands, lb_common *c) {
    *c = (lb_common){ 0 };
    for (int i = 0; i < count; i++) {
        lb_status st = lb_plan_prepare(plans[i]);
        if (st) return st;
        /* nothing that both could reach; and a GPU's plan is a captured graph, with the memory that it was captured
         * with */
        if (plans[i]->device != plans[0]->device || plans[i]->on_gpu) return LB_OK;
    }
    lb_status st = new_common(plans, count, c);
    for (int i = 0; i < count && !st; i++) {
        if (seen_before(plans, i)) continue;
        lb_plan_work_in(plans[i], c->workspace, c->tickets);
        if (operands && i > 0) st = lend_operands(plans, count, i);
    }
    if (st) lb_plans_unshare(plans, count, c);
    return st;
}

void lb_plans_unshare(lb_plan *const *plans, int count, lb_common *c) {
    if (!c->device) return;
    for (int i = 0; i < count; i++) {
        if (seen_before(plans, i)) continue;
        lb_plan_work_in(plans[i], plans[i]->workspace, plans[i]->tickets);
        give_back_operands(plans[i]);
    }
    free(c->tickets);
    if (c->workspace) lb_device_free(c->device, c->workspace, c->workspace_size);
    lb_device_release(c->device);
    *c = (lb_common){ 0 };
}
