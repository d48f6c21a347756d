/* check.c: runs a plan step by step and compares every output with its f64 oracle. */
#include "check.h"
#include "mirror.h"
#include "plan_internal.h"
#include "poison.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One step under check. */
typedef struct checking {
    lb_plan *p;
    lb_step *s;
    int index;
    int32_t pick;
    const lb_kernel *kernel;
    lb_check *out;
    lb_tensor *before[LB_MAX_OPERANDS];   /* LB_UPDATE operands as they were */
    void *saved[LB_MAX_OPERANDS];         /* bytes of LB_PARTIAL operands as they were */
    lb_expected expected[LB_MAX_EXPECTED];
    int expected_count;
    double worst_ratio;                   /* nmse / tolerance of the step that `out` names; carried along */
} checking;

static lb_role role_of(const checking *c, int slot) { return c->s->op->operands[slot].role; }

/* The written tensor of a slot: the picked item of lists. */
static lb_tensor *written(const checking *c, int slot) {
    const lb_operand *o = &c->s->native.t[slot];
    if (!o->count) return NULL;
    return o->items[o->count > 1 ? c->pick : 0];
}

/* ---- reasons ---- */

static void name_step(lb_check *o, const lb_step *s, int index, const char *kernel, const char *what) {
    o->step = index;
    snprintf(o->op, sizeof o->op, "%s", s->op->name);
    snprintf(o->kernel, sizeof o->kernel, "%s", kernel ? kernel : "");
    snprintf(o->what, sizeof o->what, "%s", what);
    snprintf(o->label, sizeof o->label, "%s", s->label ? s->label : "");
}

/* "step 3, gemm by gemm.q4_k.avx512 (expert gate): ..." */
static void refuse(lb_check *o, const char *fmt, ...) LB_PRINTF(2, 3);
static void refuse(lb_check *o, const char *fmt, ...) {
    char head[200], text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(head, sizeof head, "step %d, %s by %s%s%s%s: ", o->step + 1, o->op, o->kernel, o->label[0] ? " (" : "",
             o->label, o->label[0] ? ")" : "");
    size_t n = strlen(head);
    if (n > sizeof o->reason - 1) n = sizeof o->reason - 1;
    memcpy(o->reason, head, n);
    size_t m = strlen(text);
    if (m > sizeof o->reason - 1 - n) m = sizeof o->reason - 1 - n;
    memcpy(o->reason + n, text, m);
    o->reason[n + m] = 0;
    o->passed = false;
}

static void unravel(const lb_tensor *t, int64_t flat, int64_t *index) {
    for (int d = t->rank - 1; d >= 0; d--) {
        int64_t n = t->dims[d] ? t->dims[d] : 1;
        index[d] = flat % n;
        flat /= n;
    }
}

/* "out[2, 17]" */
static void place(const char *what, const lb_tensor *t, const int64_t *index, char *out, size_t bytes) {
    size_t n = (size_t)snprintf(out, bytes, "%s[", what);
    for (int d = 0; d < t->rank && n < bytes; d++)
        n += (size_t)snprintf(out + n, bytes - n, d ? ", %lld" : "%lld", (long long)index[d]);
    if (n < bytes) snprintf(out + n, bytes - n, "]");
}

static void refuse_element(const checking *c, const lb_tensor *t, const lb_expected *e, const lb_diff *d, double tol) {
    char at[96];
    int64_t index[LB_MAX_RANK] = { 0 };
    double got = NAN, want = NAN;
    if (d->worst >= 0) {
        unravel(t, d->worst, index);
        got = lb_tensor_at(t, index);
        want = e->values[d->worst];
    }
    place(e->what, t, index, at, sizeof at);
    if (d->nonfinite)
        refuse(c->out, "%s is %g, expected %.9g; %lld of %lld elements are not finite", at, got, want,
               (long long)d->nonfinite, (long long)d->compared);
    else if (e->exact)
        refuse(c->out, "%s is %.17g, expected exactly %.17g", at, got, want);
    else
        refuse(c->out, "%s is %.9g, expected %.9g; NMSE %.3g, tolerance %.3g", at, got, want, d->nmse, tol);
}

/* ---- before and after a launch ---- */

