/* selection.h: which of the kernels that fit is taken, and why. In this order: the one that the step names; the first
 * of those that are preferred (to force variants); the one that was measured to be the fastest on this machine for
 * operands of this form; the one of the highest priority, the first registered among equals. Without measurements the
 * choice depends on nothing but the operands and the instruction sets. */
#pragma once
#include "kernel.h"

typedef enum lb_why { LB_WHY_ASKED, LB_WHY_PREFERRED, LB_WHY_MEASURED, LB_WHY_PRIORITY } lb_why;
const char *lb_why_name(lb_why w);     /* "asked for", "preferred", "measured", "priority" */

enum { LB_FORM_BYTES = 640, LB_PREFER_MOST = 32 };

/* What operands have in common that the same kernel should serve: the operation, each operand's type and dims,
 * parameters. Weights have their dims; of other operands the last dim counts, the ones before it are rounded up to a
 * power of two, so that 5 to 8 rows are one form. Seeds do not count. "gemm x f32[8, 4096] w q4_k[4096, 4096] out
 * f32[8, 4096]" */
void lb_selection_form(const lb_args *a, bool native, char out[LB_FORM_BYTES]);

/* From now on these are taken wherever they fit, the first of them first, whatever their priority; kernels that are
 * registered later count, too. Names are copied. count 0: none. */
lb_status lb_selection_prefer(const char *const *names, int count);

/* On this device `kernel` was the fastest for a form, when compared with `against`, the one of highest priority: the
 * choice counts only while that is so. kernel NULL: forget the form; form NULL: forget all of the device. */
lb_status lb_selection_measured(const lb_device *d, const char *form, const char *kernel, const char *against);
/* The number of forms that are known of a device. */
int lb_selection_count(const lb_device *d);

/* As lb_kernel_select, and why that one. */
lb_status lb_kernel_select_why(const lb_device *d, const lb_args *a, bool native, const lb_kernel **out, lb_why *why);
/* For it: NULL = none. */
const lb_kernel *lb_selection_preferred(const lb_device *d, const lb_args *a, bool native);
const lb_kernel *lb_selection_fastest(const lb_device *d, const lb_args *a, bool native, const lb_kernel *against);
