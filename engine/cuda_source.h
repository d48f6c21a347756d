/* cuda_source.h: kernels of CUDA C++ that a script brings: compiled by NVRTC for one device, launched with a grid and
 * blocks that follow from the operands' sizes. They become lb_kernels like the others. */
#pragma once
#include <stdbool.h>
#include "kernel.h"

enum { LB_SOURCE_TERMS = 48, LB_SOURCE_ARGS = 64, LB_SOURCE_KERNELS = 256 };

typedef enum lb_term_kind {
    LB_TERM_NUMBER, LB_TERM_PARAM, LB_TERM_DIM, LB_TERM_STRIDE, LB_TERM_ROWS, LB_TERM_NUMEL, LB_TERM_RANK,
    LB_TERM_COUNT,
    /* of the two values above it */
    LB_TERM_ADD, LB_TERM_SUB, LB_TERM_MUL, LB_TERM_DIV, LB_TERM_MOD, LB_TERM_MIN, LB_TERM_MAX, LB_TERM_EQ, LB_TERM_NE,
    LB_TERM_LT, LB_TERM_LE, LB_TERM_GT, LB_TERM_GE, LB_TERM_AND, LB_TERM_OR
} lb_term_kind;

/* One word of an expression, in the order in which a stack takes them. Sizes of an operand that was left out are 0; an
 * index < 0 counts dimensions from the end. */
typedef struct lb_term { lb_term_kind kind; int slot, index; double number; } lb_term;
typedef struct lb_terms { lb_term at[LB_SOURCE_TERMS]; int count; } lb_terms;

/* Whole numbers; division cuts off, by 0 it gives 0. */
double lb_terms_value(const lb_terms *t, const lb_args *a);

typedef enum lb_source_arg_kind {
    LB_SOURCE_DATA,          /* the address of an operand's elements, NULL if it was left out */
    LB_SOURCE_WORKSPACE, LB_SOURCE_I32, LB_SOURCE_I64, LB_SOURCE_F32, LB_SOURCE_F64
} lb_source_arg_kind;

typedef struct lb_source_arg {
    lb_source_arg_kind kind;
    int slot;
    lb_dtype dtype;          /* of DATA; LB_QUANT = any */
    lb_terms value;
} lb_source_arg;

/* Strings and arrays are copied. */
typedef struct lb_cuda_source {
    lb_kernel kernel;        /* name, op, about, source, format, act, acc, compute, tolerance and why, priority */
    const char *text;        /* CUDA C++ */
    const char *entry;       /* its function */
    const char *const *options;
    int option_count;
    lb_source_arg args[LB_SOURCE_ARGS];
    int arg_count;
    lb_terms grid[3], block[3], shared, workspace, needs;    /* count 0: 1, 1, 0, 0, true */
} lb_cuda_source;

/* Compiles and registers; one of the same name that was made before gives way. *log: the compiler's words, malloc'd;
 * may be NULL. LB_EINVAL with the compiler's lines where it does not compile, LB_EUNSUPPORTED where NVRTC is
 * missing. */
lb_status lb_cuda_source_make(lb_device *d, const lb_cuda_source *source, const lb_kernel **out, char **log);
/* The error of the launches of such kernels by this thread since the last call. */
lb_status lb_cuda_source_launched(void);
