/* bind_ceilings.c: what the hardware can do: read bandwidth, peak rates, the caches. */
#include <string.h>

#include "../cache.h"
#include "../measure.h"
#include "bind.h"

static void push_rate_fields(lua_State *L, lb_rate rate) {
    bind_set_number(L, "best", rate.best);
    bind_set_number(L, "best_of_ten", rate.best_of_ten);
    bind_set_number(L, "median", rate.median);
}

static void push_rate(lua_State *L, const char *key, lb_rate rate) {
    if (rate.best <= 0) return;
    lua_newtable(L);
    push_rate_fields(L, rate);
    lua_setfield(L, -2, key);
}

/* core.ceilings([device[, seconds[, what]]]): what: a list of "read", "copy", "write", "f32", "bf16", "int8", ...; all
 * by default. { read =, copy =, write =, ops = { type = rate } }, rate = { best, best_of_ten, median } in bytes or
 * operations a second. */
static int ceilings(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    double seconds = lua_isnoneornil(L, 2) ? 0.5 : bind_number(L, 2, "seconds");
    if (!(seconds > 0 && seconds < 3600)) return luaL_error(L, "seconds: over 0 expected, got %f", seconds);
    uint32_t what = 0;
    if (lua_isnoneornil(L, 3)) {
        what = UINT32_MAX;
    } else {
        if (!lua_istable(L, 3)) return luaL_error(L, "what: a list of names expected, got %s", bind_type_name(L, 3));
        for (int i = 1; i <= (int)lua_objlen(L, 3); i++) {
            lua_rawgeti(L, 3, i);
            const char *name = bind_string(L, lua_gettop(L), "what");
            uint32_t bit = strcmp(name, "read") == 0 ? LB_CEILING_READ : strcmp(name, "copy") == 0 ? LB_CEILING_COPY
                         : strcmp(name, "write") == 0 ? LB_CEILING_WRITE : 0;
            for (int c = 1; c < LB_COMPUTE_COUNT && !bit; c++)
                if (strcmp(name, lb_compute_name((lb_compute)c)) == 0) bit = 1u << (1 + c);
            if (!bit)
                return luaL_error(L,
                                  "what: unknown ceiling '%s'; there are read, copy, write, f32, f64, bf16, int8, f16, "
                                  "fp8",
                                  name);
            what |= bit;
            lua_pop(L, 1);
        }
    }
    lb_ceilings c;
    memset(&c, 0, sizeof c);
    BIND_TRY(L, lb_ceilings_measure(d, seconds, what, &c));
    lua_newtable(L);
    lua_newtable(L);
    for (int i = 1; i < LB_COMPUTE_COUNT; i++) push_rate(L, lb_compute_name((lb_compute)i), c.ops[i]);
    lua_setfield(L, -2, "ops");
    push_rate(L, "read", c.read);
    push_rate(L, "copy", c.copy);
    push_rate(L, "write", c.write);
    return 1;
}

#define MAX_CLASSES 64

/* core.ceiling_classes(device, seconds): { { kernel, compute, isa, best, best_of_ten, median }, ... }: the peak
 * rates of all instruction classes that there are kernels for. */
static int ceiling_classes(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    double seconds = bind_number(L, 2, "seconds");
    lb_peak_class all[MAX_CLASSES];
    int n = 0;
    BIND_TRY(L, lb_ceilings_classes(d, seconds, all, MAX_CLASSES, &n));
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        char isa[128];
        lb_isa_print(all[i].kernel->isa, isa, sizeof isa);
        lua_newtable(L);
        bind_set_string(L, "kernel", all[i].kernel->name);
        bind_set_string(L, "compute", lb_compute_name(all[i].kernel->compute));
        bind_set_string(L, "isa", isa);
        push_rate_fields(L, all[i].ops_per_s);
        lua_rawseti(L, -2, i + 1);
    }
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

/* core.cache_curve(device, seconds): { bytes = {...}, bytes_per_s = {...}, capacity_bytes, l1_bytes_per_s,
 * l2_bytes_per_s, llc_bytes_per_s, l1_median, l2_median, llc_median }: rates of reading so many bytes over and over.
 * With a table { bytes, bytes_per_s } in place of seconds: what those points say, beside the best read of memory ever
 * seen (a third argument, bytes/s; none = unknown). */
static int cache_curve(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    lb_cache_curve c = { 0 };
    if (lua_istable(L, 2)) {
        c.n = read_points(L, 2, "bytes", c.bytes);
        if (read_points(L, 2, "bytes_per_s", c.bytes_per_s) != c.n)
            return luaL_error(L, "cache_curve: the lists bytes and bytes_per_s differ in length");
        double read = lua_isnoneornil(L, 3) ? 0 : bind_number(L, 3, "read_bytes_per_s");
        if (!(read >= 0 && read < 1e18))
            return luaL_error(L, "cache_curve: read_bytes_per_s: at least 0 expected, got %f", read);
        lb_cache_curve_fit(d, &c, read);
    } else {
        double seconds = bind_number(L, 2, "seconds");
        BIND_TRY(L, lb_cache_curve_measure(d, seconds, &c));
    }
    lua_newtable(L);
    push_points(L, "bytes", c.bytes, c.n);
    push_points(L, "bytes_per_s", c.bytes_per_s, c.n);
    set_positive(L, "l1_median", c.l1_median);
    set_positive(L, "l2_median", c.l2_median);
    set_positive(L, "llc_median", c.llc_median);
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

/* core.cache_cold_bytes(cache_bytes): after reading so many others, bytes count as cold. */
static int cache_cold_bytes(lua_State *L) {
    double bytes = bind_number(L, 1, "cache_bytes");
    if (!(bytes >= 0 && bytes < 1e15)) return luaL_error(L, "cache_bytes: at least 0 expected, got %f", bytes);
    lua_pushnumber(L, lb_cache_cold_bytes(bytes));
    return 1;
}

void bind_open_ceilings(lua_State *L) {
    static const luaL_Reg functions[] = { { "ceilings", ceilings }, { "ceiling_classes", ceiling_classes },
                                          { "cache_curve", cache_curve },
                                          { "cache_capacity", cache_capacity },
                                          { "cache_cold_bytes", cache_cold_bytes }, { NULL, NULL } };
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
