/* bind_tensor_make.c: tensors from nothing, from numbers and from other tensors. */
#include <math.h>
#include <string.h>

#include "../tensor_ops.h"
#include "bind.h"

/* Seeds of calls that name none: 0, 1, 2, ... in the order of the calls, so that a script gives the same numbers each
 * time that it runs. */
static uint64_t next_seed;

typedef struct make { lb_device *device; lb_dtype dtype; } make;

static make read_make(lua_State *L, int opts, const char *what, const char *const *keys) {
    bind_check_keys(L, opts, what, keys);
    make m = { NULL, LB_F32 };
    if (lua_istable(L, opts)) {
        lua_getfield(L, opts, "dtype");
        if (!lua_isnil(L, -1)) m.dtype = bind_dtype_at(L, lua_gettop(L), "dtype");
        lua_pop(L, 1);
    }
    m.device = bind_opt_device(L, opts);
    return m;
}

static void no_negative(lua_State *L, int rank, const int64_t *dims) {
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0) luaL_error(L, "dims[%d]: at least 0 expected, got %d", i + 1, (int)dims[i]);
}

/* A new tensor of the dims at argument 1 on the stack; contents undefined. */
static lb_tensor *push_new(lua_State *L, const make *m) {
    int64_t dims[LB_MAX_RANK];
    int rank = bind_dims(L, 1, "dims", dims);
    no_negative(L, rank, dims);
    BIND_NEW_TENSOR(L, lb_tensor_new(m->device, m->dtype, NULL, rank, dims, BIND_OUT));
    return *(void **)lua_touserdata(L, -1);
}

/* lb.zeros(dims[, { dtype, device }]) */
static int zeros(lua_State *L) {
    static const char *const keys[] = { "dtype", "device", NULL };
    lua_settop(L, 2);
    make m = read_make(L, 2, "lb.zeros", keys);
    BIND_TRY(L, lb_tensor_fill(push_new(L, &m), 0));
    return 1;
}

/* lb.full(dims, value[, { dtype, device }]) */
static int full(lua_State *L) {
    static const char *const keys[] = { "dtype", "device", NULL };
    lua_settop(L, 3);
    double v = bind_number(L, 2, "value");
    make m = read_make(L, 3, "lb.full", keys);
    BIND_TRY(L, lb_tensor_fill(push_new(L, &m), v));
    return 1;
}

static uint64_t seed_of(lua_State *L, int opts) {
    int64_t seed = bind_opt_integer(L, opts, "seed", -1, 0, BIND_INT_MAX);
    return seed < 0 ? next_seed++ : (uint64_t)seed;
}

static void float_only(lua_State *L, const make *m, const char *what) {
    if (m->dtype >= LB_I8 && m->dtype <= LB_I64) {
        luaL_error(L, "%s: a float dtype expected (f32, f16, bf16, f64), got %s; scale and convert with t:to", what,
                   lb_dtype_name(m->dtype));
    }
}

/* lb.randn(dims[, { seed, dtype, device, mean = 0, std = 1 }]) */
static int randn(lua_State *L) {
    static const char *const keys[] = { "seed", "dtype", "device", "mean", "std", NULL };
    lua_settop(L, 2);
    make m = read_make(L, 2, "lb.randn", keys);
    float_only(L, &m, "lb.randn");
    float average = (float)bind_opt_number(L, 2, "mean", 0), std = (float)bind_opt_number(L, 2, "std", 1);
    uint64_t seed = seed_of(L, 2);
    BIND_TRY(L, lb_tensor_fill_randn(push_new(L, &m), seed, average, std));
    return 1;
}

/* lb.uniform(dims[, { seed, dtype, device, lo = 0, hi = 1 }]): in [lo, hi) */
static int uniform(lua_State *L) {
    static const char *const keys[] = { "seed", "dtype", "device", "lo", "hi", NULL };
    lua_settop(L, 2);
    make m = read_make(L, 2, "lb.uniform", keys);
    float_only(L, &m, "lb.uniform");
    float lo = (float)bind_opt_number(L, 2, "lo", 0), hi = (float)bind_opt_number(L, 2, "hi", 1);
    if (!(lo <= hi)) return luaL_error(L, "lb.uniform: lo <= hi expected, got %f and %f", (double)lo, (double)hi);
    uint64_t seed = seed_of(L, 2);
    BIND_TRY(L, lb_tensor_fill_uniform(push_new(L, &m), seed, lo, hi));
    return 1;
}

/* lb.arange(dims[, { start = 0, step = 1, dtype, device }]): start, start + step, ... in row-major order */
static int arange(lua_State *L) {
    static const char *const keys[] = { "start", "step", "dtype", "device", NULL };
    lua_settop(L, 2);
    make m = read_make(L, 2, "lb.arange", keys);
    double start = bind_opt_number(L, 2, "start", 0), step = bind_opt_number(L, 2, "step", 1);
    if (!isfinite(start) || !isfinite(step) || step == 0) {
        return luaL_error(L, "lb.arange: finite start and a step that is not 0 expected");
    }
    int64_t dims[LB_MAX_RANK], n = 1;
    int rank = bind_dims(L, 1, "dims", dims);
    no_negative(L, rank, dims);
    for (int i = 0; i < rank; i++) {
        if (__builtin_mul_overflow(n, dims[i], &n) || n > (int64_t)1 << 40) {
            return luaL_error(L, "lb.arange: the dims are too large");
        }
    }
    double stop = start + ((double)n - 0.5) * step;      /* half a step before the end: exactly n elements */
    BIND_NEW_TENSOR(L, lb_tensor_arange(m.device, start, n ? stop : start, step, m.dtype, BIND_OUT));
    lb_tensor *flat = *(void **)lua_touserdata(L, -1);
    BIND_NEW_TENSOR(L, lb_tensor_reshape(flat, rank, dims, BIND_OUT));
    return 1;
}

