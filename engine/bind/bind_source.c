/* bind_source.c: kernels of CUDA source: what lua/luabench/own/cuda.lua found out becomes an lb_cuda_source. */
#include <stdlib.h>
#include <string.h>

#include "../cuda_source.h"
#include "bind.h"

enum { OPTIONS_MOST = 32 };

typedef struct request {
    lb_cuda_source source;
    const char *options[OPTIONS_MOST];
    char *log;
} request;

static void request_done(void *block) { free(((request *)block)->log); }

/* The field of the table on top of the stack; its string stays alive with that table. */
static const char *text_field(lua_State *L, const char *key, bool optional) {
    const char *s = bind_opt_string(L, lua_gettop(L), key);
    if (!s && !optional) luaL_error(L, "%s is missing", key);
    return s;
}

static int slot_field(lua_State *L, const char *key, int most) {
    return (int)bind_opt_integer(L, lua_gettop(L), key, 0, 0, most);
}

static lb_term_kind term_kind(lua_State *L, const char *what) {
    static const char *const names[] = { "number", "param", "dim", "stride", "rows", "numel", "rank", "count", "+", "-",
                                         "*",
                                         "/", "%", "min", "max", "==", "!=", "<", "<=", ">", ">=", "&&", "||", NULL };
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], what) == 0) return (lb_term_kind)i;
    bind_unknown(L, "an expression", what, names);
    return LB_TERM_NUMBER;
}

/* { { what =, slot =, index =, value = }, ... } on top of the stack; nil is none. */
static void read_terms(lua_State *L, lb_terms *out) {
    int at = lua_gettop(L);
    if (lua_isnil(L, at)) return;
    luaL_checktype(L, at, LUA_TTABLE);
    size_t n = lua_objlen(L, at);
    int depth = 0;
    if (n > LB_SOURCE_TERMS) luaL_error(L, "an expression has more than %d terms", LB_SOURCE_TERMS);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, at, (int)i + 1);
        luaL_checktype(L, -1, LUA_TTABLE);
        lb_term *t = &out->at[i];
        t->kind = term_kind(L, text_field(L, "what", false));
        t->slot = slot_field(L, "slot", t->kind == LB_TERM_PARAM ? LB_MAX_PARAMS - 1 : LB_MAX_OPERANDS - 1);
        t->index = (int)bind_opt_integer(L, lua_gettop(L), "index", 0, -LB_MAX_RANK, LB_MAX_RANK - 1);
        t->number = bind_opt_number(L, lua_gettop(L), "value", 0);
        if (t->kind >= LB_TERM_STRIDE && t->index < 0) luaL_error(L, "an index counts from 0");
        depth += t->kind < LB_TERM_ADD ? 1 : -1;
        if (depth < 1) luaL_error(L, "an expression lacks a value");
        lua_pop(L, 1);
    }
    if (n && depth != 1) luaL_error(L, "an expression has values left over");
    out->count = (int)n;
}

static void terms_field(lua_State *L, int table, const char *key, lb_terms *out) {
    lua_getfield(L, table, key);
    read_terms(L, out);
    lua_pop(L, 1);
}

static void read_arg(lua_State *L, lb_source_arg *out) {
    static const char *const kinds[] = { "data", "workspace", "i32", "i64", "f32", "f64", NULL };
    luaL_checktype(L, -1, LUA_TTABLE);
    const char *kind = text_field(L, "kind", false), *dtype = text_field(L, "dtype", true);
    int k = 0;
    while (kinds[k] && strcmp(kinds[k], kind) != 0) k++;
    if (!kinds[k]) bind_unknown(L, "an argument", kind, kinds);
    out->kind = (lb_source_arg_kind)k;
    out->slot = slot_field(L, "slot", LB_MAX_OPERANDS - 1);
    out->dtype = LB_QUANT;
    if (dtype && strcmp(dtype, "any") != 0) {
        lua_getfield(L, -1, "dtype");
        out->dtype = bind_dtype_at(L, lua_gettop(L), "dtype");
        lua_pop(L, 1);
    }
    terms_field(L, lua_gettop(L), "value", &out->value);
    if (out->kind >= LB_SOURCE_I32 && !out->value.count) luaL_error(L, "an argument has no value");
}

