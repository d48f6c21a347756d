/* bind.c: object boxes, argument checks and errors of the Lua binding. */
#include "bind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- classes ------------------------------------------------------------------------------------------------ */

static void push_metatable(lua_State *L, const bind_class *c) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

bool bind_is(lua_State *L, int index, const bind_class *c) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return false;
    push_metatable(L, c);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

const char *bind_type_name(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        lua_pushliteral(L, "__name");
        lua_rawget(L, -2);
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        lua_pop(L, 2);
        if (name) return name;   /* anchored by the metatable */
    }
    return lua_type(L, index) == LUA_TNONE ? "nothing" : luaL_typename(L, index);
}

void *bind_check(lua_State *L, int arg, const bind_class *c) {
    if (!bind_is(L, arg, c)) {
        const char *got = bind_type_name(L, arg);
        luaL_argerror(L, arg, lua_pushfstring(L, "%s expected, got %s", c->name, got));
    }
    void *object = *(void **)lua_touserdata(L, arg);
    if (!object) luaL_argerror(L, arg, lua_pushfstring(L, "the %s is closed", c->name));
    return object;
}

void *bind_peek(lua_State *L, int arg, const bind_class *c) {
    return bind_is(L, arg, c) ? *(void **)lua_touserdata(L, arg) : bind_check(L, arg, c);
}

void *bind_check_value(lua_State *L, int index, const bind_class *c, const char *what) {
    if (!bind_is(L, index, c)) {
        luaL_error(L, "%s: %s expected, got %s", what, c->name, bind_type_name(L, index));
    }
    void *object = *(void **)lua_touserdata(L, index);
    if (!object) luaL_error(L, "%s: the %s is closed", what, c->name);
    return object;
}

void **bind_box(lua_State *L, const bind_class *c) {
    luaL_checkstack(L, 4, "too many values");
    void **box = lua_newuserdata(L, sizeof *box);
    *box = NULL;
    push_metatable(L, c);
    lua_setmetatable(L, -2);
    return box;
}

