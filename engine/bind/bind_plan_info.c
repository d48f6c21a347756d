/* bind_plan_info.c: what a plan holds and did: steps, account, check, rotation, snapshots. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../registry.h"
#include "../selection.h"
#include "bind_plan.h"

static lb_plan *check_plan(lua_State *L, int arg) { return bind_check(L, arg, &bind_plan); }

static void set_optional(lua_State *L, const char *key, const char *text) {
    if (text) bind_set_string(L, key, text);
}

/* Operands of a step as text: { x = "f32[1, 2048]", w = "64 x q3_k[1536, 2048]" }. */
static void push_operands(lua_State *L, const lb_args *a) {
    lua_newtable(L);
    for (int i = 0; a->op->operands && a->op->operands[i].name; i++) {
        if (a->t[i].count == 0) continue;
        char text[160];
        lb_tensor_describe(a->t[i].items[0], text, sizeof text);
        if (a->t[i].count > 1) lua_pushfstring(L, "%d x %s", (int)a->t[i].count, text);
        else lua_pushstring(L, text);
        lua_setfield(L, -2, a->op->operands[i].name);
    }
}

/* A number, or its name where the parameter has names. */
static void push_param(lua_State *L, const lb_args *a, int i) {
    const char *const *names = lb_op_choices(a->op, i);
    if (names) bind_set_string(L, a->op->params[i].name, names[(int)a->p[i]]);
    else bind_set_number(L, a->op->params[i].name, a->p[i]);
}

/* plan:steps(): { { op, kernel, label, why, items, barrier, operands = {...}, params = {...} }, ... }; why: the kernel
 * was chosen; items: how many the step picks among, absent where it picks none. */
static int steps(lua_State *L) {
    const lb_plan *p = check_plan(L, 1);
    int n = lb_plan_steps(p);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lb_step_info info;
        BIND_TRY(L, lb_plan_step(p, i, &info));
        lua_newtable(L);
        bind_set_string(L, "op", info.op);
        set_optional(L, "kernel", info.kernel);
        set_optional(L, "label", info.label);
        set_optional(L, "why", info.why);
        if (info.items) bind_set_number(L, "items", info.items);
        bind_set_boolean(L, "barrier", info.barrier_before);
        push_operands(L, info.args);
        lua_setfield(L, -2, "operands");
        lua_newtable(L);
        const lb_param_spec *spec = info.args->op->params;
        for (int k = 0; spec && spec[k].name; k++) push_param(L, info.args, k);
        lua_setfield(L, -2, "params");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* plan:candidates(step[, item]): every kernel of the step's operation, for the item that it picks: { { kernel,
 * priority, fits, why }, ... }; and the form of the operands (selection.h). */
static int candidates(lua_State *L) {
    const lb_plan *p = check_plan(L, 1);
    lb_step_info info;
    int steps_there = lb_plan_steps(p);
    if (steps_there == 0) return luaL_error(L, "plan:candidates: the plan has no steps");
    int step = (int)bind_integer(L, 2, "step", 1, steps_there);
    BIND_TRY(L, lb_plan_step(p, step - 1, &info));
    int item = lua_isnoneornil(L, 3) ? 1 : (int)bind_integer(L, 3, "item", 1, info.items > 1 ? info.items : 1);
    lb_args a = info.items > 1 ? lb_plan_item_view(info.args, item - 1) : *info.args;
    lua_newtable(L);
    for (int i = 0, n = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        const char *why = NULL;
        if (strcmp(k->op, info.op) != 0) continue;
        bool fits = lb_kernel_fits(k, lb_plan_device(p), &a, &why);
        if (fits && info.native && (k->layout || k->panel_weights))
            fits = false, why = "reads repacked weights, and native ones were asked for";
        lua_newtable(L);
        bind_set_string(L, "kernel", k->name);
        bind_set_number(L, "priority", k->priority);
        bind_set_boolean(L, "fits", fits);
        bind_set_boolean(L, "loaded", !lb_kernel_is_builtin(k));
        if (!fits) set_optional(L, "why", why);
        lua_rawseti(L, -2, ++n);
    }
    char form[LB_FORM_BYTES];
    lb_selection_form(&a, info.native, form);
    lua_pushstring(L, form);
    return 2;
}