static lb_status prepare_operands(checking *c) {
    const lb_exec *e = &c->p->exec[c->index];
    for (int i = 0, n = lb_operand_count(c->s->op); i < n; i++) {
        lb_tensor *t = written(c, i);
        lb_role role = role_of(c, i);
        if (!t || !lb_role_writes(role)) continue;
        lb_range r = lb_tensor_range(t);
        if (role == LB_UPDATE) {
            lb_status st = lb_tensor_clone(t, &c->before[i]);
            if (st) return lb_fail_in(st, "check: step %d", c->index + 1);
            continue;
        }
        if (role == LB_PARTIAL) {
            c->saved[i] = malloc(r.hi - r.lo + 1);
            if (!c->saved[i]) return lb_fail(LB_ENOMEM, "check: step %d: no memory to keep an operand", c->index + 1);
            memcpy(c->saved[i], lb_tensor_data(t), r.hi - r.lo);
        }
        lb_poison(t);
    }
    if (!e->workspace) return LB_OK;
    return lb_device_set(c->p->device, e->workspace, 0xff, c->s->choice->workspace_bytes);
}

static const uint8_t *mask_of(const checking *c, int slot) {
    for (int i = 0; i < c->expected_count; i++)
        if (c->expected[i].slot == slot && c->expected[i].mask) return c->expected[i].mask;
    return NULL;
}

/* Elements outside the mask must hold the poison still; then they get back what they held before. */
static bool untouched_partial(const checking *c, int slot) {
    lb_tensor *t = written(c, slot);
    const uint8_t *mask = mask_of(c, slot);
    uint64_t bits = lb_poison_bits(t->dtype);
    uintptr_t lo = lb_tensor_address(t);
    lb_tensor_walk w;
    lb_tensor_walk_init(&w, t);
    int64_t bad = -1;
    for (int64_t i = 0, n = lb_tensor_numel(t); i < n && mask; i++, lb_tensor_walk_next(&w)) {
        if (mask[i]) continue;
        if (bad < 0 && memcmp(w.at, &bits, w.element_bytes) != 0) bad = i;
        memcpy(w.at, (const char *)c->saved[slot] + ((uintptr_t)w.at - lo), w.element_bytes);
    }
    if (bad < 0) return true;
    char at[96];
    int64_t index[LB_MAX_RANK] = { 0 };
    unravel(t, bad, index);
    place(c->s->op->operands[slot].name, t, index, at, sizeof at);
    refuse(c->out, "%s was written, but this launch must leave it alone", at);
    return false;
}

/* In-place operands: what the oracle does not claim must not have changed by a bit. */
static bool untouched_update(const checking *c, int slot) {
    lb_tensor *t = written(c, slot);
    const uint8_t *mask = mask_of(c, slot);
    lb_tensor_walk now, then;
    lb_tensor_walk_init(&now, t);
    lb_tensor_walk_init(&then, c->before[slot]);
    for (int64_t i = 0, n = lb_tensor_numel(t); i < n && mask; i++) {
        if (!mask[i] && memcmp(now.at, then.at, now.element_bytes) != 0) {
            char at[96];
            unravel(t, i, now.index);
            place(c->s->op->operands[slot].name, t, now.index, at, sizeof at);
            refuse(c->out, "%s was changed, but this launch must leave it alone", at);
            return false;
        }
        lb_tensor_walk_next(&now);
        lb_tensor_walk_next(&then);
    }
    return true;
}

static bool untouched(const checking *c) {
    bool fine = true;
    for (int i = 0, n = lb_operand_count(c->s->op); i < n; i++) {
        if (!written(c, i)) continue;
        if (role_of(c, i) == LB_PARTIAL && !untouched_partial(c, i)) fine = false;
        if (role_of(c, i) == LB_UPDATE && !untouched_update(c, i)) fine = false;
    }
    return fine;
}

/* ---- comparing ---- */

/* Operands with NaN or Inf have results that nothing can be compared with: such a step is not right, it is unknown. */
static bool expected_finite(const checking *c, const lb_expected *e, const lb_tensor *t) {
    int64_t index[LB_MAX_RANK] = { 0 };
    char at[96];
    for (int64_t i = 0, n = lb_tensor_numel(t); i < n; i++) {
        if ((e->mask && !e->mask[i]) || isfinite(e->values[i])) continue;
        name_step(c->out, c->s, c->index, c->kernel->name, e->what);
        unravel(t, i, index);
        place(e->what, t, index, at, sizeof at);
        refuse(c->out, "%s should be %g: an operand holds NaN or Inf, so the result cannot be checked", at,
               e->values[i]);
        return false;
    }
    return true;
}

