/* bind_yaml.c: YAML through libyaml: one document of maps, lists and scalars (YAML 1.2's core types), anchors included.
 *
 * Events are read one by one, so that depth and aliases are bounded here: an alias gives the same table again, it is
 * never copied. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "bind_text.h"

#define MAX_DEPTH 200

/* ---- scalars ------------------------------------------------------------------------------------------------ */

typedef enum kind { IS_STRING, IS_NULL, IS_TRUE, IS_FALSE, IS_NUMBER } kind;

static bool any_of(const char *s, const char *const *list) {
    for (; *list; list++)
        if (strcmp(s, *list) == 0) return true;
    return false;
}

/* What an unquoted scalar means. */
static kind resolve(const char *s, double *number) {
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };
    if (any_of(s, nulls)) return IS_NULL;
    if (any_of(s, trues)) return IS_TRUE;
    if (any_of(s, falses)) return IS_FALSE;
    const char *p = s + (*s == '+' || *s == '-');
    double sign = *s == '-' ? -1.0 : 1.0;
    if (strcasecmp(p, ".inf") == 0) return *number = sign * INFINITY, IS_NUMBER;
    if (strcasecmp(s, ".nan") == 0) return *number = NAN, IS_NUMBER;
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'o') && p[2] && strlen(p) < 16) {
        char *end = NULL;
        unsigned long long v = strtoull(p + 2, &end, p[1] == 'x' ? 16 : 8);
        if (*end == 0) return *number = sign * (double)v, IS_NUMBER;
        return IS_STRING;
    }
    if (!strchr("0123456789.", *p) || !*p || strspn(p, "0123456789.eE+-") != strlen(p)) return IS_STRING;
    if (!strpbrk(p, "0123456789")) return IS_STRING;
    char *end = NULL;
    *number = strtod(s, &end);
    return *end == 0 ? IS_NUMBER : IS_STRING;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_parser, has_event;
    int null, array_mt, anchors;     /* stack indexes; 0 = none */
    char message[256];
} reader;

static void reader_done(void *block) {
    reader *r = block;
    if (r->has_event) yaml_event_delete(&r->event);
    if (r->has_parser) yaml_parser_delete(&r->parser);
    r->has_event = r->has_parser = false;
}

static bool fail(reader *r, yaml_mark_t mark, const char *what) {
    if (!r->message[0]) {
        snprintf(r->message, sizeof r->message, "YAML, line %d, column %d: %s", (int)mark.line + 1,
                 (int)mark.column + 1,
                 what);
    }
    return false;
}

static bool next(reader *r) {
    if (r->has_event) yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        char what[192];
        snprintf(what, sizeof what, "%s", r->parser.problem ? r->parser.problem : "cannot be read");
        return fail(r, r->parser.problem_mark, what);
    }
    r->has_event = true;
    return true;
}

static bool push_node(lua_State *L, reader *r, int depth);

static void push_scalar(lua_State *L, reader *r, bool key) {
    const char *s = (const char *)r->event.data.scalar.value;
    size_t n = r->event.data.scalar.length;
    double number = 0;
    kind k = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strlen(s) == n ? resolve(s, &number) : IS_STRING;
    if (k == IS_NUMBER && !(key && number != number)) lua_pushnumber(L, number);
    else if (k == IS_STRING || key) lua_pushlstring(L, s, n);
    else if (k == IS_TRUE || k == IS_FALSE) lua_pushboolean(L, k == IS_TRUE);
    else if (r->null) lua_pushvalue(L, r->null);
    else lua_pushnil(L);
}

/* anchors[name] = value at the top of the stack. */
static void note_anchor(lua_State *L, const reader *r, const yaml_char_t *name) {
    if (!name) return;
    lua_pushstring(L, (const char *)name);
    lua_pushvalue(L, -2);
    lua_rawset(L, r->anchors);
}