static const bind_class *class_upvalue(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* close() and __gc: releases once; any later call does nothing. */
static int class_close(lua_State *L) {
    const bind_class *c = class_upvalue(L);
    if (!bind_is(L, 1, c)) {
        return luaL_argerror(L, 1, lua_pushfstring(L, "%s expected, got %s", c->name, bind_type_name(L, 1)));
    }
    void **box = lua_touserdata(L, 1);
    void *object = *box;
    *box = NULL;
    if (object) c->release(object);
    return 0;
}

/* __index: upvalues class, methods table. */
static int class_index(lua_State *L) {
    const bind_class *c = class_upvalue(L);
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
    if (!lua_isnil(L, -1)) return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    for (const bind_field *f = c->fields; key && f && f->name; f++) {
        if (strcmp(f->name, key) == 0) {
            f->push(L, bind_check(L, 1, c));
            return 1;
        }
    }
    const char *names[128];
    int n = 0;
    for (const luaL_Reg *m = c->methods; m->name && n < 126; m++) names[n++] = m->name;
    for (const bind_field *f = c->fields; f && f->name && n < 126; f++) names[n++] = f->name;
    names[n++] = "close";
    names[n] = NULL;
    char what[64];
    strcpy(what, "a ");
    strncat(what, c->name, sizeof what - 3);
    if (!key) {
        return luaL_error(L, "%s is indexed by names, got a %s%s", what, bind_type_name(L, 2),
                          strcmp(c->name, "tensor") ? ""
                              : "; t:get(i, j, ...) gives an element, t:slice(dim, i, i) a row");
    }
    return bind_unknown(L, what, key, names);
}

static int class_newindex(lua_State *L) {
    const bind_class *c = class_upvalue(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : bind_type_name(L, 2);
    return luaL_error(L, "a %s's field '%s' cannot be assigned%s", c->name, key,
                      strcmp(c->name, "tensor") == 0 ? "; use t:set(i, j, ..., value)" : "");
}

static void set_functions(lua_State *L, const luaL_Reg *list) {
    for (; list && list->name; list++) {
        lua_pushcfunction(L, list->func);
        lua_setfield(L, -2, list->name);
    }
}

static void push_class_closure(lua_State *L, lua_CFunction f, const bind_class *c) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_pushcclosure(L, f, 1);
}

void bind_class_register(lua_State *L, const bind_class *c) {
    lua_newtable(L);                                  /* metatable */
    set_functions(L, c->meta);
    bind_set_string(L, "__name", c->name);
    push_class_closure(L, class_close, c);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__gc");
    lua_newtable(L);                                  /* methods */
    set_functions(L, c->methods);
    lua_insert(L, -2);
    lua_setfield(L, -2, "close");
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");                   /* for hot.lua and help; not reachable as a field */
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_insert(L, -2);
    lua_pushcclosure(L, class_index, 2);
    lua_setfield(L, -2, "__index");
    push_class_closure(L, class_newindex, c);
    lua_setfield(L, -2, "__newindex");
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_insert(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

static void push_names(lua_State *L, const luaL_Reg *list, const char *extra) {
    lua_newtable(L);
    int n = 0;
    for (; list && list->name; list++) {
        lua_pushstring(L, list->name);
        lua_rawseti(L, -2, ++n);
    }
    if (extra) {
        lua_pushstring(L, extra);
        lua_rawseti(L, -2, ++n);
    }
}

int bind_core_classes(lua_State *L) {
    static const bind_class *const all[] = { &bind_device, &bind_tensor, &bind_quantizer, &bind_kernel, &bind_plan,
                                             &bind_timer, &bind_sampler, &bind_process, &bind_model_file,
                                             &bind_model_writer, &bind_tokenizer, &bind_text_stream };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        lua_newtable(L);
        push_names(L, all[i]->methods, "close");
        lua_setfield(L, -2, "methods");
        push_names(L, all[i]->meta, NULL);
        lua_setfield(L, -2, "meta");
        lua_newtable(L);
        int n = 0;
        for (const bind_field *f = all[i]->fields; f && f->name; f++) {
            lua_pushstring(L, f->name);
            lua_rawseti(L, -2, ++n);
        }
        lua_setfield(L, -2, "fields");
        push_metatable(L, all[i]);
        lua_setfield(L, -2, "metatable");
        lua_setfield(L, -2, all[i]->name);
    }
    return 1;
}

/* ---- errors ------------------------------------------------------------------------------------------------- */

int bind_raise(lua_State *L, lb_status s) {
    const char *text = lb_error();
    if (s == LB_ENOMEM && !*text) text = "not enough memory";
    return luaL_error(L, "%s", *text ? text : lb_status_name(s));
}

void bind_push_hint(lua_State *L, const char *name, int list_index) {
    if (list_index < 0) list_index = lua_gettop(L) + list_index + 1;
    int top = lua_gettop(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "luabench.suggest");
    if (lua_isfunction(L, top + 1) && lua_pcall(L, 1, 1, 0) == 0 && lua_istable(L, -1)) {
        lua_getfield(L, -1, "hint");
        lua_pushstring(L, name);
        lua_pushvalue(L, list_index);
        if (lua_pcall(L, 2, 1, 0) == 0 && lua_isstring(L, -1)) {
            lua_replace(L, top + 1);
            lua_settop(L, top + 1);
            return;
        }
    }
    lua_settop(L, top);
    lua_pushliteral(L, "");
}

int bind_unknown(lua_State *L, const char *what, const char *name, const char *const *names) {
    lua_newtable(L);
    for (int i = 0; names[i]; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, i + 1);
    }
    bind_push_hint(L, name, -1);
    return luaL_error(L, "%s has no field '%s'%s", what, name, lua_tostring(L, -1));
}

void bind_check_keys(lua_State *L, int index, const char *what, const char *const *names) {
    if (lua_isnoneornil(L, index)) return;
    if (!lua_istable(L, index))
        luaL_error(L, "%s: a table of options expected, got %s", what, bind_type_name(L, index));
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "%s: option names are strings, got a %s", what, bind_type_name(L, -1));
        }
        const char *key = lua_tostring(L, -1);
        bool known = false;
        for (int i = 0; names[i] && !known; i++) known = strcmp(names[i], key) == 0;
        if (!known) bind_unknown(L, what, key, names);
    }
}

/* ---- guarded blocks ----------------------------------------------------------------------------------------- */

/* LuaJIT's userdata are aligned to 8 bytes, and so are blocks: none holds a type that wants more. */
typedef struct guard {
    void (*done)(void *block);
} guard;

static char guard_key;

static int guard_gc(lua_State *L) {
    bind_guard_done(L, 1);
    return 0;
}