/* { { least distance, bytes }, ... }, ascending. */
static void push_distances(lua_State *L, const double *buckets, const char *key) {
    int n = 0;
    lua_newtable(L);
    for (int i = 0; i < LB_REUSE_BUCKETS; i++) {
        if (buckets[i] <= 0) continue;
        lua_createtable(L, 2, 0);
        lua_pushnumber(L, exp2((double)i / LB_REUSE_PER_OCTAVE));
        lua_rawseti(L, -2, 1);
        lua_pushnumber(L, buckets[i]);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, key);
}

static void push_account(lua_State *L, const lb_account *a) {
    lua_newtable(L);
    lua_createtable(L, a->path_count, 0);
    for (int i = 0; i < a->path_count; i++) {
        lua_newtable(L);
        bind_set_string(L, "op", a->path[i].op);
        set_optional(L, "kernel", a->path[i].kernel);
        set_optional(L, "why", a->path[i].why);
        bind_set_number(L, "launches", (double)a->path[i].launches);
        bind_set_number(L, "weight_bytes", a->path[i].weight_bytes);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "path");
    lua_newtable(L);
    for (int i = 0; i < LB_COMPUTE_COUNT; i++)
        if (a->flops_by[i] > 0) bind_set_number(L, lb_compute_name((lb_compute)i), a->flops_by[i]);
    lua_setfield(L, -2, "flops_by");
    bind_set_number(L, "launches", (double)a->launches);
    bind_set_number(L, "flops", a->flops);
    bind_set_number(L, "bytes_streamed", a->bytes_streamed);
    bind_set_number(L, "bytes_min", a->bytes_min);
    bind_set_number(L, "weight_bytes", a->weight_bytes);
    bind_set_number(L, "weight_bytes_streamed", a->weight_bytes_streamed);
    bind_set_number(L, "weights_touched", (double)a->weights_touched);
    bind_set_number(L, "act_bytes", a->act_bytes);
    push_distances(L, a->reuse_bytes, "reuse");
    push_distances(L, a->first_bytes, "first");
}

static void account_done(void *block) { lb_account_done(block); }

/* plan:account(): runs the plan once and counts: launches by kernel, flops, bytes; who reads conditions on a GPU. */
static int account(lua_State *L) {
    lb_plan *p = check_plan(L, 1);
    lb_account *a = bind_guard(L, sizeof *a, account_done);
    char conditions[400];
    BIND_TRY(L, lb_plan_account(p, a));
    BIND_TRY(L, lb_plan_conditions(p, false, conditions, sizeof conditions));
    push_account(L, a);
    if (*conditions) bind_set_string(L, "conditions", conditions);
    bind_guard_done(L, -2);
    return 1;
}

void bind_push_check(lua_State *L, const lb_check *c) {
    lua_newtable(L);
    bind_set_boolean(L, "passed", c->passed);
    bind_set_number(L, "steps_checked", (double)c->steps_checked);
    bind_set_number(L, "steps_skipped", (double)c->steps_skipped);
    bind_set_number(L, "step", c->step + 1);
    bind_set_string(L, "op", c->op);
    bind_set_string(L, "kernel", c->kernel);
    bind_set_string(L, "what", c->what);
    bind_set_string(L, "label", c->label);
    bind_set_known(L, "nmse", c->diff.nmse);
    bind_set_known(L, "max_abs", c->diff.max_abs);
    bind_set_known(L, "cosine", c->diff.cosine);
    bind_set_number(L, "compared", (double)c->diff.compared);
    bind_set_number(L, "nonfinite", (double)c->diff.nonfinite);
    if (c->diff.worst >= 0) bind_set_number(L, "worst", (double)c->diff.worst + 1);
    bind_set_number(L, "tolerance", c->tolerance);
    bind_set_string(L, "reason", c->reason);
}

/* plan:check(): every step against f64 on the operands that it saw. A failed check is a result, not an error. */
static int check(lua_State *L) {
    lb_check c;
    memset(&c, 0, sizeof c);
    c.diff.worst = -1;
    BIND_TRY(L, lb_plan_check(check_plan(L, 1), &c));
    bind_push_check(L, &c);
    return 1;
}

/* plan:snapshot([what]): "updates" keeps operands that are updated in place constant from now on; "outputs" copies
 * what the plan wrote, for plan:verify(). Both by default. */
