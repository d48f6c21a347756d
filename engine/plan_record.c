/* plan_record.c: records steps: checks operands, makes outputs, chooses kernels, converts weights to their layouts. */
#include "plan_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIST (1 << 20)
#define LOOK_BACK 16   /* steps searched for one that is alike: more than the cycle of a token's sequence */

/* ---- operands ---- */

static lb_status check_device(const lb_plan *p, const lb_op *op, const char *what, const lb_tensor *t) {
    const char *on = lb_device_name(t->buffer->device), *of = lb_device_name(p->device);
    if (strcmp(on, of) == 0) return LB_OK;
    return lb_fail(LB_EINVAL, "%s: %s is on %s, but the plan is for %s; hint: move it with :to(\"%s\")", op->name, what,
                   on,
                   of, of);
}

static lb_status check_item(const lb_plan *p, const lb_op *op, int slot, int32_t i, const lb_tensor *t) {
    const lb_operand_spec *spec = &op->operands[slot];
    if (!t) return lb_fail(LB_EINVAL, "%s: %s[%d] is missing from its list", op->name, spec->name, (int)i);
    lb_status st = check_device(p, op, spec->name, t);
    if (st) return st;
    if (t->layout)
        return lb_fail(LB_EINVAL, "%s: %s has the memory layout %s; plans convert layouts themselves, give the native "
                                  "tensor", op->name, spec->name, t->layout);
    if (lb_role_writes(spec->role) && t->dtype == LB_QUANT)
        return lb_fail(LB_EINVAL, "%s: %s is written, so it cannot be quantized", op->name, spec->name);
    return LB_OK;
}

static lb_status check_operands(const lb_plan *p, const lb_op *op, const lb_args *a) {
    int n = lb_operand_count(op);
    for (int i = 0; i < LB_MAX_OPERANDS; i++) {
        const lb_operand *o = &a->t[i];
        if (o->count && i >= n)
            return lb_fail(LB_EINVAL, "%s: got an operand in slot %d, but it has %d operands", op->name, i, n);
        if (o->count < 0 || o->count > MAX_LIST || (o->count && !o->items))
            return lb_fail(LB_EINVAL, "%s: %s has an impossible count of %d tensors", op->name, op->operands[i].name,
                           (int)o->count);
        if (o->count > 1 && !op->operands[i].list)
            return lb_fail(LB_EINVAL, "%s: %s takes one tensor, got a list of %d", op->name, op->operands[i].name,
                           (int)o->count);
        for (int32_t j = 0; j < o->count; j++) {
            lb_status st = check_item(p, op, i, j, o->items[j]);
            if (st) return st;
        }
    }
    return LB_OK;
}

static lb_status check_choices(const lb_op *op, const lb_args *a) {
    for (int i = 0; i < LB_MAX_PARAMS && op->params && op->params[i].name; i++) {
        const char *const *names = lb_op_choices(op, i);
        int n = 0;
        while (names && names[n]) n++;
        if (names && !(a->p[i] >= 0 && a->p[i] < n && a->p[i] == (double)(int)a->p[i]))
            return lb_fail(LB_EINVAL, "%s: parameter '%s': expected one of its names (\"%s\", ...) or 0 to %d, got %g",
                           op->name, op->params[i].name, names[0], n - 1, a->p[i]);
    }
    return LB_OK;
}

static lb_status check_ref(const lb_plan *p, const lb_op *op, const char *what, const lb_ref *r) {
    const lb_tensor *t = r->tensor;
    if (!t) return LB_OK;
    char text[96];
    lb_tensor_describe(t, text, sizeof text);
    if (t->dtype != LB_I32 || !lb_tensor_is_dense(t))
        return lb_fail(LB_EINVAL, "%s: `%s` needs a dense i32 tensor, got %s", op->name, what, text);
    if (r->index < 0 || r->index >= lb_tensor_numel(t))
        return lb_fail(LB_EINVAL, "%s: `%s` asks for element %lld of %s", op->name, what, (long long)r->index, text);
    return check_device(p, op, what, t);
}

