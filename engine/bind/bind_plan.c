/* bind_plan.c: the plan object: recording, running, outputs. What a plan did is in bind_plan_info.c. */
#include <string.h>

#include "../check.h"
#include "bind_call.h"
#include "bind_plan.h"

static void release(void *object) { lb_plan_release(object); }

static lb_plan *check_plan(lua_State *L, int arg) { return bind_check(L, arg, &bind_plan); }

/* ---- recording ---------------------------------------------------------------------------------------------- */

/* lb.plan([device]) */
static int new_plan(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    void **box = bind_box(L, &bind_plan);
    BIND_TRY(L, lb_plan_new(d, (lb_plan **)box));
    return 1;
}

static void add(lua_State *L, lb_plan *p, bind_call *call) {
    int step = 0;
    lb_operand given[LB_MAX_OPERANDS];
    memcpy(given, call->args.t, sizeof given);
    lb_status s = lb_plan_add(p, call->args.op, &call->args, &call->opts, &step);
    if (s == LB_ENOMEM) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        memcpy(call->args.t, given, sizeof given);
        s = lb_plan_add(p, call->args.op, &call->args, &call->opts, &step);
    }
    if (s) bind_raise(L, s);
    for (int i = 0; i < LB_MAX_OPERANDS; i++) {
        if (given[i].count == 0 && call->args.t[i].count == 1)
            bind_pressure(L, lb_tensor_size_bytes(call->args.t[i].items[0]));
    }
}

/* plan:<op>{ operands, params, kernel=, when=, pick=, label=, native= }; upvalue: the op's keys. Returns the plan. */
static int record(lua_State *L) {
    const bind_keys *keys = lua_touserdata(L, lua_upvalueindex(1));
    bind_call call;
    lb_plan *p = check_plan(L, 1);
    bind_read_call(L, 2, keys, NULL, &call);
    add(L, p, &call);
    lua_settop(L, 1);
    return 1;
}

/* plan:call(kernel, args): records the kernel's operation with that kernel. Upvalue: table op name -> keys. */
static int call_kernel(lua_State *L) {
    lb_plan *p = check_plan(L, 1);
    const lb_kernel *k = NULL;
    if (bind_is(L, 2, &bind_kernel)) k = bind_check(L, 2, &bind_kernel);
    else BIND_TRY(L, lb_kernel_find(bind_string(L, 2, "kernel"), &k));
    lua_getfield(L, LUA_REGISTRYINDEX, "luabench.opkeys");
    lua_getfield(L, -1, k->op);
    const bind_keys *keys = lua_touserdata(L, -1);
    if (!keys) return luaL_error(L, "kernel %s does an unknown operation '%s'", k->name, k->op);
    bind_call call;
    bind_read_call(L, 3, keys, k, &call);
    add(L, p, &call);
    lua_settop(L, 1);
    return 1;
}

/* plan:append(other[, { when = { tensor, index } }]): records the other plan's steps here. Returns the plan. */
static int append(lua_State *L) {
    static const char *const names[] = { "when", NULL };
    lb_plan *p = check_plan(L, 1), *other = check_plan(L, 2);
    lb_ref when = { 0 };
    bind_check_keys(L, 3, "plan:append", names);
    if (p == other) return luaL_error(L, "plan:append: a plan cannot be appended to itself");
    if (lua_istable(L, 3)) {
        lua_getfield(L, 3, "when");
        if (lua_istable(L, -1)) {
            int at = lua_gettop(L);
            lua_rawgeti(L, at, 1);
            when.tensor = bind_check_value(L, at + 1, &bind_tensor, "when");
            lua_rawgeti(L, at, 2);
            int64_t n = lb_tensor_numel(when.tensor);
            if (n < 1) return luaL_error(L, "when: the tensor is empty");
            when.index = lua_isnil(L, -1) ? 0 : bind_integer(L, at + 2, "when: index", 1, n) - 1;
        } else if (!lua_isnil(L, -1)) {
            return luaL_error(L, "when: { i32 tensor, index } expected, got %s", bind_type_name(L, -1));
        }
    }
    lb_status s = lb_plan_append(p, other, &when);
    if (s) bind_raise(L, s);
    lua_settop(L, 1);
    return 1;
}

