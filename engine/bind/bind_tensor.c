/* bind_tensor.c: the tensor object: properties, views, conversions, single elements. Indexes are 1-based. */
#include <math.h>
#include <string.h>

#include "../io/mapping.h"
#include "bind.h"

static void release(void *object) {
    lb_tensor *t = object;
    if (atomic_load(&t->refs) > 1) bind_eager_forget(t);
    lb_tensor_release(t);
}

void bind_push_tensor(lua_State *L, lb_tensor *borrowed) {
    void **box = bind_box(L, &bind_tensor);
    *box = lb_tensor_retain(borrowed);
}

/* ---- properties --------------------------------------------------------------------------------------------- */

#define TENSOR(o) ((lb_tensor *)(o))

static void push_shape(lua_State *L, void *o) {
    lua_createtable(L, TENSOR(o)->rank, 0);
    for (int i = 0; i < TENSOR(o)->rank; i++) {
        lua_pushnumber(L, (double)TENSOR(o)->dims[i]);
        lua_rawseti(L, -2, i + 1);
    }
}
static void push_rank(lua_State *L, void *o) { lua_pushinteger(L, TENSOR(o)->rank); }
static void push_dtype(lua_State *L, void *o) { lua_pushstring(L, lb_dtype_name(TENSOR(o)->dtype)); }
static void push_device(lua_State *L, void *o) { bind_push_device(L, lb_device_retain(TENSOR(o)->buffer->device)); }
static void push_quantizer(lua_State *L, void *o) {
    if (TENSOR(o)->quantizer) bind_push_quantizer(L, TENSOR(o)->quantizer);
    else lua_pushnil(L);
}
static void push_layout(lua_State *L, void *o) {
    lua_pushstring(L, TENSOR(o)->layout ? TENSOR(o)->layout : "native");
}
static void push_dense(lua_State *L, void *o) { lua_pushboolean(L, lb_tensor_is_dense(TENSOR(o))); }

static const bind_field fields[] = { { "shape", push_shape },   { "rank", push_rank },     { "dtype", push_dtype },
                                     { "device", push_device }, { "quantizer", push_quantizer },
                                     { "layout", push_layout }, { "dense", push_dense },   { NULL, NULL } };

static int numel(lua_State *L) {
    lua_pushnumber(L, (double)lb_tensor_numel(bind_check_tensor(L, 1)));
    return 1;
}

static int nbytes(lua_State *L) {
    lua_pushnumber(L, (double)lb_tensor_size_bytes(bind_check_tensor(L, 1)));
    return 1;
}

/* #t: the first dimension. */
static int length(lua_State *L) {
    const lb_tensor *t = bind_check_tensor(L, 1);
    lua_pushnumber(L, t->rank ? (double)t->dims[0] : 0.0);
    return 1;
}

/* ---- views and conversions ---------------------------------------------------------------------------------- */

/* A 1-based dimension; negative counts from the end. */
static int dim_at(lua_State *L, int arg, const lb_tensor *t, const char *name) {
    int64_t d = bind_integer(L, arg, name, -LB_MAX_RANK, LB_MAX_RANK);
    if (d < 0) d += t->rank + 1;
    if (d < 1 || d > t->rank) luaL_error(L, "%s: the tensor has dims 1 to %d, got %d", name, t->rank, (int)d);
    return (int)d - 1;
}

/* t:reshape{ 2, -1 }; one dim may be -1. A view. */
static int reshape(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    int64_t dims[LB_MAX_RANK];
    int rank = bind_dims(L, 2, "dims", dims);
    BIND_NEW_TENSOR(L, lb_tensor_reshape(t, rank, dims, BIND_OUT));
    return 1;
}