/* Outputs that the caller left out. LB_PARTIAL ones start as zeros: a launch leaves some of their elements alone. */
static lb_status make_outputs(const lb_plan *p, const lb_op *op, lb_args *a, lb_tensor *made[]) {
    for (int i = 0, n = lb_operand_count(op); i < n; i++) {
        const lb_operand_spec *spec = &op->operands[i];
        bool output = (spec->role == LB_WRITE || spec->role == LB_PARTIAL) && op->infer;
        if (a->t[i].count || (spec->optional && !output)) continue;
        if (!output)
            return lb_fail(LB_EINVAL, "%s: operand %s is missing (%s)", op->name, spec->name,
                           spec->about ? spec->about : "required");
        lb_dtype dtype = LB_F32;
        int rank = 0;
        int64_t dims[LB_MAX_RANK] = { 0 };
        lb_status st = op->infer(a, i, &dtype, &rank, dims);
        if (!st) st = lb_tensor_new(p->device, dtype, NULL, rank, dims, &made[i]);
        if (st) return lb_fail_in(st, "%s: output %s", op->name, spec->name);
        memset(lb_tensor_data(made[i]), 0, lb_tensor_size_bytes(made[i]));
        a->t[i] = (lb_operand){ &made[i], 1 };
    }
    return LB_OK;
}

/* A poisoned output must not destroy an input of the same step. */
static lb_status check_overlap(const lb_op *op, const lb_args *a) {
    int n = lb_operand_count(op);
    for (int i = 0; i < n; i++) {
        if (!lb_role_writes(op->operands[i].role)) continue;
        for (int j = 0; j < n; j++) {
            if (j == i || (j < i && lb_role_writes(op->operands[j].role))) continue;
            for (int32_t x = 0; x < a->t[i].count; x++)
                for (int32_t y = 0; y < a->t[j].count; y++) {
                    const lb_tensor *w = a->t[i].items[x], *o = a->t[j].items[y];
                    bool dense = lb_tensor_is_dense(w) && (o->dtype == LB_QUANT || lb_tensor_is_dense(o));
                    if (dense && lb_range_overlap(lb_tensor_range(w), lb_tensor_range(o)))
                        return lb_fail(LB_EINVAL, "%s: %s is written but shares memory with %s; hint: give it a tensor "
                                                  "of its own", op->name, op->operands[i].name, op->operands[j].name);
                }
        }
    }
    return LB_OK;
}

/* How many items `pick` chooses among: the length of the lists; 1 if there are none. */
static lb_status pick_count(const lb_op *op, const lb_args *a, int32_t *out) {
    *out = 1;
    for (int i = 0, n = lb_operand_count(op); i < n; i++) {
        if (a->t[i].count < 2) continue;
        if (*out > 1 && *out != a->t[i].count)
            return lb_fail(LB_EINVAL, "%s: lists that `pick` indexes must be equally long, got %d and %d (%s)",
                           op->name, (int)*out, (int)a->t[i].count, op->operands[i].name);
        *out = a->t[i].count;
    }
    return LB_OK;
}

lb_args lb_plan_item_view(const lb_args *a, int32_t item) {
    lb_args v = *a;
    for (int i = 0; i < LB_MAX_OPERANDS; i++)
        if (v.t[i].count > 1) v.t[i] = (lb_operand){ &v.t[i].items[item], 1 };
    return v;
}

/* ---- kernels and layouts ---- */

static lb_status choose_kernel(const lb_plan *p, const lb_args *a, const lb_step *s, lb_choice_item *out) {
    const char *why = NULL;
    if (!s->asked) return lb_kernel_select_why(p->device, a, s->asked_native, &out->kernel, &out->why);
    if (strcmp(s->asked->op, s->op->name) != 0)
        return lb_fail(LB_EINVAL, "%s: kernel %s is one for %s", s->op->name, s->asked->name, s->asked->op);
    if (s->asked_native && (s->asked->layout || s->asked->panel_weights))
        return lb_fail(LB_EUNSUPPORTED,
                       "%s: kernel %s reads a memory layout of its own, but native layouts were asked for",
                       s->op->name, s->asked->name);
    if (!lb_kernel_fits(s->asked, p->device, a, &why))
        return lb_fail(LB_EUNSUPPORTED, "%s: kernel %s does not fit: %s", s->op->name, s->asked->name,
                       why ? why : "no reason given");
    out->kernel = s->asked;
    out->why = LB_WHY_ASKED;
    return LB_OK;
}

/* The kernel whose layout `k` reads this weight in; NULL = native. */
static const lb_kernel *layout_kernel(const lb_plan *p, const lb_kernel *k, const lb_tensor *w) {
    if (k->panel_weights) return w->dtype == LB_QUANT ? lb_kernel_panel_for(p->device, w->quantizer) : NULL;
    return k->layout ? k : NULL;
}

