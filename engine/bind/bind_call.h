/* bind_call.h: an operation's table of arguments, as lb.<op>{} and plan:<op>{} take it, read into lb_args. */
#pragma once
#include "bind.h"

/* Interned key strings of an operation, compared by address; anchored by the table in the same upvalue. */
typedef struct bind_keys {
    const lb_op *op;
    int operands, params;
    const char *operand[LB_MAX_OPERANDS], *param[LB_MAX_PARAMS];
    const char *kernel, *when, *pick, *label, *native;
} bind_keys;

/* Pushes a userdata with the keys of `op`; they stay alive with it. */
bind_keys *bind_push_keys(lua_State *L, const lb_op *op);

typedef struct bind_call {
    lb_args args;
    lb_step_opts opts;
    lb_tensor *single[LB_MAX_OPERANDS];   /* storage of operands that are one tensor */
} bind_call;

/* Reads the table at absolute index `table`. Lists are kept in userdata left on the stack: valid until the C function
 * returns. `fixed`: the kernel is given by the caller, and a `kernel` key is refused. */
void bind_read_call(lua_State *L, int table, const bind_keys *keys, const lb_kernel *fixed, bind_call *out);
