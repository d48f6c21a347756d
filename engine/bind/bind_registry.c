/* bind_registry.c: quantizers and kernels as objects: what they are, where they come from, what they need. */
#include <stdio.h>
#include <string.h>

#include "../registry.h"
#include "../selection.h"
#include "bind.h"

static void keep(void *object) { (void)object; }   /* interned: never freed */

/* ---- quantizer ---------------------------------------------------------------------------------------------- */

#define QUANTIZER(o) ((const lb_quantizer *)(o))

static void q_name(lua_State *L, void *o) { lua_pushstring(L, QUANTIZER(o)->name); }
static void q_family(lua_State *L, void *o) { lua_pushstring(L, QUANTIZER(o)->family->name); }
static void q_bits(lua_State *L, void *o) { lua_pushinteger(L, QUANTIZER(o)->bits); }
static void q_group(lua_State *L, void *o) { lua_pushnumber(L, (double)QUANTIZER(o)->group); }
static void q_k_multiple(lua_State *L, void *o) { lua_pushnumber(L, (double)QUANTIZER(o)->k_multiple); }
static void q_about(lua_State *L, void *o) { lua_pushstring(L, QUANTIZER(o)->family->about); }
static void q_source(lua_State *L, void *o) { lua_pushstring(L, QUANTIZER(o)->family->source); }

static void check_matrix(lua_State *L, const lb_quantizer *q, int64_t *n, int64_t *k) {
    *n = lua_isnoneornil(L, 2) ? 1 : bind_integer(L, 2, "n", 0, (int64_t)1 << 31);
    *k = lua_isnoneornil(L, 3) ? q->k_multiple : bind_integer(L, 3, "k", 0, (int64_t)1 << 31);
    if (*k % q->k_multiple) {
        luaL_error(L, "k: %s needs a multiple of %d, got %f", q->name, (int)q->k_multiple, (double)*k);
    }
}

/* q:bits_per_weight([n, k]): stored bits a weight with all metadata; of one block by default. */
static int q_bits_per_weight(lua_State *L) {
    const lb_quantizer *q = bind_check(L, 1, &bind_quantizer);
    int64_t n, k;
    check_matrix(L, q, &n, &k);
    lua_pushnumber(L, lb_quantizer_bits_per_weight(q, n, k));
    return 1;
}

/* q:size_bytes(n, k): bytes of an [n, k] matrix. */
static int q_size_bytes(lua_State *L) {
    const lb_quantizer *q = bind_check(L, 1, &bind_quantizer);
    int64_t n, k;
    check_matrix(L, q, &n, &k);
    lua_pushnumber(L, (double)q->size_bytes(q, n, k));
    return 1;
}

static int q_tostring(lua_State *L) {
    const lb_quantizer *q = bind_peek(L, 1, &bind_quantizer);
    if (!q) return lua_pushliteral(L, "quantizer (closed)"), 1;
    char text[160];
    snprintf(text, sizeof text, "quantizer %s: %d bits, group %lld, K a multiple of %lld", q->name, q->bits,
             (long long)q->group, (long long)q->k_multiple);
    lua_pushstring(L, text);
    return 1;
}

static int same(lua_State *L) {
    bool both = (bind_is(L, 1, &bind_quantizer) && bind_is(L, 2, &bind_quantizer))
                || (bind_is(L, 1, &bind_kernel) && bind_is(L, 2, &bind_kernel));
    lua_pushboolean(L, both && *(void **)lua_touserdata(L, 1) == *(void **)lua_touserdata(L, 2));
    return 1;
}

static const luaL_Reg q_methods[] = { { "bits_per_weight", q_bits_per_weight }, { "size_bytes", q_size_bytes },
                                      { NULL, NULL } };
static const luaL_Reg q_meta[] = { { "__tostring", q_tostring }, { "__eq", same }, { NULL, NULL } };
static const bind_field q_fields[] = { { "name", q_name },   { "family", q_family }, { "bits", q_bits },
                                       { "group", q_group }, { "k_multiple", q_k_multiple }, { "about", q_about },
                                       { "source", q_source }, { NULL, NULL } };
