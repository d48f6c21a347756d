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
}

/* device.pinning: { pinned, cpus = { of each thread } }; nil where there are no threads. pinned is false, too, before the
 * threads ran for the first time. */
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
                                     { NULL, NULL } };
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
    lb_device *d = NULL;
    if (lb_device_open("cpu", 0, &d) == LB_OK) {
        lb_device_release(d);
        lua_pushliteral(L, "cpu");
        lua_rawseti(L, -2, ++n);
    }
    for (int i = 0; i < 64; i++) {
        char name[16];
        snprintf(name, sizeof name, "cuda:%d", i);
        if (lb_device_open(name, 0, &d) != LB_OK) break;
        lb_device_release(d);
        lua_pushstring(L, name);
        lua_rawseti(L, -2, ++n);
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