static lb_status compare(checking *c, const lb_expected *e, bool *fine) {
    lb_diff d;
    lb_tensor *t = written(c, e->slot);
    if (!expected_finite(c, e, t)) return *fine = false, LB_OK;
    double tol = e->exact ? 0 : c->kernel->tolerance;
    lb_status st = lb_diff_tensor(t, e->values, e->mask, &d);
    if (st) return st;
    *fine = d.nonfinite == 0 && d.nmse <= tol;   /* false for NaN */
    double ratio = d.nmse == 0 ? 0 : tol > 0 ? d.nmse / tol : INFINITY;
    if (*fine && ratio <= c->worst_ratio) return LB_OK;
    c->worst_ratio = ratio;
    name_step(c->out, c->s, c->index, c->kernel->name, e->what);
    c->out->diff = d;
    c->out->tolerance = tol;
    if (!*fine) refuse_element(c, t, e, &d, tol);
    return LB_OK;
}

/* Nothing that is written passes unchecked. */
static bool covered(const checking *c) {
    bool any = false;
    for (int i = 0, n = lb_operand_count(c->s->op); i < n; i++) {
        const lb_operand *o = &c->s->native.t[i];
        if (!o->count || !lb_role_writes(role_of(c, i))) continue;
        any = true;
        bool found = o->count == 1 || c->s->pick.tensor;
        for (int k = 0; k < c->expected_count && found; k++)
            if (c->expected[k].slot == i) goto next;
        name_step(c->out, c->s, c->index, c->kernel->name, c->s->op->operands[i].name);
        refuse(c->out, "the oracle says nothing about %s, so it cannot be checked", c->s->op->operands[i].name);
        return false;
    next:;
    }
    if (any) return true;
    name_step(c->out, c->s, c->index, c->kernel->name, "");
    refuse(c->out, "it writes nothing that could be checked");
    return false;
}

static lb_status ask_oracle(checking *c) {
    lb_oracle_in in = { .args = &c->s->native, .pick = c->pick, .kernel = c->kernel };
    for (int i = 0; i < LB_MAX_OPERANDS; i++) in.before[i] = c->before[i];
    lb_status st = c->s->op->oracle(&in, c->expected, &c->expected_count);
    return st ? lb_fail_in(st, "check: oracle of step %d (%s)", c->index + 1, c->s->op->name) : LB_OK;
}

static void checking_done(checking *c) {
    for (int i = 0; i < LB_MAX_OPERANDS; i++) {
        if (c->before[i]) lb_tensor_release(c->before[i]);
        free(c->saved[i]);
        c->before[i] = NULL;
        c->saved[i] = NULL;
    }
    for (int i = 0; i < LB_MAX_EXPECTED; i++) {
        free(c->expected[i].values);
        free(c->expected[i].mask);
    }
    memset(c->expected, 0, sizeof c->expected);
    c->expected_count = 0;
}

static lb_status check_launch(checking *c) {
    bool fine = true, ran = false;
    c->kernel = lb_step_kernel(c->s, c->pick);
    if (!c->s->op->oracle) {
        name_step(c->out, c->s, c->index, c->kernel->name, "");
        refuse(c->out, "the operation has no oracle, so it cannot be checked");
        return LB_OK;
    }
    lb_status st = prepare_operands(c);
    if (!st) st = lb_plan_run_step(c->p, c->index, &ran, &c->pick);
    if (!st && !ran) st = lb_fail(LB_EINTERNAL, "check: step %d changed its own condition", c->index + 1);
    if (!st) st = ask_oracle(c);
    if (!st && covered(c)) {
        for (int i = 0; i < c->expected_count && !st && fine; i++) st = compare(c, &c->expected[i], &fine);
        if (!st && fine) {
            lb_check keep = *c->out;
            name_step(c->out, c->s, c->index, c->kernel->name, "");
            bool left_alone = untouched(c);
            if (left_alone) *c->out = keep;
        }
    }
    c->out->steps_checked++;
    checking_done(c);
    return st;
}

/* ---- rotation sets ---- */

/* Copies must give the same bits as the originals, whose results were just checked. */
static lb_status check_sets(lb_plan *p, const lb_saves *updates, lb_check *out) {
    lb_saves outputs;
    lb_status st = lb_outputs_save(p, &outputs);
    for (int set = 1; set < p->sets && !st && out->passed; set++) {
        size_t byte = 0;
        lb_saves_restore(updates);
        if ((st = lb_plan_run_set(p, set))) break;
        int i = lb_saves_differ(&outputs, &byte);
        if (i < 0) continue;
        const lb_saved *v = &outputs.at[i];
        const lb_step *s = &p->steps[v->step];
        name_step(out, s, v->step, lb_step_kernel(s, s->picked)->name, s->op->operands[v->slot].name);
        refuse(out, "%s of rotation set %d differs from the originals' at byte %zu: a copy is broken",
               s->op->operands[v->slot].name, set, byte);
    }
    lb_saves_done(&outputs);
    return st;
}