/* ---- running ------------------------------------------------------------------------------------------------ */

/* plan:run(): every step once. Returns the plan. */
static int run(lua_State *L) {
    lb_status s = lb_plan_run(check_plan(L, 1));
    if (s) bind_raise(L, s);
    lua_settop(L, 1);
    return 1;
}

/* plan:submit([n]): runs n times in C; returns the time of the whole loop in ns and the launches counted. */
static int submit(lua_State *L) {
    lb_plan *p = check_plan(L, 1);
    int64_t n = lua_isnoneornil(L, 2) ? 1 : bind_integer(L, 2, "n", 1, BIND_INT_MAX);
    uint64_t ns = 0, launches = 0;
    /* in parts, so that Ctrl-C is seen between them */
    while (n > 0) {
        int64_t part = n < 1 << 16 ? n : 1 << 16;
        uint64_t part_ns = 0, part_launches = 0;
        lb_status s = lb_plan_replay(p, part, &part_ns, &part_launches);
        if (s) bind_raise(L, s);
        ns += part_ns;
        launches += part_launches;
        n -= part;
        if (lb_interrupted) return luaL_error(L, "interrupted");
    }
    lua_pushnumber(L, (double)ns);
    lua_pushnumber(L, (double)launches);
    return 2;
}

/* ---- outputs ------------------------------------------------------------------------------------------------ */

static int step_at(lua_State *L, int arg, const lb_plan *p) {
    int n = lb_plan_steps(p);
    if (n == 0) luaL_error(L, "the plan has no steps yet");
    int64_t i = lua_isnoneornil(L, arg) ? n : bind_integer(L, arg, "step", -n, n);
    if (i < 0) i += n + 1;
    if (i < 1) luaL_error(L, "step: 1 to %d expected, got 0", n);
    return (int)i - 1;
}

static bool writes(lb_role r) { return r == LB_WRITE || r == LB_PARTIAL || r == LB_UPDATE; }

static void push_outputs(lua_State *L, const lb_plan *p, int step) {
    lb_step_info info;
    BIND_TRY(L, lb_plan_step(p, step, &info));
    lua_newtable(L);
    const lb_op *op = info.args->op;
    for (int i = 0; op->operands && op->operands[i].name; i++) {
        if (!writes(op->operands[i].role) || info.args->t[i].count == 0) continue;
        bind_push_tensor(L, info.args->t[i].items[0]);
        lua_setfield(L, -2, op->operands[i].name);
    }
}

/* One output of a step: by name, or the only one. */
static int push_output(lua_State *L, const lb_plan *p, int step, const char *name) {
    lb_step_info info;
    BIND_TRY(L, lb_plan_step(p, step, &info));
    const lb_op *op = info.args->op;
    const char *names[LB_MAX_OPERANDS + 1];
    int n = 0, found = -1;
    for (int i = 0; op->operands && op->operands[i].name; i++) {
        if (!writes(op->operands[i].role) || info.args->t[i].count == 0) continue;
        names[n++] = op->operands[i].name;
        if (!name || strcmp(name, op->operands[i].name) == 0) found = i;
    }
    names[n] = NULL;
    if (name && found < 0) return bind_unknown(L, op->name, name, names);
    if (!name && n != 1) return luaL_error(L, "%s has %d outputs; name the one that is meant", op->name, n);
    bind_push_tensor(L, info.args->t[found].items[0]);
    return 1;
}

/* plan:out([step[, name]]): a tensor that a step writes; steps from 1, negative from the end, the last by default. */
static int out(lua_State *L) {
    const lb_plan *p = check_plan(L, 1);
    if (lua_type(L, 2) == LUA_TSTRING && lua_isnoneornil(L, 3)) {
        int n = lb_plan_steps(p);
        if (n == 0) return luaL_error(L, "the plan has no steps yet");
        return push_output(L, p, n - 1, lua_tostring(L, 2));
    }
    int step = step_at(L, 2, p);
    return push_output(L, p, step, lua_isnoneornil(L, 3) ? NULL : bind_string(L, 3, "name"));
}

