/* bind.h: what the files of the Lua binding share: object boxes, argument checks, errors.
 *
 * A Lua object is a userdata that holds one pointer, filled after the userdata exists, so that an error between the two
 * leaks nothing. close() and __gc are one idempotent function. Only this folder raises Lua errors, and only when no C
 * resource is held outside a box. */
#pragma once
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../device.h"
#include "../kernel.h"
#include "../plan.h"
#include "../status.h"
#include "../tensor.h"

/* ---- classes ---- */
typedef struct bind_field {
    const char *name;
    void (*push)(lua_State *L, void *object);   /* pushes exactly one value */
} bind_field;

typedef struct bind_class {
    const char *name;               /* "tensor" */
    void (*release)(void *object);
    const luaL_Reg *methods;        /* ends with { NULL, NULL }; the object is argument 1 */
    const luaL_Reg *meta;           /* metamethods beyond __gc, __index, __newindex; may be NULL */
    const bind_field *fields;       /* properties; may be NULL */
} bind_class;

extern const bind_class bind_device, bind_tensor, bind_quantizer, bind_kernel, bind_plan, bind_timer, bind_sampler,
                        bind_process, bind_model_file, bind_model_writer, bind_tokenizer, bind_text_stream;

void bind_class_register(lua_State *L, const bind_class *c);
/* Pushes an empty box of the class; the caller fills *box at once after the resource exists. */
void **bind_box(lua_State *L, const bind_class *c);
/* The object at `arg`; a Lua error if it is of another type or closed. */
void *bind_check(lua_State *L, int arg, const bind_class *c);
/* The same for a value that is not an argument; `what` names it in the message. */
void *bind_check_value(lua_State *L, int index, const bind_class *c, const char *what);
bool bind_is(lua_State *L, int index, const bind_class *c);
/* As bind_check, but NULL for a closed one: for __tostring. */
void *bind_peek(lua_State *L, int arg, const bind_class *c);
/* "tensor", "nil", ... */
const char *bind_type_name(lua_State *L, int index);
/* { class = { methods = {...}, fields = {...}, meta = {...} } }, for help, completion and tests. */
int bind_core_classes(lua_State *L);

/* ---- errors ---- */
/* Raises the engine's current error text with the script's position. */
int bind_raise(lua_State *L, lb_status s);
/* Evaluates a fallible engine call; out of memory: collects garbage (which frees native memory) and tries once more. */
#define BIND_TRY(L, call)                                                   \
    do {                                                                    \
        lb_status bind_s_ = (call);                                         \
        if (bind_s_ == LB_ENOMEM) {                                         \
            lua_gc((L), LUA_GCCOLLECT, 0);                                  \
            bind_s_ = (call);                                               \
        }                                                                   \
        if (bind_s_) bind_raise((L), bind_s_);                              \
    } while (0)
/* Pushes '; did you mean "x"?' (or "") for a name among the strings of the list at `list_index`. */
void bind_push_hint(lua_State *L, const char *name, int list_index);
/* Raises "<what> has no <kind> 'name'; did you mean ..." with the names in a NULL-terminated array. */
int bind_unknown(lua_State *L, const char *what, const char *name, const char *const *names);
/* Raises if the table at `index` has a key that is not among `names`. nil is fine. */
void bind_check_keys(lua_State *L, int index, const char *what, const char *const *names);

/* Pushes a zeroed block that `done` cleans up when it is collected or bind_guard_done is called: for C resources that
 * must survive a Lua error between their making and their use. 16-byte aligned. */
void *bind_guard(lua_State *L, size_t bytes, void (*done)(void *block));
/* Cleans up now; harmless twice. */
void bind_guard_done(lua_State *L, int index);

/* ---- numbers ---- */
/* A whole number in [lo, hi], else an error that names it. NaN, fractions, strings and overflow are refused. */
int64_t bind_integer(lua_State *L, int index, const char *name, int64_t lo, int64_t hi);
double bind_number(lua_State *L, int index, const char *name);
const char *bind_string(lua_State *L, int index, const char *name);
#define BIND_INT_MAX ((int64_t)1 << 53)
/* Option readers: the field of the table at `index` (which may be nil or none), or the default. */
int64_t bind_opt_integer(lua_State *L, int index, const char *name, int64_t otherwise, int64_t lo, int64_t hi);
double bind_opt_number(lua_State *L, int index, const char *name, double otherwise);
bool bind_opt_boolean(lua_State *L, int index, const char *name, bool otherwise);
/* Owned by the Lua table, valid while it is unchanged; NULL = absent. */
const char *bind_opt_string(lua_State *L, int index, const char *name);
/* { 2, 3 } or 6: rank; raises on anything else. */
int bind_dims(lua_State *L, int index, const char *name, int64_t dims[LB_MAX_RANK]);
/* Text from Lua without NUL bytes inside, as file names must be. */
const char *bind_path(lua_State *L, int index, const char *name);