static lb_status note_repacked(lb_plan *p, const lb_op *op, lb_tensor *native, const lb_tensor *packed, uint64_t ns) {
    lb_range r = lb_tensor_range(native);
    p->repack_ns += ns;
    for (int64_t i = 0; i < p->repacked.count; i++)
        if (p->repacked.at[i].lo == r.lo && p->repacked.at[i].hi == r.hi) return LB_OK;
    if (lb_ranges_hit(&p->flow.ever_written, r))
        return lb_fail(LB_EUNSUPPORTED, "%s: a weight is written by an earlier step, so it cannot be converted to the "
                                        "kernel's memory layout at record time; hint: choose a native kernel",
                                        op->name);
    p->repack_bytes += (double)lb_tensor_size_bytes(packed);
    return lb_ranges_add(&p->repacked, r);
}

/* Puts one weight into its kernel's layout; *slot then holds the borrowed tensor. */
static lb_status convert_item(lb_plan *p, const lb_step *s, const lb_kernel *k, lb_tensor **slot) {
    const lb_kernel *lk = layout_kernel(p, k, *slot);
    lb_tensor *native = *slot, *packed = NULL;
    uint64_t ns = 0;
    if (k->panel_weights && native->dtype == LB_QUANT && !lk)
        return lb_fail(LB_EUNSUPPORTED, "%s: kernel %s builds on another kernel's panels, and none is there for %s",
                       s->op->name, k->name, native->quantizer->name);
    if (!lk || !lk->layout) return LB_OK;
    lb_status st = lb_tensor_in_layout(native, lk, &packed, &ns);
    if (st) return lb_fail_in(st, "%s: kernel %s", s->op->name, k->name);
    if (packed == native) return LB_OK;
    *slot = packed;
    return note_repacked(p, s->op, native, packed, ns);
}

static lb_status convert_weights(lb_plan *p, lb_step *s) {
    for (int i = 0, n = lb_operand_count(s->op); i < n; i++) {
        const lb_operand *o = &s->native.t[i];
        if (s->op->operands[i].role != LB_WEIGHT || !o->count) continue;
        lb_tensor **items = malloc((size_t)o->count * sizeof *items);
        if (!items) return lb_fail(LB_ENOMEM, "%s: no memory for a list of %d weights", s->op->name, (int)o->count);
        lb_status st = LB_OK;
        for (int32_t j = 0; j < o->count && !st; j++) {
            items[j] = o->items[j];
            st = convert_item(p, s, s->choice->items[s->choice->count > 1 && o->count > 1 ? j : 0].kernel, &items[j]);
        }
        lb_list *l = NULL;
        if (!st) st = lb_plan_intern(p, items, o->count, &l, NULL);
        free(items);
        if (st) return st;
        s->launch.t[i] = (lb_operand){ l->items, l->count };
    }
    return LB_OK;
}

static lb_status choose_all(lb_plan *p, lb_step *s, int32_t count, bool by_item) {
    lb_choice *c = calloc(1, sizeof *c + (size_t)count * sizeof c->items[0]);
    if (!c) return lb_fail(LB_ENOMEM, "%s: no memory for the kernels of %d items", s->op->name, (int)count);
    c->refs = 1;
    c->count = count;
    s->choice = c;
    for (int32_t i = 0; i < count; i++) {
        lb_args v = by_item ? lb_plan_item_view(&s->native, i) : s->native;
        lb_status st = choose_kernel(p, &v, s, &c->items[i]);
        if (st) return count > 1 ? lb_fail_in(st, "item %d", (int)i) : st;
    }
    return LB_OK;
}

/* What each kernel needs, asked with the operands as it will read them. */
static lb_status size_up(const lb_plan *p, lb_step *s, bool by_item) {
    lb_choice *c = s->choice;
    c->serial = true;
    for (int32_t i = 0; i < c->count; i++) {
        lb_choice_item *it = &c->items[i];
        const lb_kernel *k = it->kernel;
        lb_args v = by_item ? lb_plan_item_view(&s->launch, i) : s->launch;
        it->launch = k->launch;
        it->serial = k->serial;
        it->phases = k->phases ? k->phases(&v) : 1;
        if (it->phases < 1 || it->phases > 1000)
            return lb_fail(LB_EINTERNAL, "%s: kernel %s wants %d phases; 1 to 1000 are possible", s->op->name, k->name,
                           (int)it->phases);
        if (!k->serial) c->serial = false;
        size_t bytes = k->workspace_bytes ? k->workspace_bytes(&v, k->serial ? 1 : p->threads) : 0;
        if (bytes > c->workspace_bytes) c->workspace_bytes = bytes;
    }
    return LB_OK;
}

/* ---- steps that are alike ---- */