const bind_class bind_quantizer = { "quantizer", keep, q_methods, q_meta, q_fields };

void bind_push_quantizer(lua_State *L, const lb_quantizer *q) {
    void **box = bind_box(L, &bind_quantizer);
    *box = (void *)(uintptr_t)q;
}

/* lb.quantizer(recipe) */
static int quantizer(lua_State *L) {
    if (bind_is(L, 1, &bind_quantizer)) {
        bind_check(L, 1, &bind_quantizer);
        lua_settop(L, 1);
        return 1;
    }
    const char *name = bind_string(L, 1, "recipe");
    const lb_quantizer *q = NULL;
    BIND_TRY(L, lb_quantizer_find(name, &q));
    bind_push_quantizer(L, q);
    return 1;
}

/* lb.quantizers(): the registered recipes, by name. Families with parameters know more names than these. */
static int quantizers(lua_State *L) {
    lua_newtable(L);
    int n = 0;
    for (const lb_quantizer_family *const *f = lb_quantizer_families; *f; f++) {
        for (const char *const *m = (*f)->members; *m; m++) {
            lua_pushstring(L, *m);
            lua_rawseti(L, -2, ++n);
        }
    }
    return 1;
}

/* ---- kernel ------------------------------------------------------------------------------------------------- */

#define KERNEL(o) ((const lb_kernel *)(o))

static void optional(lua_State *L, const char *text) {
    if (text) lua_pushstring(L, text);
    else lua_pushnil(L);
}
static void k_name(lua_State *L, void *o) { lua_pushstring(L, KERNEL(o)->name); }
static void k_op(lua_State *L, void *o) { lua_pushstring(L, KERNEL(o)->op); }
static void k_device(lua_State *L, void *o) { lua_pushstring(L, KERNEL(o)->device); }
static void k_about(lua_State *L, void *o) { optional(L, KERNEL(o)->about); }
static void k_source(lua_State *L, void *o) { optional(L, KERNEL(o)->source); }
static void k_format(lua_State *L, void *o) { optional(L, KERNEL(o)->format); }
static void k_isa(lua_State *L, void *o) {
    char text[128];
    lb_isa_print(KERNEL(o)->isa, text, sizeof text);
    lua_pushstring(L, text);
}
static void k_layout(lua_State *L, void *o) {
    lua_pushstring(L, KERNEL(o)->layout ? KERNEL(o)->layout->name : KERNEL(o)->panel_weights ? "panel" : "native");
}
static void k_activation(lua_State *L, void *o) { lua_pushstring(L, lb_act_name(KERNEL(o)->act)); }
static void k_accumulator(lua_State *L, void *o) {
    static const char *const names[] = { "f32", "f64", "i32+f32", "none" };
    unsigned acc = (unsigned)KERNEL(o)->acc;
    lua_pushstring(L, acc < 4 ? names[acc] : "unknown");
}
static void k_compute(lua_State *L, void *o) { lua_pushstring(L, lb_compute_name(KERNEL(o)->compute)); }
static void k_tolerance(lua_State *L, void *o) { lua_pushnumber(L, KERNEL(o)->tolerance); }
static void k_tolerance_why(lua_State *L, void *o) { optional(L, KERNEL(o)->tolerance_why); }
static void k_priority(lua_State *L, void *o) { lua_pushinteger(L, KERNEL(o)->priority); }
static void k_serial(lua_State *L, void *o) { lua_pushboolean(L, KERNEL(o)->serial); }
static void k_builtin(lua_State *L, void *o) { lua_pushboolean(L, lb_kernel_is_builtin(o)); }
static void k_panel(lua_State *L, void *o) {
    if (KERNEL(o)->panel) lua_pushinteger(L, KERNEL(o)->panel->rows);
    else lua_pushnil(L);
}
/* Can this machine run it now? */
static void k_usable(lua_State *L, void *o) {
    lb_device *d = NULL;
    bool usable = lb_device_open(KERNEL(o)->device, 0, &d) == LB_OK;
    if (usable) {
        usable = (KERNEL(o)->isa & ~lb_device_caps_of(d)->isa) == 0;
        lb_device_release(d);
    }
    lua_pushboolean(L, usable);
}

