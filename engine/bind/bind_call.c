/* bind_call.c: reads an operation's table of arguments. On the way of every eager call, so that keys are compared by
 * address and nothing is allocated for single tensors. */
#include "bind_call.h"

#include <stdio.h>
#include <string.h>

static const char *intern(lua_State *L, int anchor, const char *text) {
    lua_pushstring(L, text);
    const char *p = lua_tostring(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, anchor);
    return p;
}

bind_keys *bind_push_keys(lua_State *L, const lb_op *op) {
    bind_keys *k = lua_newuserdata(L, sizeof *k);
    int at = lua_gettop(L);
    memset(k, 0, sizeof *k);
    k->op = op;
    lua_newtable(L);
    int anchor = lua_gettop(L);
    for (; op->operands && op->operands[k->operands].name; k->operands++)
        k->operand[k->operands] = intern(L, anchor, op->operands[k->operands].name);
    for (; op->params && op->params[k->params].name; k->params++)
        k->param[k->params] = intern(L, anchor, op->params[k->params].name);
    k->kernel = intern(L, anchor, "kernel");
    k->when = intern(L, anchor, "when");
    k->pick = intern(L, anchor, "pick");
    k->label = intern(L, anchor, "label");
    k->native = intern(L, anchor, "native");
    lua_setfenv(L, at);       /* a userdata's environment keeps the strings alive */
    return k;
}

static void read_list(lua_State *L, const bind_keys *keys, int slot, int value, bind_call *out) {
    const lb_operand_spec *spec = &keys->op->operands[slot];
    char what[96];
    if (!spec->list) {
        luaL_error(L, "operand %s of %s: one tensor expected, got a table (%s)", spec->name, keys->op->name,
                   spec->about);
    }
    size_t n = lua_objlen(L, value);
    if (n < 1 || n > 1 << 20)
        luaL_error(L, "operand %s of %s: the list of tensors is empty", spec->name, keys->op->name);
    lb_tensor **items = lua_newuserdata(L, n * sizeof *items);
    for (size_t i = 0; i < n; i++) {
        snprintf(what, sizeof what, "operand %.20s[%d] of %.20s", spec->name, (int)i + 1, keys->op->name);
        lua_rawgeti(L, value, (int)i + 1);
        items[i] = bind_check_value(L, lua_gettop(L), &bind_tensor, what);
        lua_pop(L, 1);
    }
    lua_insert(L, value - 1);       /* below key and value: anchored while the call lasts */
    out->args.t[slot] = (lb_operand){ items, (int32_t)n };
}

/* { tensor, index } with an index from 1 */
static void read_ref(lua_State *L, const bind_keys *keys, const char *name, int value, lb_ref *out) {
    char what[96];
    snprintf(what, sizeof what, "%.10s of %.40s", name, keys->op->name);
    if (bind_is(L, value, &bind_tensor)) {
        out->tensor = bind_check_value(L, value, &bind_tensor, what);
        out->index = 0;
        return;
    }
    if (!lua_istable(L, value))
        luaL_error(L, "%s: { i32 tensor, index } expected, got %s", what, bind_type_name(L, value));
    lua_rawgeti(L, value, 1);
    out->tensor = bind_check_value(L, lua_gettop(L), &bind_tensor, what);
    lua_rawgeti(L, value, 2);
    int64_t n = lb_tensor_numel(out->tensor);
    if (n < 1) luaL_error(L, "%s: the tensor is empty", what);
    out->index = lua_isnil(L, -1) ? 0 : bind_integer(L, lua_gettop(L), what, 1, n) - 1;
    lua_pop(L, 2);
}

static void read_option(lua_State *L, const bind_keys *keys, const char *key, const lb_kernel *fixed, int value,
                        bind_call *out) {
    if (key == keys->kernel && !fixed) {
        if (bind_is(L, value, &bind_kernel)) out->opts.kernel = bind_check_value(L, value, &bind_kernel, "kernel");
        else BIND_TRY(L, lb_kernel_find(bind_string(L, value, "kernel"), &out->opts.kernel));
    } else if (key == keys->when) {
        read_ref(L, keys, "when", value, &out->opts.when);
    } else if (key == keys->pick) {
        read_ref(L, keys, "pick", value, &out->opts.pick);
    } else if (key == keys->label) {
        out->opts.label = bind_string(L, value, "label");
    } else if (key == keys->native) {
        if (!lua_isboolean(L, value)) luaL_error(L, "native: true or false expected, got %s", bind_type_name(L, value));
        out->opts.native_layout = lua_toboolean(L, value);
    } else {
        const char *names[LB_MAX_OPERANDS + LB_MAX_PARAMS + 6];
        int n = 0;
        for (int i = 0; i < keys->operands; i++) names[n++] = keys->operand[i];
        for (int i = 0; i < keys->params; i++) names[n++] = keys->param[i];
        if (!fixed) names[n++] = "kernel";
        names[n++] = "when";
        names[n++] = "pick";
        names[n++] = "label";
        names[n++] = "native";
        names[n] = NULL;
        bind_unknown(L, keys->op->name, key, names);
    }
}

