/* bind_ceilings.c: what the hardware can do: read bandwidth, peak rates, the caches. */
#include <string.h>

#include "../cache.h"
#include "../measure.h"
#include "bind.h"

/* core.ceilings([device[, seconds[, what]]]): what: a list of "read", "f32", "bf16", "int8", ...; all by default. */
static int ceilings(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    double seconds = lua_isnoneornil(L, 2) ? 0.5 : bind_number(L, 2, "seconds");
    if (!(seconds > 0 && seconds < 3600)) return luaL_error(L, "seconds: over 0 expected, got %f", seconds);
    uint32_t what = 0;
    if (lua_isnoneornil(L, 3)) {
        what = (1u << (1 + LB_COMPUTE_COUNT)) - 1u;
        what &= ~(1u << (1 + LB_COMPUTE_NONE));
    } else {
        if (!lua_istable(L, 3)) return luaL_error(L, "what: a list of names expected, got %s", bind_type_name(L, 3));
        for (int i = 1; i <= (int)lua_objlen(L, 3); i++) {
            lua_rawgeti(L, 3, i);
            const char *name = bind_string(L, lua_gettop(L), "what");
            uint32_t bit = strcmp(name, "read") == 0 ? 1u : 0u;
            for (int c = 1; c < LB_COMPUTE_COUNT && !bit; c++)
                if (strcmp(name, lb_compute_name((lb_compute)c)) == 0) bit = 1u << (1 + c);
            if (!bit) return luaL_error(L, "what: unknown ceiling '%s'; there are read, f32, f64, bf16, int8, f16, fp8", name);
            what |= bit;
            lua_pop(L, 1);
        }
    }
    lb_ceilings c;
    memset(&c, 0, sizeof c);
    BIND_TRY(L, lb_ceilings_measure(d, seconds, what, &c));
    lua_newtable(L);
    if (c.read_bytes_per_s > 0) bind_set_number(L, "read_bytes_per_s", c.read_bytes_per_s);
    if (c.median_read_bytes_per_s > 0) bind_set_number(L, "median_read_bytes_per_s", c.median_read_bytes_per_s);
    lua_newtable(L);
    for (int i = 1; i < LB_COMPUTE_COUNT; i++)
        if (c.ops_per_s[i] > 0) bind_set_number(L, lb_compute_name((lb_compute)i), c.ops_per_s[i]);
    lua_setfield(L, -2, "ops_per_s");
    return 1;
}

/* ---- caches ---------------------------------------------------------------------------------------------------- */

static int read_points(lua_State *L, int index, const char *key, double *out) {
    lua_getfield(L, index, key);
    if (!lua_istable(L, -1)) return luaL_error(L, "cache_curve: a table with a list \"%s\" expected", key);
    size_t n = lua_objlen(L, -1);
    if (n > LB_CURVE_MOST) return luaL_error(L, "cache_curve: at most %d points, got %d", LB_CURVE_MOST, (int)n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        out[i] = bind_number(L, lua_gettop(L), key);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return (int)n;
}

static void push_points(lua_State *L, const char *key, const double *x, int n) {
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushnumber(L, x[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, key);
}

static void set_positive(lua_State *L, const char *key, double v) {
    if (v > 0) bind_set_number(L, key, v);
}

/* core.cache_curve([device[, seconds]]): { bytes = {...}, bytes_per_s = {...}, capacity_bytes, l1_bytes_per_s,
 * l2_bytes_per_s, llc_bytes_per_s }: rates of reading so many bytes over and over. With a table { bytes, bytes_per_s }
 * in place of seconds: what those points say. */
static int cache_curve(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    lb_cache_curve c = { 0 };
    if (lua_istable(L, 2)) {
        c.n = read_points(L, 2, "bytes", c.bytes);
        if (read_points(L, 2, "bytes_per_s", c.bytes_per_s) != c.n)
            return luaL_error(L, "cache_curve: the lists bytes and bytes_per_s differ in length");
        lb_cache_curve_fit(d, &c);
    } else {
        double seconds = lua_isnoneornil(L, 2) ? 0.1 : bind_number(L, 2, "seconds");
        BIND_TRY(L, lb_cache_curve_measure(d, seconds, &c));
    }
    lua_newtable(L);
    push_points(L, "bytes", c.bytes, c.n);
    push_points(L, "bytes_per_s", c.bytes_per_s, c.n);
    set_positive(L, "capacity_bytes", c.capacity_bytes);
    set_positive(L, "l1_bytes_per_s", c.l1_bytes_per_s);
    set_positive(L, "l2_bytes_per_s", c.l2_bytes_per_s);
    set_positive(L, "llc_bytes_per_s", c.llc_bytes_per_s);
    return 1;
}

/* core.cache_capacity([device[, bytes]]): what the caches hold (measured the first time); with bytes: sets it, from
 * what is known of this machine; 0: to be measured again. */
static int cache_capacity(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        double bytes = bind_number(L, 2, "bytes");
        if (!(bytes >= 0 && bytes < 1e15)) return luaL_error(L, "bytes: at least 0 expected, got %f", bytes);
        lb_cache_capacity_set(d, bytes);
        return 0;
    }
    double bytes = lb_cache_capacity(d);
    if (bytes <= 0) return 0;
    lua_pushnumber(L, bytes);
    return 1;
}

void bind_open_ceilings(lua_State *L) {
    static const luaL_Reg functions[] = { { "ceilings", ceilings }, { "cache_curve", cache_curve },
                                          { "cache_capacity", cache_capacity }, { NULL, NULL } };
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