static int k_tostring(lua_State *L) {
    const lb_kernel *k = bind_peek(L, 1, &bind_kernel);
    if (!k) return lua_pushliteral(L, "kernel (closed)"), 1;
    lua_pushfstring(L, "kernel %s: %s", k->name, k->about ? k->about : "");
    return 1;
}

static const luaL_Reg k_methods[] = { { NULL, NULL } };
static const luaL_Reg k_meta[] = { { "__tostring", k_tostring }, { "__eq", same }, { NULL, NULL } };
static const bind_field k_fields[] = {
    { "name", k_name }, { "op", k_op }, { "device", k_device }, { "about", k_about }, { "source", k_source },
    { "format", k_format }, { "isa", k_isa }, { "layout", k_layout }, { "activation", k_activation },
    { "accumulator", k_accumulator }, { "compute", k_compute }, { "tolerance", k_tolerance },
    { "tolerance_why", k_tolerance_why }, { "priority", k_priority }, { "serial", k_serial },
    { "panel_rows", k_panel }, { "usable", k_usable }, { "builtin", k_builtin },
    { NULL, NULL } };
const bind_class bind_kernel = { "kernel", keep, k_methods, k_meta, k_fields };

void bind_push_kernel(lua_State *L, const lb_kernel *k) {
    void **box = bind_box(L, &bind_kernel);
    *box = (void *)(uintptr_t)k;
}

/* lb.kernel(name) */
static int kernel(lua_State *L) {
    if (bind_is(L, 1, &bind_kernel)) {
        bind_check(L, 1, &bind_kernel);
        lua_settop(L, 1);
        return 1;
    }
    const char *name = bind_string(L, 1, "name");
    const lb_kernel *k = NULL;
    BIND_TRY(L, lb_kernel_find(name, &k));
    bind_push_kernel(L, k);
    return 1;
}