/* plan:last([name]) */
static int last(lua_State *L) {
    const lb_plan *p = check_plan(L, 1);
    const char *name = lua_isnoneornil(L, 2) ? NULL : bind_string(L, 2, "name");
    lua_settop(L, 1);
    return push_output(L, p, step_at(L, 3, p), name);
}

/* plan:operands([step]): { name = tensor, or a list of them where a step picks one }; in their native layout. */
static int operands(lua_State *L) {
    const lb_plan *p = check_plan(L, 1);
    lb_step_info info;
    BIND_TRY(L, lb_plan_step(p, step_at(L, 2, p), &info));
    const lb_op *op = info.args->op;
    lua_newtable(L);
    for (int i = 0; op->operands && op->operands[i].name; i++) {
        int32_t n = info.args->t[i].count;
        if (n == 0) continue;
        if (n == 1) {
            bind_push_tensor(L, info.args->t[i].items[0]);
        } else {
            lua_createtable(L, n, 0);
            for (int32_t j = 0; j < n; j++) {
                bind_push_tensor(L, info.args->t[i].items[j]);
                lua_rawseti(L, -2, j + 1);
            }
        }
        lua_setfield(L, -2, op->operands[i].name);
    }
    return 1;
}

static void push_all_outputs(lua_State *L, void *o) {
    const lb_plan *p = o;
    int n = lb_plan_steps(p);
    if (n == 0) lua_newtable(L);
    else push_outputs(L, p, n - 1);
}

static void push_device(lua_State *L, void *o) { bind_push_device(L, lb_device_retain(lb_plan_device(o))); }

static int length(lua_State *L) {
    lua_pushinteger(L, lb_plan_steps(check_plan(L, 1)));
    return 1;
}

/* ---- the class ---------------------------------------------------------------------------------------------- */

static const luaL_Reg own[] = { { "call", call_kernel }, { "append", append }, { "run", run }, { "submit", submit },
                                { "out", out },          { "last", last },
                                { "operands", operands }, { NULL, NULL } };
static const luaL_Reg meta[] = { { "__len", length }, { "__tostring", bind_plan_tostring }, { NULL, NULL } };
static const bind_field fields[] = { { "outputs", push_all_outputs }, { "device", push_device }, { NULL, NULL } };
static luaL_Reg all[128];
const bind_class bind_plan = { "plan", release, all, meta, fields };

/* Methods of this file, of bind_plan_info.c, and one per operation. */
static void list_methods(void) {
    size_t n = 0, room = sizeof all / sizeof *all - 1;
    for (const luaL_Reg *m = own; m->name && n < room; m++) all[n++] = *m;
    for (const luaL_Reg *m = bind_plan_info_methods; m->name && n < room; m++) all[n++] = *m;
    for (int i = 0; lb_ops[i] && n < room; i++) all[n++] = (luaL_Reg){ lb_ops[i]->name, record };
    all[n] = (luaL_Reg){ NULL, NULL };
}

void bind_open_plan(lua_State *L) {
    list_methods();
    bind_class_register(L, &bind_plan);
    lua_newtable(L);                                            /* op name -> keys */
    int keys = lua_gettop(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&bind_plan);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_getfield(L, -1, "methods");
    /* closures with their keys replace the plain functions */
    for (int i = 0; lb_ops[i]; i++) {
        bind_push_keys(L, lb_ops[i]);
        lua_pushvalue(L, -1);
        lua_setfield(L, keys, lb_ops[i]->name);
        lua_pushcclosure(L, record, 1);
        lua_setfield(L, -2, lb_ops[i]->name);
    }
    lua_settop(L, keys);
    lua_setfield(L, LUA_REGISTRYINDEX, "luabench.opkeys");
    lua_pushcfunction(L, new_plan);
    lua_setfield(L, -2, "plan");
}