/* Pushes an anchor's name, or nil; inside itself it is not known yet. */
static void open_anchor(lua_State *L, const reader *r, const yaml_char_t *name) {
    lua_pushstring(L, (const char *)name); /* NULL: nil */
    if (!name) return;
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 0);
    lua_rawset(L, r->anchors);
}

/* Pops that name: it is the collection below it. */
static void close_anchor(lua_State *L, const reader *r) {
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -2);
    lua_rawset(L, r->anchors);
}

static bool push_sequence(lua_State *L, reader *r, int depth) {
    yaml_char_t *name = r->event.data.sequence_start.anchor;
    lua_newtable(L);
    if (r->array_mt) {
        lua_pushvalue(L, r->array_mt);
        lua_setmetatable(L, -2);
    }
    open_anchor(L, r, name);
    for (int n = 1;; n++) {
        if (!next(r)) return false;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) break;
        if (!push_node(L, r, depth + 1)) return false;
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_pushlightuserdata(L, NULL);
        }
        lua_rawseti(L, -3, n);
    }
    close_anchor(L, r);
    return true;
}

static bool push_mapping(lua_State *L, reader *r, int depth) {
    yaml_char_t *name = r->event.data.mapping_start.anchor;
    lua_newtable(L);
    open_anchor(L, r, name);
    for (;;) {
        if (!next(r)) return false;
        if (r->event.type == YAML_MAPPING_END_EVENT) break;
        if (r->event.type != YAML_SCALAR_EVENT) return fail(r, r->event.start_mark, "a key must be a plain name");
        if (strcmp((const char *)r->event.data.scalar.value, "<<") == 0)
            return fail(r, r->event.start_mark, "merge keys (<<) are not supported");
        push_scalar(L, r, true);
        lua_pushvalue(L, -1);
        lua_rawget(L, -4);
        if (!lua_isnil(L, -1)) return fail(r, r->event.start_mark, "the key is there twice");
        lua_pop(L, 1);
        if (!next(r) || !push_node(L, r, depth + 1)) return false;
        lua_rawset(L, -4);
    }
    close_anchor(L, r);
    return true;
}

/* Pushes one value on success; on failure the stack is left to the caller. */
static bool push_node(lua_State *L, reader *r, int depth) {
    if (depth > MAX_DEPTH) return fail(r, r->event.start_mark, "nested too deeply (over 200 levels)");
    luaL_checkstack(L, 12, "YAML nested too deeply");
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        push_scalar(L, r, false);
        note_anchor(L, r, r->event.data.scalar.anchor);
        return true;
    case YAML_ALIAS_EVENT:
        lua_pushstring(L, (const char *)r->event.data.alias.anchor);
        lua_rawget(L, r->anchors);
        if (lua_isnil(L, -1)) return fail(r, r->event.start_mark, "an alias without its anchor");
        if (lua_isboolean(L, -1) && !lua_toboolean(L, -1))
            return fail(r, r->event.start_mark, "an alias inside its own anchor, or of a false value");
        return true;
    case YAML_SEQUENCE_START_EVENT: return push_sequence(L, r, depth);
    case YAML_MAPPING_START_EVENT: return push_mapping(L, r, depth);
    default: return fail(r, r->event.start_mark, "a value was expected");
    }
}

/* Reads the only document; an empty one is nil. */
static bool read_document(lua_State *L, reader *r) {
    if (!next(r) || !next(r)) return false;
    if (r->event.type == YAML_STREAM_END_EVENT) {
        lua_pushnil(L);
        return true;
    }
    if (!next(r) || !push_node(L, r, 0)) return false;
    if (!next(r) || !next(r)) return false;
    if (r->event.type != YAML_STREAM_END_EVENT)
        return fail(r, r->event.start_mark, "a second document; one a file is expected");
    return true;
}