/* t:slice(dim, first, last): elements first..last of a dimension, both included, counted from 1. A view. */
static int slice(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    int dim = dim_at(L, 2, t, "dim");
    int64_t size = t->dims[dim];
    int64_t first = lua_isnoneornil(L, 3) ? 1 : bind_integer(L, 3, "first", -size, size + 1);
    int64_t last = lua_isnoneornil(L, 4) ? size : bind_integer(L, 4, "last", -size - 1, size);
    if (first < 0) first += size + 1;
    if (last < 0) last += size + 1;
    if (first < 1 || last < first - 1) {
        luaL_error(L, "slice: %d to %d is no range of a dimension of %d", (int)first, (int)last, (int)size);
    }
    BIND_NEW_TENSOR(L, lb_tensor_slice(t, dim, first - 1, last, BIND_OUT));
    return 1;
}

/* t:transpose([a, b]): swaps two dims (the last two). A view. */
static int transpose(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    if (t->rank < 2) luaL_error(L, "transpose: a tensor of at least 2 dims expected, got %d", t->rank);
    int a = lua_isnoneornil(L, 2) ? t->rank - 2 : dim_at(L, 2, t, "a");
    int b = lua_isnoneornil(L, 3) ? t->rank - 1 : dim_at(L, 3, t, "b");
    BIND_NEW_TENSOR(L, lb_tensor_transpose(t, a, b, BIND_OUT));
    return 1;
}

static int short_transpose(lua_State *L) {
    const lb_tensor *t = bind_check_tensor(L, 1);
    if (t->rank != 2)
        luaL_error(L, "t:t() transposes a matrix; this tensor has %d dims, use t:transpose(a, b)", t->rank);
    lua_settop(L, 1);
    return transpose(L);
}

static int clone(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    BIND_NEW_TENSOR(L, lb_tensor_clone(t, BIND_OUT));
    return 1;
}

/* t:bytes(): what is stored, as u8: a view; of a tensor with gaps that of a copy */
static int stored_bytes(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    if (!lb_tensor_is_dense(t)) {
        BIND_NEW_TENSOR(L, lb_tensor_clone(t, BIND_OUT));
        t = *(void **)lua_touserdata(L, -1);
    }
    int64_t bytes = (int64_t)lb_tensor_size_bytes(t);
    BIND_NEW_TENSOR(L, lb_tensor_wrap(t->buffer, t->offset_bytes, LB_U8, NULL, 1, &bytes, BIND_OUT));
    return 1;
}

lb_dtype bind_dtype_at(lua_State *L, int index, const char *name) {
    const char *text = bind_string(L, index, name);
    lb_dtype d = lb_dtype_parse(text);
    if (d < LB_QUANT) return d;
    if (d == LB_QUANT) luaL_error(L, "%s: a quantized tensor is made by t:quantize(recipe)", name);
    lua_newtable(L);
    for (int i = 0; i < LB_QUANT; i++) {
        lua_pushstring(L, lb_dtype_name((lb_dtype)i));
        lua_rawseti(L, -2, i + 1);
    }
    bind_push_hint(L, text, -1);
    luaL_error(L, "%s: unknown dtype '%s'%s", name, text, lua_tostring(L, -1));
    return LB_F32;
}

/* t:to(dtype) or t:to(device). The tensor itself if nothing changes. */
static int to(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    bool is_device = bind_is(L, 2, &bind_device)
                     || (name && (strcmp(name, "cpu") == 0 || strncmp(name, "cuda", 4) == 0));
    if (is_device) {
        lb_device *d = bind_device_at(L, 2);
        if (strcmp(lb_device_name(d), lb_device_name(t->buffer->device)) == 0) {
            lua_settop(L, 1);
            return 1;
        }
        if (t->layout)
            luaL_error(L, "t:to: a repacked tensor (%s) stays where it is; move the one it was made from", t->layout);
        BIND_NEW_TENSOR(L, lb_tensor_to_device(t, d, BIND_OUT));
        return 1;
    }
    lb_dtype dtype = bind_dtype_at(L, 2, "t:to");
    if (dtype == t->dtype) {
        lua_settop(L, 1);
        return 1;
    }
    BIND_NEW_TENSOR(L, lb_tensor_to_dtype(t, dtype, BIND_OUT));
    return 1;
}