static inline void bind_set_number(lua_State *L, const char *key, double v) {
    lua_pushnumber(L, v);
    lua_setfield(L, -2, key);
}
static inline void bind_set_string(lua_State *L, const char *key, const char *v) {
    lua_pushstring(L, v);
    lua_setfield(L, -2, key);
}
static inline void bind_set_boolean(lua_State *L, const char *key, bool v) {
    lua_pushboolean(L, v);
    lua_setfield(L, -2, key);
}
/* Unknown (NaN or negative where negative has no meaning) stays absent. */
static inline void bind_set_known(lua_State *L, const char *key, double v) {
    if (v == v) bind_set_number(L, key, v);
}

/* ---- objects ---- */
/* Takes over the caller's reference. */
void bind_push_device(lua_State *L, lb_device *retained);
/* A new box with a reference of its own. */
void bind_push_tensor(lua_State *L, lb_tensor *borrowed);
/* t:quantize made the one from the other (stack positions): see bind_originals.c. */
void bind_original_note(lua_State *L, int original, int quantized);
void bind_push_kernel(lua_State *L, const lb_kernel *k);
void bind_push_quantizer(lua_State *L, const lb_quantizer *q);
static inline lb_tensor *bind_check_tensor(lua_State *L, int arg) { return bind_check(L, arg, &bind_tensor); }
/* A device from a userdata or a name at `index`; nil or none = the default device. Borrowed: anchored in the registry
 * or on the stack. */
lb_device *bind_device_at(lua_State *L, int index);
/* The `device` option of the table at `index` (may be nil). */
lb_device *bind_opt_device(lua_State *L, int index);
lb_dtype bind_dtype_at(lua_State *L, int index, const char *name);
/* Tells the collector of native memory: after enough of it a full collection runs. */
void bind_pressure(lua_State *L, size_t bytes);
/* A box for a new tensor: *out is filled by the call, and the collector learns of its size.
 *   BIND_NEW_TENSOR(L, lb_tensor_clone(t, BIND_OUT)) */
#define BIND_OUT ((lb_tensor **)bind_box_)
#define BIND_NEW_TENSOR(L, call)                                            \
    do {                                                                    \
        void **bind_box_ = bind_box((L), &bind_tensor);                     \
        BIND_TRY((L), call);                                                \
        bind_pressure((L), lb_tensor_size_bytes(*BIND_OUT));                \
    } while (0)

/* ---- the eager cache (eager.c) ---- */
/* Drops cached one-step plans that hold this tensor, so that closing it frees its memory. */
void bind_eager_forget(const lb_tensor *t);
void bind_eager_clear(void);

/* ---- parts of the module, each adds its functions to the table on top of the stack ---- */
void bind_open_device(lua_State *L);
void bind_open_tensor(lua_State *L);
void bind_open_tensor_make(lua_State *L);
void bind_open_originals(lua_State *L);
void bind_open_registry(lua_State *L);
void bind_open_source(lua_State *L);
void bind_open_plan(lua_State *L);
void bind_open_eager(lua_State *L);
void bind_open_oracle(lua_State *L);
/* x [M, K] times w [N, K] transposed, of any dtype or format, in f64 [M, N]; a new tensor. */
lb_status bind_oracle_product(const lb_tensor *x, const lb_tensor *w, lb_tensor **out);
void bind_open_timer(lua_State *L);
void bind_open_sampler(lua_State *L);
void bind_open_contrast(lua_State *L);
void bind_open_ceilings(lua_State *L);
void bind_open_trace(lua_State *L);
void bind_open_selftest(lua_State *L);
void bind_open_os(lua_State *L);
void bind_open_process(lua_State *L);
void bind_open_machine(lua_State *L);
void bind_open_text(lua_State *L);     /* json, yaml */
void bind_open_files(lua_State *L);    /* npy, npz, gz, blobs, checksums */
void bind_open_model_file(lua_State *L);
void bind_open_tokenizer(lua_State *L);

/* The loader of the module "luabench.core". */
int luaopen_luabench_core(lua_State *L);

/* Method tables that other files complete. */
extern const luaL_Reg bind_tensor_methods[];
extern const luaL_Reg bind_tensor_meta[];
int bind_tensor_tostring(lua_State *L);
