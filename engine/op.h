/* op.h: what an operation is: operands, shape rules, work, and its f64 oracle. One file each in engine/ops/.
 * A kernel (kernel.h) is one way to do an operation. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "tensor.h"

#define LB_MAX_OPERANDS 12
#define LB_MAX_PARAMS 8

struct lb_kernel;

typedef enum lb_role {
    LB_READ,      /* input, read only */
    LB_WEIGHT,    /* input, read only, counted as weights and rotated when cold */
    LB_WRITE,     /* output; wholly overwritten; poisoned before a check */
    LB_PARTIAL,   /* output of which a launch writes only the elements in the oracle's mask; the rest stays as it was */
    LB_UPDATE     /* read and written in place; its value is restored around a check and between timed runs */
} lb_role;

typedef struct lb_operand_spec {
    const char *name;     /* the key in Lua: "x", "w", "out" */
    lb_role role;
    bool optional;
    bool list;            /* may be a list of tensors (experts) */
    const char *about;    /* "[M, K] f32, activations" */
} lb_operand_spec;

typedef struct lb_param_spec {
    const char *name;
    bool required;
    double value;         /* the default */
    const char *about;
} lb_param_spec;

/* A parameter that scripts give by name: its value is the index of the name. */
typedef struct lb_param_choices {
    const char *param;
    const char *const *names;   /* NULL-terminated */
} lb_param_choices;

/* count 0 = absent; a plain tensor is a list of one. Items are retained by the step that owns the args. */
typedef struct lb_operand {
    lb_tensor **items;
    int32_t count;
} lb_operand;

typedef struct lb_args {
    const struct lb_op *op;
    lb_operand t[LB_MAX_OPERANDS];   /* in the order of op->operands */
    double p[LB_MAX_PARAMS];         /* in the order of op->params */
} lb_args;

static inline lb_tensor *lb_arg(const lb_args *a, int slot) {
    return a->t[slot].count ? a->t[slot].items[0] : NULL;
}

typedef struct lb_work {
    double flops;         /* multiply and add count as two */
    double bytes;         /* least that must move: every operand byte used, once (stored, packed bytes) */
    double items;         /* what a user counts ("tokens", "rows"); 0 = none */
    const char *item;
} lb_work;

/* Called with each weight tensor that a launch reads, given the data its index operands hold now. */
typedef void (*lb_touch_fn)(void *ctx, lb_tensor *weight);

/* Expected values of one output (or a part of a fused one, by name), f64, dense. */
typedef struct lb_expected {
    const char *what;          /* "out", "h" */
    int slot;                  /* the operand it is compared with */
    double *values;            /* numel of that operand; malloc'd by the oracle, freed by the caller */
    uint8_t *mask;             /* 1 = compare this element; NULL = all; malloc'd */
    bool exact;                /* integers: must be equal */
} lb_expected;

#define LB_MAX_EXPECTED 8

typedef struct lb_oracle_in {
    const lb_args *args;                  /* as launched, weights in their native layout */
    int32_t pick;                         /* the item that indexed list operands use; else 0 */
    const struct lb_kernel *kernel;       /* for its activation format */
    const lb_tensor *before[LB_MAX_OPERANDS]; /* LB_UPDATE operands as they were before the launch */
} lb_oracle_in;

typedef struct lb_op {
    const char *name;                     /* "gemm" */
    const char *about;                    /* one line, and the formula */
    bool fused;                           /* does what several operations do: a plan with one is of mode "fused" */
    const lb_operand_spec *operands;      /* ends with name == NULL */
    const lb_param_spec *params;          /* ends with name == NULL; may be NULL */
    const lb_param_choices *choices;      /* ends with param == NULL; may be NULL */
    /* dtype and dims of a LB_WRITE operand that the caller left out, from the others. */
    lb_status (*infer)(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims);
    /* All shapes and dtypes fit together; called at record time when every operand is there. */
    lb_status (*check)(const lb_args *a);
    /* Work of one launch, from shapes and (after a run) from the data of index operands. */
    void (*work)(const lb_args *a, int32_t pick, lb_work *w);
    /* Optional: which weights a launch reads; NULL = every LB_WEIGHT operand, item `pick` of lists. */
    void (*touch)(const lb_args *a, int32_t pick, lb_touch_fn fn, void *ctx);
    /* Optional: neither of two launches touches an element that the other writes, although their LB_PARTIAL operands
     * may be the same tensors; told from what does not change between runs. Plans then put no barrier between them. */
    bool (*apart)(const lb_args *a, const lb_args *b);
    /* f64 on exactly the operands that the kernel saw. Fills up to LB_MAX_EXPECTED; *count says how many. */
    lb_status (*oracle)(const lb_oracle_in *in, lb_expected *out, int *count);
} lb_op;

/* engine/ops/ops.def, sorted; NULL-terminated. */
extern const lb_op *const lb_ops[];
lb_status lb_op_find(const char *name, const lb_op **out);
int lb_op_operand(const lb_op *op, const char *name); /* -1 = none */
int lb_op_param(const lb_op *op, const char *name);
/* The names that a parameter takes; NULL = it takes numbers. */
const char *const *lb_op_choices(const lb_op *op, int param);