/* ---- quantized tensors -------------------------------------------------------------------------------------- */

typedef struct progress { lua_State *L; bool failed; } progress;

/* Called from C between parts of the work: an error in the function is kept and raised afterwards. */
static void on_progress(void *ctx, int64_t done, int64_t total) {
    progress *p = ctx;
    if (p->failed) return;
    lua_pushvalue(p->L, 3);
    lua_pushnumber(p->L, (double)done);
    lua_pushnumber(p->L, (double)total);
    p->failed = lua_pcall(p->L, 2, 0, 0) != 0;   /* the error stays on the stack */
}

/* Into `into`, or a new tensor. Held meanwhile: the function that is told of progress may close them. */
static lb_status quantize_held(lb_tensor *t, const lb_quantizer *q, lb_tensor *samples, progress *p, lb_tensor *into,
                               lb_tensor **out) {
    lb_tensor *held[] = { t, samples, into };
    lb_progress_fn told = p ? on_progress : NULL;
    for (int i = 0; i < 3; i++)
        if (held[i]) lb_tensor_retain(held[i]);
    lb_status s = into ? lb_tensor_quantize_into(t, q, samples, told, p, into)
                       : lb_tensor_quantize_calibrated(t, q, samples, told, p, out);
    for (int i = 0; i < 3; i++)
        if (held[i]) lb_tensor_release(held[i]);
    return s;
}

/* t:quantize(recipe[, { progress = function(done, total), calibration = x, out = q }]): a new tensor, or q */
static int quantize(lua_State *L) {
    static const char *const keys[] = { "progress", "calibration", "out", NULL };
    lb_tensor *t = bind_check_tensor(L, 1), *samples = NULL, *into = NULL;
    const lb_quantizer *q = NULL;
    if (bind_is(L, 2, &bind_quantizer)) q = bind_check(L, 2, &bind_quantizer);
    else BIND_TRY(L, lb_quantizer_find(bind_string(L, 2, "recipe"), &q));
    bind_check_keys(L, 3, "t:quantize", keys);
    progress p = { L, false };
    bool report = false;
    lua_settop(L, 3);
    int at = 0;
    if (lua_istable(L, 3)) {
        lua_getfield(L, 3, "calibration"); /* stays on the stack while it is used, as does out */
        if (!lua_isnil(L, -1)) samples = bind_check_value(L, -1, &bind_tensor, "calibration");
        lua_getfield(L, 3, "out");
        at = lua_gettop(L);
        if (!lua_isnil(L, at)) into = bind_check_value(L, at, &bind_tensor, "out");
        lua_getfield(L, 3, "progress");
        report = !lua_isnil(L, -1);
        if (report && !lua_isfunction(L, -1))
            luaL_error(L, "progress: a function expected, got %s", bind_type_name(L, -1));
        lua_replace(L, 3);
    }
    lb_tensor **box = NULL;
    if (!into) {
        box = (lb_tensor **)bind_box(L, &bind_tensor);
        at = lua_gettop(L);
    }
    BIND_TRY(L, quantize_held(t, q, samples, report ? &p : NULL, into, box));
    if (p.failed) return lua_error(L);
    lua_settop(L, at);
    if (box) bind_pressure(L, lb_tensor_size_bytes(*box));
    bind_original_note(L, 1, at);
    return 1;
}

static int dequantize(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    BIND_NEW_TENSOR(L, lb_tensor_dequantize(t, BIND_OUT));
    return 1;
}

static int bits_per_weight(lua_State *L) {
    const lb_tensor *t = bind_check_tensor(L, 1);
    double n = (double)lb_tensor_numel(t);
    if (n == 0) return 0;
    lua_pushnumber(L, (double)lb_tensor_size_bytes(t) * 8.0 / n);
    return 1;
}

/* ---- elements ----------------------------------------------------------------------------------------------- */

