/* bind_json.c: reading JSON through libcjson. Writing is lua/luabench/json.lua's. */
#include <cjson/cJSON.h>
#include <string.h>

#include "bind.h"
#include "bind_text.h"

typedef struct tree { cJSON *root; } tree;

static void tree_done(void *block) { cJSON_Delete(((tree *)block)->root); }

/* What the conversion needs: stack indexes of the null value (0 = leave out) and of the metatable of arrays (0 =
 * none). */
typedef struct converter { lua_State *L; int null, array_mt; } converter;

static void push_value(const converter *c, const cJSON *v);

static void push_array(const converter *c, const cJSON *v) {
    lua_State *L = c->L;
    lua_newtable(L);
    int n = 0;
    for (const cJSON *item = v->child; item; item = item->next) {
        push_value(c, item);
        if (lua_isnil(L, -1)) {                 /* a hole would end the list: the marker stands for it */
            lua_pop(L, 1);
            lua_pushlightuserdata(L, NULL);
        }
        lua_rawseti(L, -2, ++n);
    }
    if (c->array_mt) {
        lua_pushvalue(L, c->array_mt);
        lua_setmetatable(L, -2);
    }
}

static void push_value(const converter *c, const cJSON *v) {
    lua_State *L = c->L;
    luaL_checkstack(L, 8, "JSON nested too deeply");
    if (cJSON_IsNull(v)) {
        if (c->null) lua_pushvalue(L, c->null);
        else lua_pushnil(L);
    } else if (cJSON_IsBool(v)) {
        lua_pushboolean(L, cJSON_IsTrue(v));
    } else if (cJSON_IsNumber(v)) {
        lua_pushnumber(L, v->valuedouble);
    } else if (cJSON_IsString(v)) {
        lua_pushstring(L, v->valuestring);
    } else if (cJSON_IsArray(v)) {
        push_array(c, v);
    } else {
        lua_newtable(L);
        for (const cJSON *item = v->child; item; item = item->next) {
            lua_pushstring(L, item->string);
            push_value(c, item);
            lua_rawset(L, -3);
        }
    }
}

void bind_text_position(const char *text, size_t offset, int *line, int *column) {
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            (*line)++;
            *column = 1;
        } else {
            (*column)++;
        }
    }
}

static int fail_at(lua_State *L, const char *text, size_t length, size_t offset, const char *what) {
    int line, column;
    bind_text_position(text, offset < length ? offset : length, &line, &column);
    lua_pushnil(L);
    lua_pushfstring(L, "JSON, line %d, column %d: %s", line, column, what);
    return 2;
}

/* core.json_decode(text[, null[, array_metatable]]): the value; or nil and a message with line and column.
 * null: what JSON's null becomes; without it fields that are null are absent. */
static int json_decode(lua_State *L) {
    bind_string(L, 1, "text");
    size_t length = 0;
    const char *text = lua_tolstring(L, 1, &length), *end = NULL;
    converter c = { L, lua_isnoneornil(L, 2) ? 0 : 2, lua_istable(L, 3) ? 3 : 0 };
    const char *zero = strstr(text, "\\u0000");
    if (zero)
        return fail_at(L, text, length, (size_t)(zero - text), "a zero character inside a string is not supported");
    tree *t = bind_guard(L, sizeof *t, tree_done);
    t->root = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (!end || end < text || end > text + length) end = text;
    if (!t->root) {
        return fail_at(L, text, length, (size_t)(end - text),
                       length == 0 ? "the text is empty" : "expected a value, a name or a separator here");
    }
    while (end < text + length && strchr(" \t\r\n", *end) && *end) end++;
    if (end != text + length) return fail_at(L, text, length, (size_t)(end - text), "unexpected text after the value");
    push_value(&c, t->root);
    bind_guard_done(L, lua_gettop(L) - 1);
    return 1;
}

void bind_open_text(lua_State *L) {
    lua_pushcfunction(L, json_decode);
    lua_setfield(L, -2, "json_decode");
    lua_pushcfunction(L, bind_yaml_decode);
    lua_setfield(L, -2, "yaml_decode");
    lua_pushcfunction(L, bind_yaml_encode);
    lua_setfield(L, -2, "yaml_encode");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
}
