/* registry.h: kernels that are registered while the program runs, beyond what kernel.h has. */
#pragma once
#include "kernel.h"

/* From kernels/registry.def or the CUDA part, not loaded or compiled at run time. */
bool lb_kernel_is_builtin(const lb_kernel *k);
/* As lb_kernel_load, for an object that was made again: kernels that were loaded under the same names give way to the
 * new ones. Plans that were recorded with the old ones keep them. Built-in kernels do not give way. *out: the kernels,
 * NULL-terminated, kept for ever. */
lb_status lb_kernel_reload(const char *path, const lb_kernel *const **out);
/* As lb_kernel_add, for kernels that were made at run time; those of the same names that were loaded before give
 * way. */
lb_status lb_kernel_replace(const lb_kernel *const *kernels, const char *from);