/* Reads rank 1-based indexes from `first`. */
static void indexes(lua_State *L, int first, const lb_tensor *t, int64_t *idx) {
    for (int i = 0; i < t->rank; i++) {
        char what[32];
        snprintf(what, sizeof what, "index %d", i + 1);
        if (lua_isnoneornil(L, first + i)) {
            luaL_error(L, "%d indexes expected for a tensor of %d dims, got %d", t->rank, t->rank, i);
        }
        int64_t v = bind_integer(L, first + i, what, -BIND_INT_MAX, BIND_INT_MAX);
        if (v < 0) v += t->dims[i] + 1;
        if (v < 1 || v > t->dims[i]) {
            luaL_error(L, "%s: 1 to %d expected, got %f", what, (int)t->dims[i], lua_tonumber(L, first + i));
        }
        idx[i] = v - 1;
    }
}

/* t:get(i, j, ...): one element as a number; indexes from 1, negative from the end. */
static int get(lua_State *L) {
    const lb_tensor *t = bind_check_tensor(L, 1);
    int64_t idx[LB_MAX_RANK] = { 0 };
    indexes(L, 2, t, idx);
    if (lua_gettop(L) > 1 + t->rank) luaL_error(L, "%d indexes expected, got %d", t->rank, lua_gettop(L) - 1);
    if (t->layout) luaL_error(L, "t:get: a repacked tensor (%s) has no elements to read", t->layout);
    lua_pushnumber(L, lb_tensor_at(t, idx));
    return 1;
}

/* t:set(i, j, ..., value) */
static int set(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    int64_t idx[LB_MAX_RANK] = { 0 };
    if (t->dtype == LB_QUANT) luaL_error(L, "t:set: elements of a quantized tensor cannot be set");
    indexes(L, 2, t, idx);
    if (lua_gettop(L) != 2 + t->rank) {
        luaL_error(L, "t:set: %d indexes and a value expected, got %d arguments", t->rank, lua_gettop(L) - 1);
    }
    double v = bind_number(L, 2 + t->rank, "value");
    if (t->dtype >= LB_I8 && t->dtype <= LB_I64) {
        static const double lo[] = { -128, 0, -2147483648.0, -9007199254740992.0 };
        static const double hi[] = { 127, 255, 2147483647.0, 9007199254740992.0 };
        int i = (int)t->dtype - LB_I8;
        if (!(v >= lo[i] && v <= hi[i]) || v != floor(v)) {
            luaL_error(L, "value: %f does not fit %s", v, lb_dtype_name(t->dtype));
        }
    }
    lb_tensor_set(t, idx, v);
    return 0;
}