void *bind_guard(lua_State *L, size_t bytes, void (*done)(void *block)) {
    luaL_checkstack(L, 6, "too many values");
    guard *g = lua_newuserdata(L, sizeof *g + bytes);
    memset(g, 0, sizeof *g + bytes);
    lua_pushlightuserdata(L, &guard_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushcfunction(L, guard_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushlightuserdata(L, &guard_key);
        lua_pushvalue(L, -2);
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
    lua_setmetatable(L, -2);
    g->done = done;
    return g + 1;
}

void bind_guard_done(lua_State *L, int index) {
    guard *g = lua_touserdata(L, index);
    void (*done)(void *) = g->done;
    g->done = NULL;
    if (done) done(g + 1);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

double bind_number(lua_State *L, int index, const char *name) {
    if (lua_type(L, index) != LUA_TNUMBER)
        luaL_error(L, "%s: a number expected, got %s", name, bind_type_name(L, index));
    return lua_tonumber(L, index);
}

int64_t bind_integer(lua_State *L, int index, const char *name, int64_t lo, int64_t hi) {
    double v = bind_number(L, index, name);
    if (!(v == floor(v)) || isinf(v)) luaL_error(L, "%s: a whole number expected, got %f", name, v);
    if (v < (double)lo || v > (double)hi) {
        luaL_error(L, "%s: a whole number from %f to %f expected, got %f", name, (double)lo, (double)hi, v);
    }
    return (int64_t)v;
}

const char *bind_string(lua_State *L, int index, const char *name) {
    if (lua_type(L, index) != LUA_TSTRING)
        luaL_error(L, "%s: a string expected, got %s", name, bind_type_name(L, index));
    return lua_tostring(L, index);
}

const char *bind_path(lua_State *L, int index, const char *name) {
    const char *text = bind_string(L, index, name);
    size_t length = lua_objlen(L, index);
    if (strlen(text) != length) luaL_error(L, "%s: a file name cannot contain a zero byte", name);
    if (length == 0) luaL_error(L, "%s: the file name is empty", name);
    return text;
}

/* Pushes the option and says whether it is there (nothing is pushed if not). */
static bool push_option(lua_State *L, int index, const char *name) {
    if (lua_isnoneornil(L, index)) return false;
    if (!lua_istable(L, index)) luaL_error(L, "a table of options expected, got %s", bind_type_name(L, index));
    lua_getfield(L, index, name);
    if (!lua_isnil(L, -1)) return true;
    lua_pop(L, 1);
    return false;
}

int64_t bind_opt_integer(lua_State *L, int index, const char *name, int64_t otherwise, int64_t lo, int64_t hi) {
    if (!push_option(L, index, name)) return otherwise;
    int64_t v = bind_integer(L, -1, name, lo, hi);
    lua_pop(L, 1);
    return v;
}

double bind_opt_number(lua_State *L, int index, const char *name, double otherwise) {
    if (!push_option(L, index, name)) return otherwise;
    double v = bind_number(L, -1, name);
    lua_pop(L, 1);
    return v;
}

bool bind_opt_boolean(lua_State *L, int index, const char *name, bool otherwise) {
    if (!push_option(L, index, name)) return otherwise;
    if (!lua_isboolean(L, -1)) luaL_error(L, "%s: true or false expected, got %s", name, bind_type_name(L, -1));
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

const char *bind_opt_string(lua_State *L, int index, const char *name) {
    if (!push_option(L, index, name)) return NULL;
    const char *v = bind_string(L, -1, name);
    lua_pop(L, 1);
    return v;
}

int bind_dims(lua_State *L, int index, const char *name, int64_t dims[LB_MAX_RANK]) {
    if (lua_type(L, index) == LUA_TNUMBER) {
        dims[0] = bind_integer(L, index, name, 0, BIND_INT_MAX);
        return 1;
    }
    if (!lua_istable(L, index)) {
        luaL_error(L, "%s: a table of dims like { 2, 3 } expected, got %s", name, bind_type_name(L, index));
    }
    size_t rank = lua_objlen(L, index);
    if (rank < 1 || rank > LB_MAX_RANK)
        luaL_error(L, "%s: 1 to %d dims expected, got %d", name, LB_MAX_RANK, (int)rank);
    for (size_t i = 0; i < rank; i++) {
        char what[96];
        lua_rawgeti(L, index, (int)i + 1);
        snprintf(what, sizeof what, "%.60s[%d]", name, (int)i + 1);
        dims[i] = bind_integer(L, -1, what, -1, BIND_INT_MAX);
        lua_pop(L, 1);
    }
    return (int)rank;
}

/* ---- native memory ------------------------------------------------------------------------------------------ */

void bind_pressure(lua_State *L, size_t bytes) {
    static size_t since, limit = (size_t)256 << 20;   /* one Lua state a process */
    since += bytes;
    if (since < limit) return;
    lua_gc(L, LUA_GCCOLLECT, 0);
    since = 0;
    int64_t live = lb_memory_now();
    limit = (size_t)(live / 2 > ((int64_t)256 << 20) ? live / 2 : ((int64_t)256 << 20));
}