/* core.yaml_decode(text[, null[, array_metatable]]): the value; or nil and a message with line and column. */
int bind_yaml_decode(lua_State *L) {
    bind_string(L, 1, "text");
    lua_settop(L, 3);
    size_t n = 0;
    const char *text = lua_tolstring(L, 1, &n);
    reader *r = bind_guard(L, sizeof *r, reader_done);
    lua_newtable(L);
    r->anchors = lua_gettop(L);
    r->null = lua_isnil(L, 2) ? 0 : 2;
    r->array_mt = lua_istable(L, 3) ? 3 : 0;
    if (!yaml_parser_initialize(&r->parser)) return luaL_error(L, "not enough memory");
    r->has_parser = true;
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, n);
    bool ok = read_document(L, r);
    if (!ok) {
        lua_pushnil(L);
        lua_pushstring(L, r->message);
        bind_guard_done(L, r->anchors - 1);
        return 2;
    }
    bind_guard_done(L, r->anchors - 1);
    return 1;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

typedef struct writer {
    yaml_emitter_t emitter;
    bool has_emitter;
    char *text;
    size_t length, room;
} writer;

static void writer_done(void *block) {
    writer *w = block;
    if (w->has_emitter) yaml_emitter_delete(&w->emitter);
    free(w->text);
    memset(w, 0, sizeof *w);
}

static int on_write(void *ctx, unsigned char *data, size_t n) {
    writer *w = ctx;
    if (w->length + n > w->room) {
        size_t room = (w->length + n) * 2;
        char *grown = realloc(w->text, room);
        if (!grown) return 0;
        w->text = grown;
        w->room = room;
    }
    memcpy(w->text + w->length, data, n);
    w->length += n;
    return 1;
}

static void emit(lua_State *L, writer *w, yaml_event_t *e, int made) {
    if (!made || !yaml_emitter_emit(&w->emitter, e)) {
        luaL_error(L, "yaml: cannot write: %s", w->emitter.problem ? w->emitter.problem : "not enough memory");
    }
}

static void emit_scalar(lua_State *L, writer *w, const char *s, size_t n, bool plain) {
    yaml_event_t e;
    int ok = yaml_scalar_event_initialize(&e, NULL, NULL, (const yaml_char_t *)s, (int)n, plain, 1,
                                          plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    emit(L, w, &e, ok);
}

static void emit_string(lua_State *L, writer *w, int index) {
    size_t n = 0;
    double unused;
    const char *s = lua_tolstring(L, index, &n);
    bool plain = n > 0 && strlen(s) == n && resolve(s, &unused) == IS_STRING && strpbrk(s, "\n\r\t") == NULL;
    emit_scalar(L, w, s, n, plain);
}

static void emit_number(lua_State *L, writer *w, double v) {
    char text[40];
    if (v != v) snprintf(text, sizeof text, ".nan");
    else if (isinf(v)) snprintf(text, sizeof text, v > 0 ? ".inf" : "-.inf");
    else if (v == floor(v) && fabs(v) < 1e15) snprintf(text, sizeof text, "%.0f", v);
    else
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, v);
            if (strtod(text, NULL) == v) break;
        }
    emit_scalar(L, w, text, strlen(text), true);
}

static void emit_value(lua_State *L, writer *w, int index, int depth);

static void emit_list(lua_State *L, writer *w, int index, int depth) {
    yaml_event_t e;
    bool scalars = true;
    int n = (int)lua_objlen(L, index);
    for (int i = 1; i <= n && scalars; i++) {
        lua_rawgeti(L, index, i);
        scalars = !lua_istable(L, -1);
        lua_pop(L, 1);
    }
    emit(L, w, &e, yaml_sequence_start_event_initialize(&e, NULL, NULL, 1, scalars ? YAML_FLOW_SEQUENCE_STYLE
                                                                                  : YAML_BLOCK_SEQUENCE_STYLE));
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, index, i);
        emit_value(L, w, lua_gettop(L), depth + 1);
        lua_pop(L, 1);
    }
    emit(L, w, &e, yaml_sequence_end_event_initialize(&e));
}

