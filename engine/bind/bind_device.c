/* bind_device.c: lb.device, lb.devices and the run's default device. */
#include <stdio.h>
#include <string.h>

#include "bind.h"

static char default_key;     /* registry[&default_key]: the default device; [&wanted_key]: its name and threads */
static char wanted_key;

static void release(void *object) { lb_device_release(object); }

static void push_name(lua_State *L, void *o) { lua_pushstring(L, lb_device_name(o)); }
static void push_model(lua_State *L, void *o) { lua_pushstring(L, lb_device_caps_of(o)->model); }
static void push_threads(lua_State *L, void *o) { lua_pushinteger(L, lb_device_threads(o)); }
static void push_isa(lua_State *L, void *o) {
    char text[128];
    lb_isa_print(lb_device_caps_of(o)->isa, text, sizeof text);
    lua_pushstring(L, text);
}
static void set_bytes(lua_State *L, const char *key, int64_t bytes) {
    if (bytes > 0) bind_set_number(L, key, (double)bytes);
}
/* "13.0" */
static void set_version(lua_State *L, const char *key, int version) {
    char text[16];
    snprintf(text, sizeof text, "%d.%d", version / 1000, version % 1000 / 10);
    if (version > 0) bind_set_string(L, key, text);
}
static void set_positive(lua_State *L, const char *key, double v) {
    if (v > 0) bind_set_number(L, key, v);
}
static void push_gpu_caps(lua_State *L, const lb_device_caps *c) {
    char text[16];
    snprintf(text, sizeof text, "%d.%d", c->compute_capability / 10, c->compute_capability % 10);
    bind_set_string(L, "compute_capability", text);
    bind_set_string(L, "pci", c->pci);
    bind_set_string(L, "uuid", c->uuid);
    bind_set_number(L, "multiprocessors", c->multiprocessors);
    set_version(L, "driver_version", c->driver_version);
    set_version(L, "runtime_version", c->runtime_version);
    set_positive(L, "clock_ghz", c->clock_ghz);
    set_positive(L, "memory_clock_ghz", c->memory_clock_ghz);
    set_positive(L, "nominal_bytes_per_s", c->nominal_bytes_per_s);
    bind_set_boolean(L, "ecc", c->ecc);
    lua_newtable(L);
    for (int i = 0; i < c->peer_count; i++) {
        lua_pushfstring(L, "cuda:%d", c->peers[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "peers");
}

/* device.live: what it is doing now, by the driver's management library; a table without what is unknown. */
static void set_known(lua_State *L, const char *key, double v) {
    if (v == v) bind_set_number(L, key, v);
}
static void push_live(lua_State *L, void *o) {
    lb_device_live l;
    lua_newtable(L);
    if (!lb_device_live_read(o, &l)) return;
    set_known(L, "utilization", l.utilization);
    set_known(L, "memory_utilization", l.memory_utilization);
    if (l.memory_used_bytes >= 0) bind_set_number(L, "memory_used_bytes", (double)l.memory_used_bytes);
    set_known(L, "sm_ghz", l.sm_ghz);
    set_known(L, "sm_max_ghz", l.sm_max_ghz);
    set_known(L, "memory_ghz", l.memory_ghz);
    set_known(L, "watts", l.watts);
    set_known(L, "joules", l.joules);
    set_known(L, "celsius", l.celsius);
    if (!l.reasons_known) return;
    bind_set_number(L, "throttle_reasons", (double)l.reasons);
    bind_set_boolean(L, "throttled", (l.reasons & LB_REASONS_THROTTLED) != 0);
}
static void push_lost(lua_State *L, void *o) { lua_pushboolean(L, lb_device_lost(o)); }

static void push_caps(lua_State *L, void *o) {
    const lb_device_caps *c = lb_device_caps_of(o);
    lua_newtable(L);
    bind_set_string(L, "name", c->name);
    bind_set_string(L, "model", c->model);
    push_isa(L, o);
    lua_setfield(L, -2, "isa");
    bind_set_number(L, "threads_max", c->threads_max);
    set_bytes(L, "memory_bytes", c->memory_bytes);
    set_bytes(L, "memory_free_bytes", c->memory_free_bytes);
    set_bytes(L, "l1d_bytes", c->l1d_bytes);
    set_bytes(L, "l2_bytes", c->l2_bytes);
    set_bytes(L, "llc_bytes", c->llc_bytes);
    if (c->compute_capability) push_gpu_caps(L, c);
}

/* device.pinning: { pinned, cpus = { of each thread } }; nil where there are no threads. pinned is false, too, before
 * the threads ran for the first time. */
static void push_pinning(lua_State *L, void *o) {
    if (lb_device_cpu_of(o, 0) < 0) {
        lua_pushnil(L);
        return;
    }
    lua_newtable(L);
    bind_set_boolean(L, "pinned", lb_device_pinned(o));
    lua_newtable(L);
    for (int i = 0; i < lb_device_threads(o); i++) {
        lua_pushinteger(L, lb_device_cpu_of(o, i));
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "cpus");
}

static int tostring(lua_State *L) {
    lb_device *d = bind_peek(L, 1, &bind_device);
    if (!d) return lua_pushliteral(L, "device (closed)"), 1;
    char text[320], isa[128];
    lb_isa_print(lb_device_caps_of(d)->isa, isa, sizeof isa);
    snprintf(text, sizeof text, "device %s: %s, %d thread%s, %s", lb_device_name(d), lb_device_caps_of(d)->model,
             lb_device_threads(d), lb_device_threads(d) == 1 ? "" : "s", isa);
    lua_pushstring(L, text);
    return 1;
}

static int equal(lua_State *L) {
    lua_pushboolean(L, bind_is(L, 1, &bind_device) && bind_is(L, 2, &bind_device)
                           && *(void **)lua_touserdata(L, 1) == *(void **)lua_touserdata(L, 2));
    return 1;
}

static const luaL_Reg methods[] = { { NULL, NULL } };
static const luaL_Reg meta[] = { { "__tostring", tostring }, { "__eq", equal }, { NULL, NULL } };
static const bind_field fields[] = { { "name", push_name }, { "model", push_model }, { "threads", push_threads },
                                     { "isa", push_isa },   { "caps", push_caps },   { "pinning", push_pinning },
                                     { "live", push_live },   { "lost", push_lost },   { NULL, NULL } };
const bind_class bind_device = { "device", release, methods, meta, fields };

void bind_push_device(lua_State *L, lb_device *retained) {
    void **box = bind_box(L, &bind_device);
    *box = retained;
}

/* The default device: opened when first needed. Pushes it. */
static lb_device *push_default(lua_State *L) {
    lua_pushlightuserdata(L, &default_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (bind_is(L, -1, &bind_device) && *(void **)lua_touserdata(L, -1)) return *(void **)lua_touserdata(L, -1);
    lua_pop(L, 1);
    const char *name = "cpu";
    int threads = 0;
    lua_pushlightuserdata(L, &wanted_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        name = lua_tostring(L, -2);    /* anchored by the table in the registry */
        threads = (int)lua_tointeger(L, -1);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    void **box = bind_box(L, &bind_device);
    BIND_TRY(L, lb_device_open(name, threads, (lb_device **)box));
    lua_pushlightuserdata(L, &default_key);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return *box;
}

lb_device *bind_device_at(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) {
        lb_device *d = push_default(L);
        lua_pop(L, 1);                 /* anchored in the registry */
        return d;
    }
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *name = lua_tostring(L, index);
        lb_device *d = push_default(L);
        lua_pop(L, 1);
        if (strcmp(lb_device_name(d), name) == 0) return d;
        /* One instance per name stays open for the program: anchored in the registry under its own name. */
        lua_pushfstring(L, "luabench.device.%s", name);
        lua_rawget(L, LUA_REGISTRYINDEX);
        if (bind_is(L, -1, &bind_device) && *(void **)lua_touserdata(L, -1)) {
            d = *(void **)lua_touserdata(L, -1);
            lua_pop(L, 1);
            return d;
        }
        lua_pop(L, 1);
        lua_pushfstring(L, "luabench.device.%s", name);
        void **box = bind_box(L, &bind_device);
        BIND_TRY(L, lb_device_open(name, 0, (lb_device **)box));
        d = *box;
        lua_rawset(L, LUA_REGISTRYINDEX);
        return d;
    }
    return bind_check_value(L, index, &bind_device, "device");
}

lb_device *bind_opt_device(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) return bind_device_at(L, index);
    lua_getfield(L, index, "device");
    lb_device *d = bind_device_at(L, lua_gettop(L));
    lua_pop(L, 1);
    return d;
}

/* lb.device([name[, { threads = }]]): an instance; the run's default device without a name. */
static int device(lua_State *L) {
    static const char *const keys[] = { "threads", NULL };
    bind_check_keys(L, 2, "lb.device", keys);
    int threads = (int)bind_opt_integer(L, 2, "threads", 0, 0, 1024);
    if (bind_is(L, 1, &bind_device)) {
        bind_check(L, 1, &bind_device);
        lua_settop(L, 1);
        return 1;
    }
    if (lua_isnoneornil(L, 1) && threads == 0) {
        push_default(L);
        return 1;
    }
    const char *name = lua_isnoneornil(L, 1) ? lb_device_name(bind_device_at(L, 1)) : bind_string(L, 1, "name");
    if (threads == 0) {
        lb_device *d = push_default(L);
        if (strcmp(lb_device_name(d), name) == 0) return 1;
        lua_pop(L, 1);
    }
    void **box = bind_box(L, &bind_device);
    BIND_TRY(L, lb_device_open(name, threads, (lb_device **)box));
    return 1;
}

/* lb.devices(): the names that lb.device can open here. */
static int devices(lua_State *L) {
    lua_newtable(L);
    int n = 0;
    char names[64][64];
    int count = lb_device_list(names, 64);
    for (; n < count && n < 64; n++) {
        lua_pushstring(L, names[n]);
        lua_rawseti(L, -2, n + 1);
    }
    return 1;
}

/* core.set_default_device(name[, threads]): what lb.device() and every `device` left out mean from now on. */
static int set_default_device(lua_State *L) {
    bind_string(L, 1, "name");
    int64_t threads = lua_isnoneornil(L, 2) ? 0 : bind_integer(L, 2, "threads", 0, 1024);
    void **box = bind_box(L, &bind_device);
    BIND_TRY(L, lb_device_open(lua_tostring(L, 1), (int)threads, (lb_device **)box));
    lua_pushlightuserdata(L, &wanted_key);
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_pushinteger(L, (lua_Integer)threads);
    lua_rawseti(L, -2, 2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, &default_key);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return 1;
}

void bind_open_device(lua_State *L) {
    static const luaL_Reg functions[] = { { "device", device }, { "devices", devices },
                                          { "set_default_device", set_default_device }, { NULL, NULL } };
    bind_class_register(L, &bind_device);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