static int snapshot(lua_State *L) {
    lb_plan *p = check_plan(L, 1);
    const char *what = lua_isnoneornil(L, 2) ? "both" : bind_string(L, 2, "what");
    bool both = strcmp(what, "both") == 0;
    if (!both && strcmp(what, "updates") != 0 && strcmp(what, "outputs") != 0) {
        return luaL_error(L, "plan:snapshot: \"updates\" or \"outputs\" expected, got \"%s\"", what);
    }
    if (both || strcmp(what, "updates") == 0) BIND_TRY(L, lb_plan_snapshot_updates(p));
    if (both || strcmp(what, "outputs") == 0) BIND_TRY(L, lb_plan_snapshot_outputs(p));
    lua_settop(L, 1);
    return 1;
}

/* plan:verify(): are the outputs, bit for bit, those of the snapshot? */
static int verify(lua_State *L) {
    lb_check c;
    memset(&c, 0, sizeof c);
    c.diff.worst = -1;
    BIND_TRY(L, lb_plan_verify_outputs(check_plan(L, 1), &c));
    bind_push_check(L, &c);
    return 1;
}

/* plan:rotate([cache]): "weights-cold" (default), "all-cold", or "hot" to undo. */
static int rotate(lua_State *L) {
    lb_plan *p = check_plan(L, 1);
    const char *name = lua_isnoneornil(L, 2) ? "weights-cold" : bind_string(L, 2, "cache");
    lb_cache cache;
    lb_rotation r;
    memset(&r, 0, sizeof r);
    if (!lb_cache_parse(name, &cache)) {
        return luaL_error(L, "cache: \"hot\", \"weights-cold\" or \"all-cold\" expected, got \"%s\"", name);
    }
    BIND_TRY(L, lb_plan_rotate(p, cache, &r));
    lua_newtable(L);
    bind_set_number(L, "sets", r.sets);
    bind_set_number(L, "touched_bytes", r.touched_bytes);
    bind_set_number(L, "copied_bytes", r.copied_bytes);
    bind_set_boolean(L, "capped", r.capped);
    return 1;
}

/* plan:submit_eager([n]): as submit, but every step is handed to the pool on its own. */
static int submit_eager(lua_State *L) {
    lb_plan *p = check_plan(L, 1);
    int64_t n = lua_isnoneornil(L, 2) ? 1 : bind_integer(L, 2, "n", 1, (int64_t)1 << 40);
    uint64_t total_ns = 0, total = 0;
    for (; n > 0; n -= 1 << 14) {
        uint64_t ns = 0, launches = 0;
        lb_status s = lb_plan_replay_eager(p, n < 1 << 14 ? n : 1 << 14, &ns, &launches);
        if (s) return bind_raise(L, s);
        total_ns += ns;
        total += launches;
        if (lb_interrupted) return luaL_error(L, "interrupted");
    }
    lua_pushnumber(L, (double)total_ns);
    lua_pushnumber(L, (double)total);
    return 2;
}

int bind_plan_tostring(lua_State *L) {
    const lb_plan *p = bind_peek(L, 1, &bind_plan);
    if (!p) return lua_pushliteral(L, "plan (closed)"), 1;
    int n = lb_plan_steps(p);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    lua_pushfstring(L, "plan on %s, %d step%s", lb_device_name(lb_plan_device(p)), n, n == 1 ? "" : "s");
    luaL_addvalue(&b);
    for (int i = 0; i < n && i < 12; i++) {
        lb_step_info info;
        if (lb_plan_step(p, i, &info)) break;
        char line[256];
        snprintf(line, sizeof line, "\n %3d  %s  %s%s%s", i + 1, info.op,
                 info.kernel ? info.kernel : "(kernel by item)",
                 info.label ? "  " : "", info.label ? info.label : "");
        luaL_addstring(&b, line);
    }
    if (n > 12) luaL_addstring(&b, "\n      ...");
    luaL_pushresult(&b);
    return 1;
}

const luaL_Reg bind_plan_info_methods[] = {
    { "steps", steps }, { "candidates", candidates }, { "account", account }, { "check", check },
    { "snapshot", snapshot }, { "verify", verify },
    { "rotate", rotate }, { "submit_eager", submit_eager }, { NULL, NULL } };