/* Pushes the keys, sorted as text: numbers in front. */
static void push_sorted_keys(lua_State *L, int index) {
    lua_newtable(L);
    int n = 0, keys = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER) {
            luaL_error(L, "yaml: a key must be a string or a number, got %s", bind_type_name(L, -1));
        }
        lua_pushvalue(L, -1);
        lua_tostring(L, -1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, keys, ++n);
        lua_pop(L, 1);
    }
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "sort");
    lua_pushvalue(L, keys);
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}

static void emit_map(lua_State *L, writer *w, int index, int depth) {
    yaml_event_t e;
    emit(L, w, &e, yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
    push_sorted_keys(L, index);
    int keys = lua_gettop(L);
    for (int i = 1; i <= (int)lua_objlen(L, keys); i++) {
        lua_rawgeti(L, keys, i);
        emit_string(L, w, lua_gettop(L));
        lua_pushvalue(L, -1);
        lua_rawget(L, index);
        if (lua_isnil(L, -1)) {                     /* the key was a number */
            lua_pop(L, 1);
            lua_pushnumber(L, lua_tonumber(L, -1));
            lua_rawget(L, index);
        }
        emit_value(L, w, lua_gettop(L), depth + 1);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    emit(L, w, &e, yaml_mapping_end_event_initialize(&e));
}

static bool is_list(lua_State *L, int index) {
    lua_rawgeti(L, index, 1);
    bool list = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (list || !lua_getmetatable(L, index)) return list;
    lua_getglobal(L, "require");                    /* an empty list is marked by json.array */
    lua_pushliteral(L, "luabench.json");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "is_array");
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    list = lua_toboolean(L, -1);
    lua_pop(L, 3);
    return list;
}

/* json.null is the table that shows itself as "null". */
static bool is_null(lua_State *L, int index) {
    int top = lua_gettop(L);
    const char *text = luaL_callmeta(L, index, "__tostring") ? lua_tostring(L, -1) : NULL;
    bool null = text && strcmp(text, "null") == 0;
    lua_settop(L, top);
    return null;
}

static void emit_value(lua_State *L, writer *w, int index, int depth) {
    if (depth > MAX_DEPTH)
        luaL_error(L, "yaml: nested too deeply (over %d levels), or a table inside itself", MAX_DEPTH);
    luaL_checkstack(L, 16, "yaml: nested too deeply");
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: lua_toboolean(L, index) ? emit_scalar(L, w, "true", 4, true)
        : emit_scalar(L, w, "false", 5, true); break;
    case LUA_TNUMBER: emit_number(L, w, lua_tonumber(L, index)); break;
    case LUA_TSTRING: emit_string(L, w, index); break;
    case LUA_TTABLE:
        if (is_list(L, index)) emit_list(L, w, index, depth);
        else if (is_null(L, index)) emit_scalar(L, w, "null", 4, true);
        else emit_map(L, w, index, depth);
        break;
    case LUA_TNIL: case LUA_TLIGHTUSERDATA: emit_scalar(L, w, "null", 4, true); break;
    default: luaL_error(L, "yaml: a %s cannot be written", bind_type_name(L, index));
    }
}

/* core.yaml_encode(value): text. Keys are sorted; lists of scalars stay on one line. */
int bind_yaml_encode(lua_State *L) {
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    writer *w = bind_guard(L, sizeof *w, writer_done);
    yaml_event_t e;
    if (!yaml_emitter_initialize(&w->emitter)) return luaL_error(L, "not enough memory");
    w->has_emitter = true;
    yaml_emitter_set_output(&w->emitter, on_write, w);
    yaml_emitter_set_unicode(&w->emitter, 1);
    yaml_emitter_set_width(&w->emitter, 110);
    emit(L, w, &e, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING));
    emit(L, w, &e, yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1));
    emit_value(L, w, 1, 0);
    emit(L, w, &e, yaml_document_end_event_initialize(&e, 1));
    emit(L, w, &e, yaml_stream_end_event_initialize(&e));
    if (!yaml_emitter_flush(&w->emitter)) return luaL_error(L, "yaml: cannot write");
    lua_pushlstring(L, w->text ? w->text : "", w->length);
    bind_guard_done(L, 2);
    return 1;
}