/* lb.kernels([op]): names, those of one operation if it is given. */
static int kernels(lua_State *L) {
    const char *op = lua_isnoneornil(L, 1) ? NULL : bind_string(L, 1, "op");
    const lb_op *known = NULL;
    if (op) BIND_TRY(L, lb_op_find(op, &known));
    lua_newtable(L);
    int n = 0;
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (op && strcmp(k->op, op) != 0) continue;
        lua_pushstring(L, k->name);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* core.kernel_prefer([name or { names }]): recording takes the first of these that fits; nil: none again. Names of
 * kernels that are not there yet are fine. */
static int kernel_prefer(lua_State *L) {
    const char *names[LB_PREFER_MOST];
    int n = 0;
    if (lua_istable(L, 1)) {
        size_t count = lua_objlen(L, 1);
        if (count > LB_PREFER_MOST) return luaL_error(L, "at most %d kernels can be preferred", LB_PREFER_MOST);
        for (size_t i = 0; i < count; i++) {
            lua_rawgeti(L, 1, (int)i + 1);
            if (lua_type(L, -1) != LUA_TSTRING) return luaL_error(L, "names[%d]: a string expected", (int)i + 1);
            names[n++] = lua_tostring(L, -1);            /* held by the table */
            lua_pop(L, 1);
        }
    } else if (!lua_isnoneornil(L, 1)) {
        names[n++] = bind_string(L, 1, "name");
    }
    BIND_TRY(L, lb_selection_prefer(names, n));
    bind_eager_clear();
    return 0;
}

/* core.kernel_measured(device[, form[, kernel, against]]): what measurements chose for a form; without a kernel the
 * form is forgotten, without a form all of the device. Returns how many forms are known. */
static int kernel_measured(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    const char *form = lua_isnoneornil(L, 2) ? NULL : bind_string(L, 2, "form");
    const char *kernel = lua_isnoneornil(L, 3) ? NULL : bind_string(L, 3, "kernel");
    const char *against = lua_isnoneornil(L, 4) ? NULL : bind_string(L, 4, "against");
    if (!kernel != !against) return luaL_error(L, "kernel and against are given together");
    BIND_TRY(L, lb_selection_measured(d, form, kernel, against));
    bind_eager_clear();
    lua_pushinteger(L, lb_selection_count(d));
    return 1;
}

/* lb.kernel_load(path): adds the kernels of a shared object; returns how many. */
static int kernel_load(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    int added = 0;
    BIND_TRY(L, lb_kernel_load(path, &added));
    lua_pushinteger(L, added);
    return 1;
}

/* core.kernel_reload(path): as kernel_load, but kernels loaded before under the same names give way; their names. */
static int kernel_reload(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    const lb_kernel *const *kernels = NULL;
    BIND_TRY(L, lb_kernel_reload(path, &kernels));
    lua_newtable(L);
    for (int i = 0; kernels[i]; i++) {
        lua_pushstring(L, kernels[i]->name);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- operations --------------------------------------------------------------------------------------------- */

/* core.ops(): { { name, about, operands = { { name, role, optional, list, about } }, params = { { name, required,
 * default, about, choices } } } }; `default` of a parameter with choices is an index from 0 */
static void push_operands(lua_State *L, const lb_op *op) {
    static const char *const roles[] = { "read", "weight", "write", "partial", "update" };
    lua_newtable(L);
    for (int i = 0; op->operands && op->operands[i].name; i++) {
        const lb_operand_spec *s = &op->operands[i];
        lua_newtable(L);
        bind_set_string(L, "name", s->name);
        bind_set_string(L, "role", roles[s->role]);
        bind_set_boolean(L, "optional", s->optional);
        bind_set_boolean(L, "list", s->list);
        bind_set_string(L, "about", s->about);
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_params(lua_State *L, const lb_op *op) {
    lua_newtable(L);
    for (int i = 0; op->params && op->params[i].name; i++) {
        const char *const *names = lb_op_choices(op, i);
        lua_newtable(L);
        bind_set_string(L, "name", op->params[i].name);
        bind_set_boolean(L, "required", op->params[i].required);
        bind_set_number(L, "default", op->params[i].value);
        bind_set_string(L, "about", op->params[i].about);
        if (names) lua_newtable(L);
        for (int k = 0; names && names[k]; k++) {
            lua_pushstring(L, names[k]);
            lua_rawseti(L, -2, k + 1);
        }
        if (names) lua_setfield(L, -2, "choices");
        lua_rawseti(L, -2, i + 1);
    }
}

static int ops(lua_State *L) {
    lua_newtable(L);
    for (int n = 0; lb_ops[n]; n++) {
        const lb_op *op = lb_ops[n];
        lua_newtable(L);
        bind_set_string(L, "name", op->name);
        bind_set_string(L, "about", op->about);
        bind_set_boolean(L, "fused", op->fused);
        push_operands(L, op);
        lua_setfield(L, -2, "operands");
        push_params(L, op);
        lua_setfield(L, -2, "params");
        lua_rawseti(L, -2, n + 1);
    }
    return 1;
}

void bind_open_registry(lua_State *L) {
    static const luaL_Reg functions[] = { { "quantizer", quantizer }, { "quantizers", quantizers },
                                          { "kernel", kernel }, { "kernels", kernels },
                                          { "kernel_load", kernel_load }, { "kernel_reload", kernel_reload },
                                          { "kernel_prefer", kernel_prefer },
                                          { "kernel_measured", kernel_measured }, { "ops", ops }, { NULL, NULL } };
    bind_class_register(L, &bind_quantizer);
    bind_class_register(L, &bind_kernel);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
