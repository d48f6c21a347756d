/* bind_tokenizer.c: tokenizers as objects: encode, decode, and text as it grows. */
#include <stdlib.h>
#include <string.h>

#include "../io/file.h"
#include "../io/model_file.h"
#include "../text/tokenizer.h"
#include "bind.h"

#define JSON_MAX ((uint64_t)256 << 20)

/* A tokenizer and what uses it: streams keep it alive. */
typedef struct shared { lb_tokenizer *t; int users; } shared;
typedef struct stream { shared *of; lb_text_stream *s; } stream;

static void drop(shared *s) {
    if (--s->users > 0) return;
    lb_tokenizer_free(s->t);
    free(s);
}

static void tokenizer_release(void *o) { drop(o); }
static void stream_release(void *o) {
    stream *s = o;
    lb_text_stream_free(s->s);
    drop(s->of);
    free(s);
}

static lb_tokenizer *check(lua_State *L) { return ((shared *)bind_check(L, 1, &bind_tokenizer))->t; }

typedef struct memory { void *at; } memory;
static void memory_done(void *block) { free(((memory *)block)->at); }

/* t:encode(text[, { special = true }]): token numbers */
static int encode(lua_State *L) {
    static const char *const keys[] = { "special", NULL };
    lb_tokenizer *t = check(L);
    size_t bytes, count;
    bind_string(L, 2, "text");
    lua_settop(L, 3);
    bind_check_keys(L, 3, "encode", keys);
    bool special = bind_opt_boolean(L, 3, "special", false);
    const char *text = lua_tolstring(L, 2, &bytes);
    memory *m = bind_guard(L, sizeof *m, memory_done);
    int32_t *ids;
    BIND_TRY(L, lb_tokenizer_encode(t, text, bytes, special, &ids, &count));
    m->at = ids;
    lua_createtable(L, count < 1 << 26 ? (int)count : 0, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    bind_guard_done(L, lua_gettop(L) - 1);
    return 1;
}

/* t:decode({ numbers }[, { skip_special = true }]): text */
static int decode(lua_State *L) {
    static const char *const keys[] = { "skip_special", NULL };
    lb_tokenizer *t = check(L);
    if (!lua_istable(L, 2))
        return luaL_error(L, "decode: a list of token numbers expected, got %s", bind_type_name(L, 2));
    lua_settop(L, 3);
    bind_check_keys(L, 3, "decode", keys);
    bool skip = bind_opt_boolean(L, 3, "skip_special", false);
    size_t n = lua_objlen(L, 2), bytes;
    int32_t *ids = lua_newuserdata(L, (n + 1) * sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        ids[i] = (int32_t)bind_integer(L, -1, "token", 0, INT32_MAX);
        lua_pop(L, 1);
    }
    memory *m = bind_guard(L, sizeof *m, memory_done);
    char *text;
    BIND_TRY(L, lb_tokenizer_decode(t, ids, n, skip, &text, &bytes));
    m->at = text;
    lua_pushlstring(L, text, bytes);
    bind_guard_done(L, lua_gettop(L) - 1);
    return 1;
}

/* t:token(number): its text as the file has it; nil if there is none */
static int token(lua_State *L) {
    size_t bytes;
    lb_tokenizer *t = check(L);
    const char *text = lb_tokenizer_token(t, bind_integer(L, 2, "token", 0, INT32_MAX), &bytes);
    if (text) lua_pushlstring(L, text, bytes);
    else lua_pushnil(L);
    return 1;
}

/* t:id(text): the number of a token; nil if there is none */
static int id(lua_State *L) {
    size_t bytes;
    lb_tokenizer *t = check(L);
    bind_string(L, 2, "text");
    const char *text = lua_tolstring(L, 2, &bytes);
    int64_t n = lb_tokenizer_id(t, text, bytes);
    if (n >= 0) lua_pushnumber(L, (double)n);
    else lua_pushnil(L);
    return 1;
}

/* t:is_special(number) */
static int is_special(lua_State *L) {
    lb_tokenizer *t = check(L);
    lua_pushboolean(L, lb_tokenizer_is_special(t, bind_integer(L, 2, "token", 0, INT32_MAX)));
    return 1;
}

/* t:kind(number): "normal", "special", "added", "byte" or "unknown"; nil if there is no such token */
static int kind(lua_State *L) {
    lb_tokenizer *t = check(L);
    const char *name = lb_tokenizer_kind(t, bind_integer(L, 2, "token", 0, INT32_MAX));
    if (name) lua_pushstring(L, name);
    else lua_pushnil(L);
    return 1;
}

/* t:score(number) */
static int score(lua_State *L) {
    lb_tokenizer *t = check(L);
    lua_pushnumber(L, lb_tokenizer_score(t, bind_integer(L, 2, "token", 0, INT32_MAX)));
    return 1;
}

/* t:merges(): BPE's merges as { { left, right }, ... } of token numbers, the first one first */
static int merges(lua_State *L) {
    lb_tokenizer *t = check(L);
    memory *m = bind_guard(L, sizeof *m, memory_done);
    lb_token_pair *pairs;
    size_t count;
    BIND_TRY(L, lb_tokenizer_merges(t, &pairs, &count));
    m->at = pairs;
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_createtable(L, 2, 0);
        lua_pushnumber(L, pairs[i].left);
        lua_rawseti(L, -2, 1);
        lua_pushnumber(L, pairs[i].right);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (int)i + 1);
    }
    bind_guard_done(L, lua_gettop(L) - 1);
    return 1;
}

