/* op.c: the list of operations, and look-ups by name. */
#include "op.h"

#include <string.h>

#include "names.h"

#define LB_OP(name) extern const lb_op lb_op_##name;
#include "ops/ops.def"
#undef LB_OP

#define LB_OP(name) &lb_op_##name,
const lb_op *const lb_ops[] = {
#include "ops/ops.def"
    NULL,
};
#undef LB_OP

lb_status lb_op_find(const char *name, const lb_op **out) {
    const char *names[sizeof lb_ops / sizeof *lb_ops];
    char hint[512];
    int count = 0;
    *out = NULL;
    if (!name) return lb_fail(LB_EINVAL, "operation: expected a name such as 'gemm', got nothing");
    for (int i = 0; lb_ops[i]; i++) {
        if (strcmp(lb_ops[i]->name, name) == 0) {
            *out = lb_ops[i];
            return LB_OK;
        }
        names[count++] = lb_ops[i]->name;
    }
    lb_names_hint(name, names, count, hint, sizeof hint);
    return lb_fail(LB_EINVAL, "unknown operation '%s'%s", name, hint);
}

int lb_op_operand(const lb_op *op, const char *name) {
    for (int i = 0; op->operands && op->operands[i].name; i++)
        if (strcmp(op->operands[i].name, name) == 0) return i;
    return -1;
}

int lb_op_param(const lb_op *op, const char *name) {
    for (int i = 0; op->params && op->params[i].name; i++)
        if (strcmp(op->params[i].name, name) == 0) return i;
    return -1;
}

const char *const *lb_op_choices(const lb_op *op, int param) {
    for (const lb_param_choices *c = op->choices; c && c->param; c++)
        if (strcmp(c->param, op->params[param].name) == 0) return c->names;
    return NULL;
}