static void read_args(lua_State *L, lb_cuda_source *s) {
    lua_getfield(L, 1, "args");
    luaL_checktype(L, -1, LUA_TTABLE);
    size_t n = lua_objlen(L, -1);
    if (n > LB_SOURCE_ARGS) luaL_error(L, "a kernel has at most %d parameters, got %d", LB_SOURCE_ARGS, (int)n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        read_arg(L, &s->args[i]);
        lua_pop(L, 1);
    }
    s->arg_count = (int)n;
    lua_pop(L, 1);
}

static void read_triple(lua_State *L, const char *key, lb_terms out[3]) {
    lua_getfield(L, 1, key);
    luaL_checktype(L, -1, LUA_TTABLE);
    for (int i = 0; i < 3; i++) {
        lua_rawgeti(L, -1, i + 1);
        read_terms(L, &out[i]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_options(lua_State *L, request *r) {
    lua_getfield(L, 1, "options");
    size_t n = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    if (n > OPTIONS_MOST) luaL_error(L, "at most %d flags, got %d", OPTIONS_MOST, (int)n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "options[%d]: a string expected", (int)i + 1);
        r->options[i] = lua_tostring(L, -1);             /* held by the table */
        lua_pop(L, 1);
    }
    r->source.options = r->options;
    r->source.option_count = (int)n;
    lua_pop(L, 1);
}

static int enumerator(lua_State *L, const char *key, const char *(*name)(int), int count) {
    lua_pushvalue(L, 1);
    const char *text = text_field(L, key, false);
    lua_pop(L, 1);
    for (int i = 0; i < count; i++)
        if (strcmp(name(i), text) == 0) return i;
    return luaL_error(L, "%s: unknown value \"%s\"", key, text);
}

static const char *act_name(int i) { return lb_act_name((lb_act)i); }
static const char *compute_name(int i) { return lb_compute_name((lb_compute)i); }
static const char *acc_name(int i) {
    static const char *const names[] = { "f32", "f64", "i32+f32", "none" };
    return names[i];
}

/* core.cuda_kernel{ device, name, op, about, source, format, activation, accumulator, compute, tolerance,
 * tolerance_why, priority, text, entry, options, args, grid, block, shared, workspace, needs }: the kernel's name, the
 * compiler's words. */
static int cuda_kernel(lua_State *L) {
    lua_settop(L, 1);
    luaL_checktype(L, 1, LUA_TTABLE);
    request *r = bind_guard(L, sizeof *r, request_done);
    lb_device *d = bind_opt_device(L, 1);
    lb_kernel *k = &r->source.kernel;
    lua_pushvalue(L, 1);
    k->name = text_field(L, "name", false);
    k->op = text_field(L, "op", false);
    k->about = text_field(L, "about", false);
    k->source = text_field(L, "source", false);
    k->format = text_field(L, "format", true);
    k->tolerance_why = text_field(L, "tolerance_why", false);
    r->source.text = text_field(L, "text", false);
    r->source.entry = text_field(L, "entry", false);
    lua_pop(L, 1);
    k->tolerance = bind_opt_number(L, 1, "tolerance", 0);
    k->priority = (int)bind_opt_integer(L, 1, "priority", 0, -1000000, 1000000);
    k->act = (lb_act)enumerator(L, "activation", act_name, LB_ACT_COUNT);
    k->acc = (lb_acc)enumerator(L, "accumulator", acc_name, 4);
    k->compute = (lb_compute)enumerator(L, "compute", compute_name, LB_COMPUTE_COUNT);
    read_args(L, &r->source);
    read_triple(L, "grid", r->source.grid);
    read_triple(L, "block", r->source.block);
    terms_field(L, 1, "shared", &r->source.shared);
    terms_field(L, 1, "workspace", &r->source.workspace);
    terms_field(L, 1, "needs", &r->source.needs);
    read_options(L, r);
    const lb_kernel *made = NULL;
    BIND_TRY(L, lb_cuda_source_make(d, &r->source, &made, &r->log));
    lua_pushstring(L, made->name);
    lua_pushstring(L, r->log ? r->log : "");
    return 2;
}

void bind_open_source(lua_State *L) {
    lua_pushcfunction(L, cuda_kernel);
    lua_setfield(L, -2, "cuda_kernel");
}