/* t:stream([{ skip_special = true }]) */
static int new_stream(lua_State *L) {
    static const char *const keys[] = { "skip_special", NULL };
    check(L);
    shared *of = *(void **)lua_touserdata(L, 1);
    lua_settop(L, 2);
    bind_check_keys(L, 2, "stream", keys);
    bool skip = bind_opt_boolean(L, 2, "skip_special", false);
    void **box = bind_box(L, &bind_text_stream);
    stream *s = calloc(1, sizeof *s);
    if (!s) return luaL_error(L, "not enough memory for a stream of text");
    lb_status st = lb_text_stream_new(of->t, skip, &s->s);
    if (st) {
        free(s);
        return bind_raise(L, st);
    }
    s->of = of;
    of->users++;
    *box = s;
    return 1;
}

static void tok_size(lua_State *L, void *o) { lua_pushnumber(L, (double)lb_tokenizer_size(((shared *)o)->t)); }
static void tok_model(lua_State *L, void *o) { lua_pushstring(L, lb_tokenizer_model(((shared *)o)->t)); }
static void push_special(lua_State *L, void *o, const char *which) {
    int64_t n = lb_tokenizer_special(((shared *)o)->t, which);
    if (n >= 0) lua_pushnumber(L, (double)n);
    else lua_pushnil(L);
}
static void tok_bos(lua_State *L, void *o) { push_special(L, o, "bos"); }
static void tok_eos(lua_State *L, void *o) { push_special(L, o, "eos"); }
static void tok_unk(lua_State *L, void *o) { push_special(L, o, "unk"); }
static void tok_pad(lua_State *L, void *o) { push_special(L, o, "pad"); }
static void tok_eot(lua_State *L, void *o) { push_special(L, o, "eot"); }

static int tok_tostring(lua_State *L) {
    const shared *s = bind_peek(L, 1, &bind_tokenizer);
    if (!s) return lua_pushliteral(L, "tokenizer (closed)"), 1;
    lua_pushfstring(L, "tokenizer: %s, %d tokens", lb_tokenizer_model(s->t), (int)lb_tokenizer_size(s->t));
    return 1;
}

static const luaL_Reg tok_methods[] = { { "encode", encode }, { "decode", decode }, { "token", token }, { "id", id },
                                        { "is_special", is_special }, { "stream", new_stream },
                                        { "kind", kind }, { "score", score }, { "merges", merges }, { NULL, NULL } };
static const luaL_Reg tok_meta[] = { { "__tostring", tok_tostring }, { NULL, NULL } };
static const bind_field tok_fields[] = { { "size", tok_size }, { "model", tok_model }, { "bos", tok_bos },
                                         { "eos", tok_eos },   { "unk", tok_unk },     { "pad", tok_pad },
                                         { "eot", tok_eot },   { NULL, NULL } };
const bind_class bind_tokenizer = { "tokenizer", tokenizer_release, tok_methods, tok_meta, tok_fields };

/* ---- streams ---------------------------------------------------------------------------------------------------- */

/* s:add(number): the text that it completes */
static int stream_add(lua_State *L) {
    stream *s = bind_check(L, 1, &bind_text_stream);
    const char *text;
    size_t bytes;
    int32_t n = (int32_t)bind_integer(L, 2, "token", 0, INT32_MAX);
    BIND_TRY(L, lb_text_stream_add(s->s, n, &text, &bytes));
    lua_pushlstring(L, text, bytes);
    return 1;
}

/* s:finish(): what is left */
static int stream_finish(lua_State *L) {
    stream *s = bind_check(L, 1, &bind_text_stream);
    const char *text;
    size_t bytes;
    BIND_TRY(L, lb_text_stream_finish(s->s, &text, &bytes));
    lua_pushlstring(L, text, bytes);
    return 1;
}

static int stream_tostring(lua_State *L) {
    lua_pushstring(L, bind_peek(L, 1, &bind_text_stream) ? "text_stream" : "text_stream (closed)");
    return 1;
}

static const luaL_Reg stream_methods[] = { { "add", stream_add }, { "finish", stream_finish }, { NULL, NULL } };
static const luaL_Reg stream_meta[] = { { "__tostring", stream_tostring }, { NULL, NULL } };
static const bind_field stream_fields[] = { { NULL, NULL } };
const bind_class bind_text_stream = { "text_stream", stream_release, stream_methods, stream_meta, stream_fields };

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* core.tokenizer(path of a tokenizer.json, or a model_file in GGUF) */
static int tokenizer(lua_State *L) {
    const lb_model_file *f = bind_is(L, 1, &bind_model_file) ? bind_check(L, 1, &bind_model_file) : NULL;
    const char *path = f ? NULL : bind_path(L, 1, "path");
    memory *m = bind_guard(L, sizeof *m, memory_done);
    char *text = NULL;
    size_t bytes = 0;
    void **box = bind_box(L, &bind_tokenizer);
    if (!f) BIND_TRY(L, lb_file_read(path, JSON_MAX, &text, &bytes));
    m->at = text;
    shared *s = calloc(1, sizeof *s);
    if (!s) return luaL_error(L, "not enough memory for a tokenizer");
    lb_status st = f ? lb_tokenizer_from_gguf(f, &s->t) : lb_tokenizer_from_json(path, text, bytes, &s->t);
    if (st) {
        free(s);
        return bind_raise(L, st);
    }
    s->users = 1;
    *box = s;
    return 1;
}

void bind_open_tokenizer(lua_State *L) {
    bind_class_register(L, &bind_tokenizer);
    bind_class_register(L, &bind_text_stream);
    lua_pushcfunction(L, tokenizer);
    lua_setfield(L, -2, "tokenizer");
}