static bool same_form(const lb_operand *a, const lb_operand *b) {
    if (a->items == b->items && a->count == b->count) return true;
    if (a->count != 1 || b->count != 1) return false;
    const lb_tensor *x = a->items[0], *y = b->items[0];
    return x->dtype == y->dtype && x->rank == y->rank &&
           memcmp(x->dims, y->dims, (size_t)x->rank * sizeof x->dims[0]) == 0 &&
           memcmp(x->strides, y->strides, (size_t)x->rank * sizeof x->strides[0]) == 0;
}

/* The same weights (and any index operands that are lists), other operands of the same form. */
static bool alike(const lb_step *a, const lb_step *b) {
    if (a->op != b->op || a->asked != b->asked || a->asked_native != b->asked_native ||
        !a->pick.tensor != !b->pick.tensor || memcmp(a->native.p, b->native.p, sizeof a->native.p) != 0)
        return false;
    for (int i = 0, n = lb_operand_count(a->op); i < n; i++) {
        const lb_operand *x = &a->native.t[i], *y = &b->native.t[i];
        bool same = a->op->operands[i].role == LB_WEIGHT ? x->items == y->items && x->count == y->count
                                                         : same_form(x, y);
        if (!same) return false;
    }
    return true;
}

static bool copy_alike(const lb_plan *p, lb_step *s) {
    int first = p->step_count > LOOK_BACK ? p->step_count - LOOK_BACK : 0;
    for (int i = p->step_count - 1; i >= first; i--) {
        const lb_step *o = &p->steps[i];
        if (!alike(o, s)) continue;
        s->choice = o->choice;
        s->choice->refs++;
        for (int k = 0, n = lb_operand_count(s->op); k < n; k++)
            if (s->op->operands[k].role == LB_WEIGHT) s->launch.t[k] = o->launch.t[k];
        return true;
    }
    return false;
}

/* ---- recording ---- */

static lb_status check_writes(const lb_plan *p, const lb_step *s) {
    for (int i = 0, n = lb_operand_count(s->op); i < n; i++) {
        if (!lb_role_writes(s->op->operands[i].role)) continue;
        for (int32_t j = 0; j < s->native.t[i].count; j++)
            if (lb_ranges_hit(&p->repacked, lb_tensor_range(s->native.t[i].items[j])))
                return lb_fail(LB_EUNSUPPORTED, "%s: %s is a weight that an earlier step reads in a converted memory "
                                                "layout; it cannot be written in the same plan", s->op->name,
                               s->op->operands[i].name);
    }
    return LB_OK;
}

static lb_status intern_args(lb_plan *p, lb_step *s, const lb_args *a) {
    s->native = *a;
    s->native.op = s->op;
    for (int i = 0; i < LB_MAX_OPERANDS; i++) {
        s->native.t[i] = (lb_operand){ NULL, 0 };
        if (!a->t[i].count) continue;
        lb_list *l = NULL;
        lb_status st = lb_plan_intern(p, a->t[i].items, a->t[i].count, &l, NULL);
        if (st) return st;
        s->native.t[i] = (lb_operand){ l->items, l->count };
    }
    s->launch = s->native;
    return LB_OK;
}

static void step_drop(lb_step *s) {
    free(s->label);
    lb_choice_release(s->choice);
    memset(s, 0, sizeof *s);
}

/* Takes references and counts the step. Nothing can fail after it. */
static void commit(lb_plan *p, lb_step *s, int *step) {
    if (s->pick.tensor) lb_tensor_retain(s->pick.tensor);
    for (int w = 0; w < s->when_count; w++) lb_tensor_retain(s->whens[w].tensor);
    if (step) *step = p->step_count;
    p->step_count++;
    p->traced = false;
}

static lb_status build(lb_plan *p, lb_step *s, const lb_args *a, const lb_step_opts *o) {
    int32_t count = 1;
    lb_status st = LB_OK;
    s->asked = o->kernel;
    s->asked_native = o->native_layout;
    s->pick = o->pick;
    if (o->when.tensor) s->whens[s->when_count++] = o->when;
    if (o->label && !(s->label = strdup(o->label))) return lb_fail(LB_ENOMEM, "plan: no memory for a label");
    if ((st = intern_args(p, s, a))) return st;
    bool by_item = s->pick.tensor != NULL;
    if (by_item && (st = pick_count(s->op, a, &count))) return st;
    if ((st = check_writes(p, s))) return st;
    if (!copy_alike(p, s)) {
        if ((st = choose_all(p, s, count, by_item))) return st;
        if ((st = convert_weights(p, s))) return st;
        if ((st = size_up(p, s, by_item))) return st;
    }
    return lb_flow_step(p, s);
}

