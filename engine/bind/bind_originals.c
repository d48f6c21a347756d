/* bind_originals.c: which tensor a quantized one was made from, remembered while a case is recorded, so that the runner
 * can say what the format costs without the script computing it. */
#include "bind.h"

/* In the registry while it is on: { [quantized tensor's address] = { quantized, original, the original's bytes } },
 * both held so that no address is used again; "bytes" (of those held) and "limit" are of the originals. */
static const char TABLE[] = "luabench.originals";

static double field(lua_State *L, int table, const char *name) {
    lua_getfield(L, table, name);
    double v = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return v;
}

/* Bytes of the original that is held for the tensor at this address: what is quantized into it takes its place. */
static double held_for(lua_State *L, int table, lb_tensor *quantized) {
    double bytes = 0;
    lua_pushlightuserdata(L, quantized);
    lua_rawget(L, table);
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, 3);
        bytes = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return bytes;
}

/* Stack positions of the two userdata; nothing happens unless core.keep_originals is on. */
void bind_original_note(lua_State *L, int original, int quantized) {
    lua_getfield(L, LUA_REGISTRYINDEX, TABLE);
    if (lua_istable(L, -1)) {
        int table = lua_gettop(L);
        lb_tensor *q = bind_check_tensor(L, quantized);
        double own = (double)lb_tensor_size_bytes(bind_check_tensor(L, original));
        double bytes = field(L, table, "bytes") - held_for(L, table, q) + own;
        if (bytes > field(L, table, "limit")) {
            lua_pushnil(L);         /* more than may be held: from here on none is known */
            lua_setfield(L, LUA_REGISTRYINDEX, TABLE);
        } else {
            bind_set_number(L, "bytes", bytes);
            lua_pushlightuserdata(L, q);
            lua_createtable(L, 3, 0);
            lua_pushvalue(L, quantized);
            lua_rawseti(L, -2, 1);
            lua_pushvalue(L, original);
            lua_rawseti(L, -2, 2);
            lua_pushnumber(L, own);
            lua_rawseti(L, -2, 3);
            lua_rawset(L, table);
        }
    }
    lua_pop(L, 1);
}

/* core.keep_originals(bytes): from now on originals of t:quantize are held, up to so many bytes; nil: no longer, and
 * those held are let go. */
static int keep_originals(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_pushnil(L);
    } else {
        double limit = bind_number(L, 1, "bytes");
        lua_newtable(L);
        bind_set_number(L, "bytes", 0);
        bind_set_number(L, "limit", limit);
    }
    lua_setfield(L, LUA_REGISTRYINDEX, TABLE);
    return 0;
}

/* core.original_of(quantized): the tensor that it was made from; nil = unknown. */
static int original_of(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, TABLE);
    if (!lua_istable(L, -1)) return lua_pushnil(L), 1;
    lua_pushlightuserdata(L, t);
    lua_rawget(L, -2);
    if (!lua_istable(L, -1)) return 1;
    int pair = lua_gettop(L);
    lua_rawgeti(L, pair, 1);
    bool same = bind_peek(L, -1, &bind_tensor) == t;     /* not if it was closed, and its address used again */
    lua_rawgeti(L, pair, 2);
    if (!same || !bind_peek(L, -1, &bind_tensor)) lua_pushnil(L);
    return 1;
}

void bind_open_originals(lua_State *L) {
    lua_pushcfunction(L, keep_originals);
    lua_setfield(L, -2, "keep_originals");
    lua_pushcfunction(L, original_of);
    lua_setfield(L, -2, "original_of");
}