static void push_nested(lua_State *L, const lb_tensor *t, int dim, int64_t *idx) {
    luaL_checkstack(L, 4, "too many dims");
    lua_createtable(L, t->dims[dim] < 1000000 ? (int)t->dims[dim] : 1000000, 0);
    for (int64_t i = 0; i < t->dims[dim]; i++) {
        idx[dim] = i;
        if (dim + 1 < t->rank) push_nested(L, t, dim + 1, idx);
        else lua_pushnumber(L, lb_tensor_at(t, idx));
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* t:totable(): nested tables of numbers; of at most ten million elements. */
static int totable(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    int64_t idx[LB_MAX_RANK] = { 0 };
    if (lb_tensor_numel(t) > 10000000) {
        luaL_error(L, "t:totable: %f elements are too many for Lua tables; slice first, or lb.save a .npy",
                   (double)lb_tensor_numel(t));
    }
    if (t->layout) luaL_error(L, "t:totable: a repacked tensor (%s) has no elements to read", t->layout);
    if (t->dtype == LB_QUANT) {            /* once as a whole, not a block for every element */
        BIND_NEW_TENSOR(L, lb_tensor_dequantize(t, BIND_OUT));
        t = *(void **)lua_touserdata(L, -1);
    }
    if (t->rank == 0) lua_pushnumber(L, lb_tensor_at(t, idx));
    else push_nested(L, t, 0, idx);
    return 1;
}

static int equal_identity(lua_State *L) {
    lua_pushboolean(L, bind_is(L, 1, &bind_tensor) && bind_is(L, 2, &bind_tensor)
                           && *(void **)lua_touserdata(L, 1) == *(void **)lua_touserdata(L, 2));
    return 1;
}

/* q:pack(): a quantized matrix in the layout that the kernels here read; made once, kept beside it. What was read of a
 * mapped file for it is given back. Returns ns and bytes of the layout: 0 ns if it was there, 0 bytes if there is
 * none. */
static int pack(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1), *packed = NULL;
    const lb_kernel *k = t->quantizer && !t->layout ? lb_kernel_panel_for(t->buffer->device, t->quantizer) : NULL;
    uint64_t ns = 0;
    if (k) BIND_TRY(L, lb_tensor_in_layout(t, k, &packed, &ns));
    if (!packed || packed == t) {
        lua_pushnumber(L, 0);
        lua_pushnumber(L, 0);
        return 2;
    }
    lb_map_forget(t->buffer, t->offset_bytes, lb_tensor_size_bytes(t));
    if (ns) bind_pressure(L, lb_tensor_size_bytes(packed));
    lua_pushnumber(L, (double)ns);
    lua_pushnumber(L, (double)lb_tensor_size_bytes(packed));
    return 2;
}

/* t:forget(): gives back what was read of a mapped file for the tensor, as far as nothing was written to it; it is read
 * again when it is next wanted. Bytes; 0 for a tensor of no file. */
static int forget(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    lua_pushnumber(L, (double)lb_map_forget(t->buffer, t->offset_bytes, lb_tensor_size_bytes(t)));
    return 1;
}

/* q:widen(recipe): the same values in a wider format of the family, or nil where the formats do not nest. */
static int widen(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    const lb_quantizer *to = NULL;
    BIND_TRY(L, lb_quantizer_find(bind_string(L, 2, "recipe"), &to));
    void **box = bind_box(L, &bind_tensor);
    BIND_TRY(L, lb_tensor_widen(t, to, (lb_tensor **)box));
    if (!*box) lua_pushnil(L);
    else bind_pressure(L, lb_tensor_size_bytes(*box));
    return 1;
}

static const luaL_Reg own_methods[] = {
    { "numel", numel }, { "nbytes", nbytes }, { "reshape", reshape }, { "slice", slice }, { "transpose", transpose },
    { "t", short_transpose }, { "clone", clone }, { "to", to },
    { "bytes", stored_bytes }, { "quantize", quantize }, { "dequantize", dequantize }, { "widen", widen },
    { "pack", pack }, { "forget", forget },
    { "bits_per_weight", bits_per_weight }, { "get", get }, { "set", set }, { "totable", totable }, { NULL, NULL } };
static const luaL_Reg own_meta[] = { { "__tostring", bind_tensor_tostring }, { "__len", length },
                                     { "__eq", equal_identity }, { NULL, NULL } };

/* The class's tables: this file's functions and tensor_math's. */
static luaL_Reg all_methods[96], all_meta[24];
const bind_class bind_tensor = { "tensor", release, all_methods, all_meta, fields };

static void join(luaL_Reg *out, size_t room, const luaL_Reg *a, const luaL_Reg *b) {
    size_t n = 0;
    for (; a->name && n + 1 < room; a++) out[n++] = *a;
    for (; b->name && n + 1 < room; b++) out[n++] = *b;
    out[n] = (luaL_Reg){ NULL, NULL };
}

void bind_open_tensor(lua_State *L) {
    join(all_methods, sizeof all_methods / sizeof *all_methods, own_methods, bind_tensor_methods);
    join(all_meta, sizeof all_meta / sizeof *all_meta, own_meta, bind_tensor_meta);
    bind_class_register(L, &bind_tensor);
}
