/* bind_model_file.c: model files as objects: tensors by name, metadata, and writing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../io/gguf.h"
#include "../io/json.h"
#include "../io/model_writer.h"
#include "../io/mxfp4_blocks.h"
#include "../io/safetensors.h"
#include "../quantizer.h"
#include "bind.h"

/* ---- reading ---------------------------------------------------------------------------------------------------- */

#define FILE_OF(o) ((const lb_model_file *)(o))

static lb_model_file *check_file(lua_State *L, int arg) { return bind_check(L, arg, &bind_model_file); }

static const lb_stored *check_name(lua_State *L, const lb_model_file *f) {
    const char *name = bind_string(L, 2, "name");
    const lb_stored *t = strlen(name) == lua_objlen(L, 2) ? lb_model_file_find(f, name) : NULL;
    if (t) return t;
    lua_createtable(L, (int)f->count, 0);
    for (uint32_t i = 0; i < f->count; i++) {
        lua_pushstring(L, f->tensors[i].name);
        lua_rawseti(L, -2, (int)i + 1);
    }
    bind_push_hint(L, name, lua_gettop(L));
    luaL_error(L, "%s has no tensor \"%s\"%s", f->path, lb_shown(name, strlen(name)), lua_tostring(L, -1));
    return NULL;
}

/* f:tensor(name): a view of the mapped file */
static int file_tensor(lua_State *L) {
    const lb_model_file *f = check_file(L, 1);
    const lb_stored *t = check_name(L, f);
    void **box = bind_box(L, &bind_tensor);
    BIND_TRY(L, lb_model_file_tensor(f, t, (lb_tensor **)box));
    return 1;
}

/* f:bytes(name): as stored, u8 */
static int file_bytes(lua_State *L) {
    const lb_model_file *f = check_file(L, 1);
    const lb_stored *t = check_name(L, f);
    void **box = bind_box(L, &bind_tensor);
    BIND_TRY(L, lb_model_file_bytes(f, t, (lb_tensor **)box));
    return 1;
}

