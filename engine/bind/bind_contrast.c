/* bind_contrast.c: contrasts of log times, sign flips and Holm for luabench/verdict.lua. */
#include <stdlib.h>
#include <string.h>

#include "../contrast.h"
#include "bind.h"

typedef struct numbers { const double *x; int64_t n; } numbers;

/* A list of numbers as an array in a userdata on the stack. */
static numbers read_numbers(lua_State *L, int index, const char *name) {
    if (!lua_istable(L, index)) luaL_error(L, "%s: a list of numbers expected, got %s", name, bind_type_name(L, index));
    size_t n = lua_objlen(L, index);
    double *x = lua_newuserdata(L, (n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        x[i] = bind_number(L, lua_gettop(L), name);
        lua_pop(L, 1);
    }
    return (numbers){ x, (int64_t)n };
}

static void read_opts(lua_State *L, int index, const char *what, double *limit, double *confidence) {
    static const char *const names[] = { "limit", "confidence", NULL };
    bind_check_keys(L, index, what, names);
    *limit = bind_opt_number(L, index, "limit", 0);
    *confidence = bind_opt_number(L, index, "confidence", 0.95);
}

static int push_contrast(lua_State *L, const lb_contrast *c) {
    lua_newtable(L);
    bind_set_number(L, "n", (double)c->n);
    bind_set_number(L, "m", (double)c->m);
    bind_set_known(L, "shift", c->shift);
    bind_set_known(L, "lo", c->lo);
    bind_set_known(L, "hi", c->hi);
    bind_set_known(L, "p_below", c->p_below);
    bind_set_known(L, "p_above", c->p_above);
    bind_set_known(L, "p_inside", c->p_inside);
    bind_set_known(L, "detectable", c->detectable);
    return 1;
}

/* core.contrast({ log ratios }[, { limit = 0, confidence = 0.95 }]) */
static int contrast(lua_State *L) {
    double limit, confidence;
    lb_contrast c;
    lua_settop(L, 2);
    read_opts(L, 2, "contrast", &limit, &confidence);
    numbers d = read_numbers(L, 1, "contrast");
    BIND_TRY(L, lb_contrast_paired(d.x, d.n, limit, confidence, &c));
    return push_contrast(L, &c);
}

/* core.contrast_unpaired({ logs of a }, { logs of b }[, { limit = 0, confidence = 0.95 }]) */
static int contrast_unpaired(lua_State *L) {
    double limit, confidence;
    lb_contrast c;
    lua_settop(L, 3);
    read_opts(L, 3, "contrast_unpaired", &limit, &confidence);
    numbers a = read_numbers(L, 1, "contrast_unpaired"), b = read_numbers(L, 2, "contrast_unpaired");
    BIND_TRY(L, lb_contrast_unpaired(a.x, a.n, b.x, b.n, limit, confidence, &c));
    return push_contrast(L, &c);
}

/* core.sign_flip_p({ log ratios }[, { seed = 1, draws = 9999 }]): nil for an empty list. */
static int sign_flip_p(lua_State *L) {
    static const char *const names[] = { "seed", "draws", NULL };
    lua_settop(L, 2);
    bind_check_keys(L, 2, "sign_flip_p", names);
    int64_t seed = bind_opt_integer(L, 2, "seed", 1, 0, BIND_INT_MAX);
    int64_t draws = bind_opt_integer(L, 2, "draws", 9999, 1, 10000000);
    numbers d = read_numbers(L, 1, "sign_flip_p");
    double p = lb_sign_flip_p(d.x, d.n, draws, (uint64_t)seed);
    if (p != p) lua_pushnil(L);
    else lua_pushnumber(L, p);
    return 1;
}

/* core.holm({ p values }): adjusted ones. */
static int holm(lua_State *L) {
    lua_settop(L, 1);
    numbers p = read_numbers(L, 1, "holm");
    double *adjusted = lua_newuserdata(L, ((size_t)p.n + 1) * sizeof *adjusted);
    BIND_TRY(L, lb_holm(p.x, p.n, adjusted));
    lua_createtable(L, (int)p.n, 0);
    for (int64_t i = 0; i < p.n; i++) {
        lua_pushnumber(L, adjusted[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

void bind_open_contrast(lua_State *L) {
    static const luaL_Reg functions[] = { { "contrast", contrast }, { "contrast_unpaired", contrast_unpaired },
                                          { "sign_flip_p", sign_flip_p }, { "holm", holm }, { NULL, NULL } };
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