lb_status lb_plan_add(lb_plan *p, const lb_op *op, lb_args *args, const lb_step_opts *opts, int *step) {
    static const lb_step_opts none;
    const lb_step_opts *o = opts ? opts : &none;
    lb_tensor *made[LB_MAX_OPERANDS] = { NULL };
    lb_step *s = NULL;
    if (!op || !args || (args->op && args->op != op))
        return lb_fail(LB_EINVAL, "plan: step %d: got no operation, or arguments of another one", p->step_count + 1);
    lb_args a = *args;
    a.op = op;
    lb_status st = check_operands(p, op, &a);
    if (!st) st = check_choices(op, &a);
    if (!st) st = check_ref(p, op, "when", &o->when);
    if (!st) st = check_ref(p, op, "pick", &o->pick);
    if (!st) st = make_outputs(p, op, &a, made);
    if (!st && op->check) st = op->check(&a);
    if (!st) st = check_overlap(op, &a);
    if (!st) st = lb_plan_reserve(p, &s);
    if (!st) {
        s->op = op;
        st = build(p, s, &a, o);
        if (st) step_drop(s);
    }
    if (st) {
        lb_fail_in(st, "step %d%s%s%s", p->step_count + 1, o->label ? " (" : "", o->label ? o->label : "",
                   o->label ? ")" : "");
    } else {
        args->op = op;
        for (int i = 0; i < LB_MAX_OPERANDS; i++)
            if (made[i]) args->t[i] = s->native.t[i];
        commit(p, s, step);
    }
    for (int i = 0; i < LB_MAX_OPERANDS; i++)
        if (made[i]) lb_tensor_release(made[i]);
    return st;
}

/* ---- appending ---- */

static lb_status copy_lists(lb_plan *p, const lb_step *from, lb_step *s) {
    for (int i = 0; i < LB_MAX_OPERANDS; i++) {
        const lb_operand *n = &from->native.t[i], *l = &from->launch.t[i];
        if (!n->count) continue;
        lb_list *native = NULL, *launch = NULL;
        bool created = false;
        lb_status st = lb_plan_intern(p, n->items, n->count, &native, NULL);
        if (!st) st = lb_plan_intern(p, l->items, l->count, &launch, &created);
        for (int32_t j = 0; j < n->count && !st && created; j++)
            if (n->items[j] != l->items[j]) st = note_repacked(p, s->op, n->items[j], l->items[j], 0);
        if (st) return st;
        s->native.t[i] = (lb_operand){ native->items, native->count };
        s->launch.t[i] = (lb_operand){ launch->items, launch->count };
    }
    return LB_OK;
}

static lb_status append_step(lb_plan *p, const lb_step *from, const lb_ref *when) {
    lb_step *s = NULL;
    bool more = when && when->tensor;
    if (from->when_count + more > LB_MAX_WHENS)
        return lb_fail(LB_EINVAL, "%s: a step can hang on at most %d `when`s", from->op->name, LB_MAX_WHENS);
    lb_status st = lb_plan_reserve(p, &s);
    if (st) return st;
    s->op = from->op;
    s->asked = from->asked;
    s->asked_native = from->asked_native;
    s->pick = from->pick;
    memcpy(s->whens, from->whens, sizeof s->whens);
    s->when_count = from->when_count;
    if (more) s->whens[s->when_count++] = *when;
    s->native = from->native;
    s->launch = from->launch;
    st = copy_lists(p, from, s);
    if (!st) st = check_writes(p, s);
    if (!st && from->label && !(s->label = strdup(from->label))) st = lb_fail(LB_ENOMEM, "no memory for a label");
    if (!st) {
        s->choice = from->choice;
        s->choice->refs++;
        st = lb_flow_step(p, s);
    }
    if (st) return step_drop(s), st;
    commit(p, s, NULL);
    return LB_OK;
}

lb_status lb_plan_append(lb_plan *p, const lb_plan *other, const lb_ref *when) {
    if (p == other) return lb_fail(LB_EINVAL, "plan: a plan cannot be appended to itself");
    if (p->pool != other->pool)
        return lb_fail(LB_EINVAL, "plan: cannot append a plan for %s with %d threads to one for %s with %d",
                       lb_device_name(other->device), other->threads, lb_device_name(p->device), p->threads);
    if (when) {
        static const lb_op self = { .name = "append" };
        lb_status st = check_ref(p, &self, "when", when);
        if (st) return st;
    }
    p->repack_ns += other->repack_ns;
    for (int i = 0; i < other->step_count; i++) {
        lb_status st = append_step(p, &other->steps[i], when);
        if (st) return lb_fail_in(st, "plan: appending step %d", i + 1);
    }
    return LB_OK;
}