static void push_shape(lua_State *L, const lb_stored *t) {
    lua_createtable(L, t->rank, 0);
    for (int i = 0; i < t->rank; i++) {
        lua_pushnumber(L, (double)t->dims[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* f:info(name): { name, type, shape, bytes, offset, part[, dtype][, recipe] }; without dtype only its bytes can be had.
 */
static int file_info(lua_State *L) {
    const lb_model_file *f = check_file(L, 1);
    const lb_stored *t = check_name(L, f);
    const lb_quantizer *q = NULL;
    lua_newtable(L);
    bind_set_string(L, "name", t->name);
    bind_set_string(L, "type", t->type->name);
    push_shape(L, t);
    lua_setfield(L, -2, "shape");
    bind_set_number(L, "bytes", (double)t->bytes);
    bind_set_number(L, "offset", (double)t->offset);
    bind_set_number(L, "part", t->part + 1);
    if (t->type->dtype == LB_QUANT && lb_quantizer_find(t->type->recipe, &q) == LB_OK) {
        bind_set_string(L, "recipe", q->name);
        bind_set_string(L, "dtype", lb_dtype_name(LB_QUANT));
    } else if (t->type->dtype < LB_QUANT) {
        bind_set_string(L, "dtype", lb_dtype_name(t->type->dtype));
    }
    return 1;
}

/* f:names(): of the tensors, in file order */
static int file_names(lua_State *L) {
    const lb_model_file *f = check_file(L, 1);
    lua_createtable(L, (int)f->count, 0);
    for (uint32_t i = 0; i < f->count; i++) {
        lua_pushstring(L, f->tensors[i].name);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* Numbers; whole ones that a Lua number cannot hold exactly are text. */
static void push_number(lua_State *L, const lb_meta *m, lb_meta_type type, uint64_t i) {
    char text[24];
    if (type == LB_META_BOOL) {
        lua_pushboolean(L, m->data[i]);
        return;
    }
    double v = lb_meta_number(m, i);
    if ((type == LB_META_U64 || type == LB_META_I64) && !(v <= 0x1p53 && v >= -0x1p53)) {
        uint64_t u;
        memcpy(&u, m->data + i * 8, 8);
        snprintf(text, sizeof text, type == LB_META_U64 ? "%llu" : "%lld", (unsigned long long)u);
        lua_pushstring(L, text);
        return;
    }
    lua_pushnumber(L, v);
}

static void push_meta(lua_State *L, const lb_meta *m) {
    const char *text;
    uint64_t at = 0, bytes;
    if (m->type == LB_META_STRING) {
        lua_pushlstring(L, (const char *)m->data, m->bytes);
    } else if (m->type != LB_META_ARRAY) {
        push_number(L, m, m->type, 0);
    } else {
        lua_createtable(L, m->count < 1 << 20 ? (int)m->count : 0, 0);
        for (uint64_t i = 0; i < m->count; i++) {
            if (m->item != LB_META_STRING) push_number(L, m, m->item, i);
            else if (lb_meta_next_string(m, &at, &text, &bytes)) lua_pushlstring(L, text, bytes);
            else break;
            lua_rawseti(L, -2, (int)i + 1);
        }
    }
}

/* f:metadata([key]): the value, nil if it is not there; or all of them by key. */
static int file_metadata(lua_State *L) {
    const lb_model_file *f = check_file(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        const lb_meta *m = lb_model_file_meta(f, bind_string(L, 2, "key"));
        if (m) push_meta(L, m);
        else lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, 0, (int)f->meta_count);
    for (uint32_t i = 0; i < f->meta_count; i++) {
        lua_pushstring(L, f->metas[i].key);
        push_meta(L, &f->metas[i]);
        lua_rawset(L, -3);
    }
    return 1;
}

/* f:metadata_types(): { key = "u32" } or "array:string" */
static int file_metadata_types(lua_State *L) {
    const lb_model_file *f = check_file(L, 1);
    lua_createtable(L, 0, (int)f->meta_count);
    for (uint32_t i = 0; i < f->meta_count; i++) {
        const lb_meta *m = &f->metas[i];
        lua_pushstring(L, m->key);
        if (m->type == LB_META_ARRAY) lua_pushfstring(L, "array:%s", lb_meta_type_name(m->item));
        else lua_pushstring(L, lb_meta_type_name(m->type));
        lua_rawset(L, -3);
    }
    return 1;
}

static void file_format(lua_State *L, void *o) { lua_pushstring(L, FILE_OF(o)->format); }
static void file_path(lua_State *L, void *o) { lua_pushstring(L, FILE_OF(o)->path); }
static void file_version(lua_State *L, void *o) {
    if (FILE_OF(o)->version) lua_pushnumber(L, FILE_OF(o)->version);
    else lua_pushnil(L);
}
static void file_alignment(lua_State *L, void *o) {
    if (FILE_OF(o)->alignment) lua_pushnumber(L, FILE_OF(o)->alignment);
    else lua_pushnil(L);
}
static void file_count(lua_State *L, void *o) { lua_pushnumber(L, FILE_OF(o)->count); }
static void file_nbytes(lua_State *L, void *o) {
    double sum = 0;
    for (uint32_t i = 0; i < FILE_OF(o)->count; i++) sum += (double)FILE_OF(o)->tensors[i].bytes;
    lua_pushnumber(L, sum);
}
static void file_parts(lua_State *L, void *o) {
    lua_createtable(L, FILE_OF(o)->part_count, 0);
    for (int i = 0; i < FILE_OF(o)->part_count; i++) {
        lua_pushstring(L, FILE_OF(o)->part_paths[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static int file_tostring(lua_State *L) {
    const lb_model_file *f = bind_peek(L, 1, &bind_model_file);
    if (!f) return lua_pushliteral(L, "model_file (closed)"), 1;
    lua_pushfstring(L, "model_file %s: %s, %d tensors in %d %s", f->path, f->format, (int)f->count, f->part_count,
                    f->part_count == 1 ? "file" : "files");
    return 1;
}

static void file_release(void *o) { lb_model_file_close(o); }

static const luaL_Reg file_methods[] = {
    { "tensor", file_tensor }, { "bytes", file_bytes }, { "info", file_info }, { "names", file_names },
    { "metadata", file_metadata }, { "metadata_types", file_metadata_types }, { NULL, NULL } };
static const luaL_Reg file_meta[] = { { "__tostring", file_tostring }, { NULL, NULL } };
static const bind_field file_fields[] = {
    { "format", file_format }, { "path", file_path }, { "version", file_version }, { "alignment", file_alignment },
    { "count", file_count }, { "nbytes", file_nbytes }, { "parts", file_parts }, { NULL, NULL } };
const bind_class bind_model_file = { "model_file", file_release, file_methods, file_meta, file_fields };

/* core.model_file(path[, device]) */
static int model_file(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    lb_device *d = bind_device_at(L, 2);
    lb_model_file **box = (lb_model_file **)bind_box(L, &bind_model_file);
    BIND_TRY(L, lb_model_file_open(path, d, box));
    return 1;
}

/* ---- metadata from Lua ------------------------------------------------------------------------------------------ */

typedef struct metas { lb_meta *list; uint32_t count; lb_arena arena; } metas;

static void metas_done(void *block) {
    metas *m = block;
    free(m->list);
    lb_arena_done(&m->arena);
}

/* Bounds of the whole-number types, and the text or number at `index` as one. */
static bool whole(lua_State *L, int index, lb_meta_type type, uint64_t *out) {
    static const double lo[] = { 0, -128, 0, -32768, 0, -0x1p31 },
                        hi[] = { 255, 127, 65535, 32767, 0x1p32 - 1, 0x1p31 - 1 };
    if (lua_type(L, index) == LUA_TSTRING && (type == LB_META_U64 || type == LB_META_I64)) {
        char again[32], *end;
        const char *text = lua_tostring(L, index);
        if (type == LB_META_U64) *out = strtoull(text, &end, 10);
        else *out = (uint64_t)strtoll(text, &end, 10);
        snprintf(again, sizeof again, type == LB_META_U64 ? "%llu" : "%lld", (unsigned long long)*out);
        return strcmp(again, text) == 0;
    }
    double v = lua_tonumber(L, index);
    if (lua_type(L, index) != LUA_TNUMBER || v != v || v < -0x1p53 || v > 0x1p53 || v != (double)(int64_t)v)
        return false;
    if (type <= LB_META_I32 && (v < lo[type] || v > hi[type])) return false;
    if (type == LB_META_U64 && v < 0) return false;
    *out = (uint64_t)(int64_t)v;
    return true;
}

/* Stores the number or bool at `index`; false = it does not fit the type. */
static bool store_number(lua_State *L, int index, lb_meta_type type, uint8_t *to) {
    uint64_t u = 0;
    if (type == LB_META_BOOL) {
        if (!lua_isboolean(L, index)) return false;
        *to = (uint8_t)lua_toboolean(L, index);
        return true;
    }
    if (type == LB_META_F32 || type == LB_META_F64) {
        if (lua_type(L, index) != LUA_TNUMBER) return false;
        double v = lua_tonumber(L, index);
        float f = (float)v;
        if (type == LB_META_F32) memcpy(to, &f, 4);
        else memcpy(to, &v, 8);
        return true;
    }
    if (!whole(L, index, type, &u)) return false;
    memcpy(to, &u, lb_meta_type_size(type));
    return true;
}

static void *take(lua_State *L, metas *m, size_t bytes) {
    void *p = lb_arena_take(&m->arena, bytes ? bytes : 1);
    if (!p) bind_raise(L, LB_ENOMEM);
    return p;
}

static int misfit(lua_State *L, const char *key, const char *type, int index) {
    return luaL_error(L, "metadata %s: a value of type %s expected, got %s", key, type,
                      lua_type(L, index) == LUA_TNUMBER ? lua_tostring(L, index) : bind_type_name(L, index));
}

static void store_array(lua_State *L, metas *m, lb_meta *to, int index) {
    if (!lua_istable(L, index)) misfit(L, to->key, "array", index);
    size_t n = lua_objlen(L, index), size = lb_meta_type_size(to->item);
    to->count = n;
    to->bytes = n * size;
    for (size_t i = 1; i <= n && !size; i++) {
        lua_rawgeti(L, index, (int)i);
        if (lua_type(L, -1) != LUA_TSTRING) misfit(L, to->key, "string", lua_gettop(L));
        to->bytes += 8 + lua_objlen(L, -1);
        lua_pop(L, 1);
    }
    uint8_t *p = take(L, m, to->bytes);
    to->data = p;
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, index, (int)i);
        if (size) {
            if (!store_number(L, lua_gettop(L), to->item, p))
                misfit(L, to->key, lb_meta_type_name(to->item), lua_gettop(L));
            p += size;
        } else {
            size_t bytes;
            const char *text = lua_tolstring(L, -1, &bytes);
            uint64_t length = bytes;
            memcpy(p, &length, 8);
            memcpy(p + 8, text, bytes);
            p += 8 + bytes;
        }
        lua_pop(L, 1);
    }
}

/* One { key, type, value }, on top of the stack. */
static void read_meta(lua_State *L, metas *m, lb_meta *to) {
    int entry = lua_gettop(L);
    for (int i = 1; i <= 3; i++) lua_rawgeti(L, entry, i);
    const char *key = bind_string(L, entry + 1, "metadata key"), *type = bind_string(L, entry + 2, "metadata type");
    if (strlen(key) != lua_objlen(L, entry + 1)) luaL_error(L, "a metadata key has a zero byte in it");
    if (!(to->key = lb_arena_text(&m->arena, key, strlen(key)))) bind_raise(L, LB_ENOMEM);
    bool array = strncmp(type, "array:", 6) == 0;
    to->item = lb_meta_type_parse(array ? type + 6 : type);
    to->type = array ? LB_META_ARRAY : to->item;
    to->count = 1;
    if (to->item == LB_META_COUNT || to->item == LB_META_ARRAY)
        luaL_error(L,
                   "metadata %s: unknown type \"%s\"; there are u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bool string and "
                   "array:TYPE",
                   key, type);
    if (array) {
        store_array(L, m, to, entry + 3);
    } else if (to->type == LB_META_STRING) {
        size_t bytes;
        if (lua_type(L, entry + 3) != LUA_TSTRING) misfit(L, key, type, entry + 3);
        const char *text = lua_tolstring(L, entry + 3, &bytes);
        to->data = (const uint8_t *)lb_arena_text(&m->arena, text, bytes);
        to->bytes = bytes;
        if (!to->data) bind_raise(L, LB_ENOMEM);
    } else {
        uint8_t *p = take(L, m, 8);
        to->data = p;
        to->bytes = lb_meta_type_size(to->type);
        if (!store_number(L, entry + 3, to->type, p)) misfit(L, key, type, entry + 3);
    }
    lua_settop(L, entry);
}

/* Without metamethods: what is returned stays anchored by the table. */
static void push_raw(lua_State *L, int index, const char *key) {
    lua_pushstring(L, key);
    lua_rawget(L, index);
}

/* The list at `index` after those entries of `from` (may be NULL) whose keys are not among `skip` (a table of keys).
 * The result is a guard on the stack. */
static metas *read_metas(lua_State *L, int index, const lb_model_file *from, int skip) {
    metas *m = bind_guard(L, sizeof *m, metas_done);
    size_t n = lua_istable(L, index) ? lua_objlen(L, index) : 0, kept = from ? from->meta_count : 0;
    if (n > 10000000) luaL_error(L, "too much metadata");
    m->list = calloc(n + kept + 1, sizeof *m->list);
    if (!m->list) luaL_error(L, "not enough memory for the metadata");
    for (size_t i = 0; i < kept; i++) {
        if (lua_istable(L, skip)) {
            push_raw(L, skip, from->metas[i].key);
            bool skipped = lua_toboolean(L, -1);
            lua_pop(L, 1);
            if (skipped) continue;
        }
        m->list[m->count++] = from->metas[i];
    }
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, index, (int)i);
        if (!lua_istable(L, -1))
            luaL_error(L, "metadata: an entry { key, type, value } expected, got %s", bind_type_name(L, -1));
        read_meta(L, m, &m->list[m->count]);
        m->count++;
        lua_pop(L, 1);
    }
    return m;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static lb_model_writer *check_writer(lua_State *L, int arg) { return bind_check(L, arg, &bind_model_writer); }

/* w:add(i, tensor): tensor i of the list, from 1 */
static int writer_add(lua_State *L) {
    lb_model_writer *w = check_writer(L, 1);
    int64_t i = bind_integer(L, 2, "index", 1, UINT32_MAX);
    BIND_TRY(L, lb_model_writer_add(w, (uint32_t)(i - 1), bind_check_tensor(L, 3)));
    return 0;
}

/* w:add_bytes(i, tensor of u8): as stored */
static int writer_add_bytes(lua_State *L) {
    lb_model_writer *w = check_writer(L, 1);
    int64_t i = bind_integer(L, 2, "index", 1, UINT32_MAX);
    BIND_TRY(L, lb_model_writer_add_bytes(w, (uint32_t)(i - 1), bind_check_tensor(L, 3)));
    return 0;
}

/* w:finish(): puts the files in place; the list of their names */
static int writer_finish(lua_State *L) {
    lb_model_writer *w = check_writer(L, 1);
    lua_createtable(L, w->part_count, 0);
    for (int p = 0; p < w->part_count; p++) {
        lua_pushstring(L, w->part_paths[p]);
        lua_rawseti(L, -2, p + 1);
    }
    *(void **)lua_touserdata(L, 1) = NULL;
    lb_status s = lb_model_writer_finish(w, true);
    if (s) return bind_raise(L, s);
    return 1;
}

static void writer_release(void *o) { lb_model_writer_finish(o, false); }

static int writer_tostring(lua_State *L) {
    const lb_model_writer *w = bind_peek(L, 1, &bind_model_writer);
    if (!w) return lua_pushliteral(L, "model_writer (closed)"), 1;
    lua_pushfstring(L, "model_writer %s: %d tensors", w->path, (int)w->count);
    return 1;
}

static const luaL_Reg writer_methods[] = {
    { "add", writer_add }, { "add_bytes", writer_add_bytes }, { "finish", writer_finish }, { NULL, NULL } };
static const luaL_Reg writer_meta[] = { { "__tostring", writer_tostring }, { NULL, NULL } };
static const bind_field writer_fields[] = { { NULL, NULL } };
const bind_class bind_model_writer = { "model_writer", writer_release, writer_methods, writer_meta, writer_fields };

static int unknown_type(lua_State *L, const char *format, const char *type, const lb_file_type *(*at)(int)) {
    lua_newtable(L);
    for (int i = 0; at(i); i++) {
        lua_pushstring(L, at(i)->name);
        lua_rawseti(L, -2, i + 1);
    }
    bind_push_hint(L, type, -1);
    return luaL_error(L, "%s cannot store elements of type \"%s\"%s", format, type, lua_tostring(L, -1));
}

/* One { name =, shape =, type = }, on top of the stack. */
static void read_stored(lua_State *L, bool gguf, lb_stored *t) {
    int entry = lua_gettop(L);
    if (!lua_istable(L, entry))
        luaL_error(L, "tensors: { name =, shape =, type = } expected, got %s", bind_type_name(L, entry));
    push_raw(L, entry, "name");
    push_raw(L, entry, "type");
    push_raw(L, entry, "shape");
    t->name = bind_string(L, entry + 1, "name");
    if (strlen(t->name) != lua_objlen(L, entry + 1)) luaL_error(L, "a tensor's name has a zero byte in it");
    const char *type = bind_string(L, entry + 2, "type");
    t->type = gguf ? lb_gguf_type_named(type) : lb_safetensors_type_named(type);
    if (!t->type) unknown_type(L, gguf ? "GGUF" : "safetensors", type, gguf ? lb_gguf_type_at : lb_safetensors_type_at);
    if (!lua_istable(L, entry + 3))
        luaL_error(L, "tensor %s: a shape expected, got %s", t->name, bind_type_name(L, entry + 3));
    if (lua_objlen(L, entry + 3)) t->rank = bind_dims(L, entry + 3, "shape", t->dims);
    lua_settop(L, entry);
}

/* core.model_writer(path, format, { { name =, shape =, type = }, ... }, { { key, type, value }, ... }
 *                   [, { version =, split_bytes = }[, from, { key = true }]]) */
static int model_writer(lua_State *L) {
    static const char *const keys[] = { "version", "split_bytes", NULL };
    const char *path = bind_path(L, 1, "path"), *format = bind_string(L, 2, "format");
    bool gguf = strcmp(format, "gguf") == 0;
    if (!gguf && strcmp(format, "safetensors") != 0)
        return luaL_error(L, "format: \"gguf\" or \"safetensors\" expected, got \"%s\"", format);
    if (!lua_istable(L, 3)) return luaL_error(L, "tensors: a list expected, got %s", bind_type_name(L, 3));
    lua_settop(L, 7);
    bind_check_keys(L, 5, "model_writer", keys);
    lb_writer_options o = { .version = (uint32_t)bind_opt_integer(L, 5, "version", 0, 0, 100),
                            .split_bytes = (uint64_t)bind_opt_integer(L, 5, "split_bytes", 0, 0, BIND_INT_MAX) };
    const lb_model_file *from = lua_isnil(L, 6) ? NULL : check_file(L, 6);
    metas *m = read_metas(L, 4, from, 7);
    size_t n = lua_objlen(L, 3);
    if (n > 10000000) return luaL_error(L, "too many tensors");
    lb_stored *list = lua_newuserdata(L, (n + 1) * sizeof *list);
    memset(list, 0, (n + 1) * sizeof *list);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, 3, (int)i);
        read_stored(L, gguf, &list[i - 1]);     /* its name is anchored by the list */
        lua_pop(L, 1);
    }
    lb_model_writer **box = (lb_model_writer **)bind_box(L, &bind_model_writer);
    BIND_TRY(L, (gguf ? lb_gguf_create : lb_safetensors_create)(path, m->list, m->count, list, (uint32_t)n, o, box));
    return 1;
}

/* core.mxfp4_blocks(blocks, scales, first (from 1), step): mxfp4, of Hugging Face's blocks; see mxfp4_blocks.h. */
static int mxfp4_blocks(lua_State *L) {
    const lb_tensor *blocks = bind_check_tensor(L, 1), *scales = bind_check_tensor(L, 2);
    int64_t first = bind_integer(L, 3, "first", 1, INT32_MAX), step = bind_integer(L, 4, "step", 1, INT32_MAX);
    void **box = bind_box(L, &bind_tensor);
    BIND_TRY(L, lb_mxfp4_from_blocks(blocks, scales, first - 1, step, (lb_tensor **)box));
    bind_pressure(L, lb_tensor_size_bytes(*box));
    return 1;
}

/* core.model_types(format): names of the element types that it can store */
static int model_types(lua_State *L) {
    bool gguf = strcmp(bind_string(L, 1, "format"), "gguf") == 0;
    lua_newtable(L);
    for (int i = 0; (gguf ? lb_gguf_type_at : lb_safetensors_type_at)(i); i++) {
        lua_pushstring(L, (gguf ? lb_gguf_type_at : lb_safetensors_type_at)(i)->name);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* core.json_check(name, text): an error, in the name of a file, unless the text is JSON without double keys; at most a
 * million values. */
static int json_check(lua_State *L) {
    const char *name = bind_string(L, 1, "name");
    size_t n = 0;
    bind_string(L, 2, "text");
    const char *text = lua_tolstring(L, 2, &n);
    BIND_TRY(L, lb_json_check(name, text, n, 1000000));
    return 0;
}

void bind_open_model_file(lua_State *L) {
    static const luaL_Reg functions[] = { { "model_file", model_file }, { "model_writer", model_writer },
                                          { "model_types", model_types }, { "json_check", json_check },
                                          { "mxfp4_blocks", mxfp4_blocks },
                                          { NULL, NULL } };
    bind_class_register(L, &bind_model_file);
    bind_class_register(L, &bind_model_writer);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