/* A parameter given by name: false if it takes numbers. */
static bool read_choice(lua_State *L, const lb_op *op, int param, int value, double *out) {
    const char *const *names = lb_op_choices(op, param), *name = lua_tostring(L, value);
    char what[96];
    if (!names) return false;
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], name)) continue;
        *out = i;
        return true;
    }
    snprintf(what, sizeof what, "parameter %.30s of %.30s", op->params[param].name, op->name);
    bind_unknown(L, what, name, names);
    return true;
}

static void read_entry(lua_State *L, const bind_keys *keys, const lb_kernel *fixed, int tensor_mt, bind_call *out) {
    int value = lua_gettop(L);
    if (lua_type(L, value - 1) != LUA_TSTRING) {
        luaL_error(L, "%s takes named operands, as in %s{ %s = ... }; got a %s as a key", keys->op->name,
                   keys->op->name,
                   keys->operands ? keys->operand[0] : "label", bind_type_name(L, value - 1));
    }
    const char *key = lua_tostring(L, value - 1);
    for (int i = 0; i < keys->operands; i++) {
        if (key != keys->operand[i]) continue;
        if (lua_type(L, value) == LUA_TTABLE) {
            read_list(L, keys, i, value, out);
            return;
        }
        lb_tensor *t = NULL;
        if (lua_type(L, value) == LUA_TUSERDATA && lua_getmetatable(L, value)) {
            if (lua_rawequal(L, -1, tensor_mt)) t = *(void **)lua_touserdata(L, value);
            lua_pop(L, 1);
        }
        if (!t) {
            char what[96];
            snprintf(what, sizeof what, "operand %.30s of %.30s", key, keys->op->name);
            t = bind_check_value(L, value, &bind_tensor, what);
        }
        out->single[i] = t;
        out->args.t[i] = (lb_operand){ &out->single[i], 1 };
        return;
    }
    for (int i = 0; i < keys->params; i++) {
        if (key != keys->param[i]) continue;
        if (lua_type(L, value) == LUA_TSTRING && read_choice(L, keys->op, i, value, &out->args.p[i])) return;
        out->args.p[i] = lua_isboolean(L, value) ? (double)lua_toboolean(L, value) : bind_number(L, value, key);
        if (out->args.p[i] != out->args.p[i]) luaL_error(L, "parameter %s of %s is NaN", key, keys->op->name);
        return;
    }
    read_option(L, keys, key, fixed, value, out);
}

void bind_read_call(lua_State *L, int table, const bind_keys *keys, const lb_kernel *fixed, bind_call *out) {
    if (lua_type(L, table) != LUA_TTABLE) {
        luaL_error(L, "%s takes one table of operands, got %s", keys->op->name, bind_type_name(L, table));
    }
    luaL_checkstack(L, LB_MAX_OPERANDS + 24, "too many operands");
    memset(&out->args, 0, sizeof out->args);
    out->opts = (lb_step_opts){ .kernel = fixed };
    out->args.op = keys->op;
    for (int i = 0; i < keys->params; i++) out->args.p[i] = keys->op->params[i].value;
    lua_pushlightuserdata(L, (void *)(uintptr_t)&bind_tensor);
    lua_rawget(L, LUA_REGISTRYINDEX);
    int tensor_mt = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        read_entry(L, keys, fixed, tensor_mt, out);
        lua_pop(L, 1);
    }
    for (int i = 0; i < keys->params; i++) {
        if (!keys->op->params[i].required) continue;
        lua_pushstring(L, keys->param[i]);
        lua_rawget(L, table);
        if (lua_isnil(L, -1)) {
            luaL_error(L, "%s needs the parameter %s (%s)", keys->op->name, keys->param[i], keys->op->params[i].about);
        }
        lua_pop(L, 1);
    }
    for (int i = 0; i < keys->operands; i++) {
        const lb_operand_spec *s = &keys->op->operands[i];
        if (out->args.t[i].count == 0 && !s->optional && s->role != LB_WRITE) {
            luaL_error(L, "%s needs the operand %s: %s", keys->op->name, s->name, s->about);
        }
    }
}