lb_status lb_plan_check_sets(lb_plan *p, lb_check *out) {
    lb_saves own = { 0 };
    memset(out, 0, sizeof *out);
    out->passed = true;
    out->step = -1;
    out->diff.worst = -1;
    if (p->sets < 2) return LB_OK;
    lb_status st = p->updates.taken ? LB_OK : lb_updates_save(p, &own);
    const lb_saves *updates = p->updates.taken ? &p->updates : &own;
    if (!st) st = lb_plan_run_set(p, 0);
    if (!st) st = check_sets(p, updates, out);
    lb_saves_restore(updates);
    lb_saves_done(&own);
    return st;
}

static lb_status check_steps(lb_plan *p, lb_check *out) {
    checking c = { .p = p, .out = out, .worst_ratio = -1 };
    for (int i = 0; i < p->step_count && out->passed; i++) {
        bool run = false;
        c.index = i;
        c.s = &p->steps[i];
        lb_status st = lb_plan_decide(p, i, &run, &c.pick);
        c.s->ran = run;
        if (!st && run) st = check_launch(&c);
        if (st) return st;
        if (!run) out->steps_skipped++;
    }
    p->traced = out->passed;
    return LB_OK;
}

lb_status lb_plan_check(lb_plan *p, lb_check *out) {
    lb_saves own = { 0 };
    memset(out, 0, sizeof *out);
    out->passed = true;
    out->step = -1;
    out->diff.worst = -1;
    lb_status st = lb_plan_prepare(p);
    if (st) return st;
    if (p->updates.taken) lb_saves_restore(&p->updates);
    else if ((st = lb_updates_save(p, &own))) return st;
    st = check_steps(p, out);
    if (!st && out->passed && out->steps_checked == 0) {
        out->passed = false;
        snprintf(out->reason, sizeof out->reason, "%s", p->step_count ? "every step was skipped: nothing was checked"
                                                                      : "the plan has no steps");
    }
    const lb_saves *updates = p->updates.taken ? &p->updates : &own;
    if (!st && out->passed) st = check_sets(p, updates, out);
    lb_saves_restore(updates);
    lb_saves_done(&own);
    return st;
}

/* ---- outputs before and after timing ---- */

lb_status lb_plan_snapshot_outputs(lb_plan *p) {
    lb_saves fresh;
    lb_status st = p->traced ? LB_OK : lb_plan_trace(p, NULL, NULL);
    if (!st && !p->updates.taken) st = lb_plan_snapshot_updates(p);
    if (!st && p->updates.count) st = lb_plan_run(p);   /* checks and traces leave updated operands restored */
    if (!st) st = lb_outputs_save(p, &fresh);
    lb_saves_restore(&p->updates);
    if (st) return st;
    lb_saves_done(&p->outputs);
    p->outputs = fresh;
    return LB_OK;
}

static void refuse_saved(const lb_plan *p, const lb_saved *v, size_t byte, lb_check *out) {
    const lb_step *s = &p->steps[v->step];
    const lb_tensor *t = s->launch.t[v->slot].items[v->item];
    name_step(out, s, v->step, lb_step_kernel(s, s->picked)->name, s->op->operands[v->slot].name);
    char at[96];
    int64_t index[LB_MAX_RANK] = { 0 };
    if (lb_tensor_is_dense(t)) {
        unravel(t, (int64_t)(byte / lb_dtype_size(t->dtype)), index);
        place(out->what, t, index, at, sizeof at);
        refuse(out, "%s is %.9g after timing, not the bits that were checked before", at, lb_tensor_at(t, index));
    } else {
        refuse(out, "%s differs after timing from what was checked, at byte %zu", out->what, byte);
    }
}

lb_status lb_plan_verify_outputs(lb_plan *p, lb_check *out) {
    size_t byte = 0;
    memset(out, 0, sizeof *out);
    out->step = -1;
    out->diff.worst = -1;
    if (!p->outputs.taken)
        return lb_fail(LB_EINVAL, "plan: there is no snapshot of the outputs to compare with; take it after a check");
    if (p->updates.count) {
        lb_saves_restore(&p->updates);
        lb_status st = lb_plan_run(p);
        if (st) return st;
    }
    out->passed = true;
    out->steps_checked = p->outputs.count;
    int i = lb_saves_differ(&p->outputs, &byte);
    if (i >= 0) refuse_saved(p, &p->outputs.at[i], byte, out);
    lb_saves_restore(&p->updates);
    return LB_OK;
}