/* ---- from Lua tables ---------------------------------------------------------------------------------------- */

/* The shape of nested tables, from their first elements. */
static int nested_shape(lua_State *L, int index, int64_t *dims) {
    int rank = 0;
    lua_pushvalue(L, index);
    while (lua_istable(L, -1)) {
        if (rank == LB_MAX_RANK) luaL_error(L, "values: at most %d levels of tables", LB_MAX_RANK);
        dims[rank++] = (int64_t)lua_objlen(L, -1);
        lua_rawgeti(L, -1, 1);
        lua_replace(L, -2);
    }
    lua_pop(L, 1);
    return rank;
}

static void check_fits(lua_State *L, lb_dtype t, double v) {
    static const double lo[] = { -128, 0, -2147483648.0, -9223372036854775808.0 };
    static const double hi[] = { 127, 255, 2147483647.0, 9223372036854774784.0 };
    if (t < LB_I8 || t > LB_I64) return;
    int i = (int)t - LB_I8;
    if (!(v >= lo[i] && v <= hi[i]) || v != floor(v)) luaL_error(L, "values: %f does not fit %s", v, lb_dtype_name(t));
}

static void set_nested(lua_State *L, int index, lb_tensor *t, int dim, int64_t *idx) {
    if (!lua_istable(L, index) || (int64_t)lua_objlen(L, index) != t->dims[dim]) {
        luaL_error(L, "values: ragged: level %d should have %d entries everywhere", dim + 1, (int)t->dims[dim]);
    }
    luaL_checkstack(L, 3, "values: nested too deeply");
    for (int64_t i = 0; i < t->dims[dim]; i++) {
        idx[dim] = i;
        lua_rawgeti(L, index, (int)i + 1);
        if (dim + 1 < t->rank) {
            set_nested(L, lua_gettop(L), t, dim + 1, idx);
        } else {
            double v = bind_number(L, lua_gettop(L), "values");
            check_fits(L, t->dtype, v);
            lb_tensor_set(t, idx, v);
        }
        lua_pop(L, 1);
    }
}

/* lb.tensor({ { 1, 2 }, { 3, 4 } }[, { dtype, device }]): from values. lb.tensor(2, 3[, opts]): zeros of these dims. */
static int tensor(lua_State *L) {
    static const char *const keys[] = { "dtype", "device", NULL };
    int64_t dims[LB_MAX_RANK] = { 0 };
    if (lua_type(L, 1) == LUA_TNUMBER) {
        int rank = 0;
        while (rank < LB_MAX_RANK && lua_type(L, rank + 1) == LUA_TNUMBER) {
            dims[rank] = bind_integer(L, rank + 1, "dims", 0, BIND_INT_MAX);
            rank++;
        }
        lua_settop(L, rank + 1);
        make m = read_make(L, rank + 1, "lb.tensor", keys);
        BIND_NEW_TENSOR(L, lb_tensor_new(m.device, m.dtype, NULL, rank, dims, BIND_OUT));
        BIND_TRY(L, lb_tensor_fill(*(void **)lua_touserdata(L, -1), 0));
        return 1;
    }
    lua_settop(L, 2);
    if (!lua_istable(L, 1))
        return luaL_error(L, "lb.tensor: a table of values or dims expected, got %s", bind_type_name(L, 1));
    make m = read_make(L, 2, "lb.tensor", keys);
    int64_t idx[LB_MAX_RANK] = { 0 };
    int rank = nested_shape(L, 1, dims);
    BIND_NEW_TENSOR(L, lb_tensor_new(m.device, m.dtype, NULL, rank, dims, BIND_OUT));
    set_nested(L, 1, *(void **)lua_touserdata(L, -1), 0, idx);
    return 1;
}

/* ---- joining ------------------------------------------------------------------------------------------------ */

static int join(lua_State *L, bool stacked) {
    const char *what = stacked ? "lb.stack" : "lb.cat";
    lua_settop(L, 2);
    if (!lua_istable(L, 1)) return luaL_error(L, "%s: a list of tensors expected, got %s", what, bind_type_name(L, 1));
    size_t n = lua_objlen(L, 1);
    if (n < 1 || n > 1 << 20) return luaL_error(L, "%s: the list of tensors is empty", what);
    const lb_tensor **list = lua_newuserdata(L, n * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        list[i] = bind_check_value(L, lua_gettop(L), &bind_tensor, what);
        lua_pop(L, 1);
    }
    int64_t dim = lua_isnoneornil(L, 2) ? 1 : bind_integer(L, 2, "dim", 1, LB_MAX_RANK);
    if (stacked) BIND_NEW_TENSOR(L, lb_tensor_stack(list, (int)n, (int)dim - 1, BIND_OUT));
    else BIND_NEW_TENSOR(L, lb_tensor_cat(list, (int)n, (int)dim - 1, BIND_OUT));
    return 1;
}

/* lb.cat({ tensors }[, dim]), lb.stack({ tensors }[, dim]); dims count from 1. */
static int cat(lua_State *L) { return join(L, false); }
static int stack(lua_State *L) { return join(L, true); }

void bind_open_tensor_make(lua_State *L) {
    static const luaL_Reg functions[] = { { "zeros", zeros }, { "full", full }, { "randn", randn },
                                          { "uniform", uniform }, { "arange", arange }, { "tensor", tensor },
                                          { "cat", cat }, { "stack", stack }, { NULL, NULL } };
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
