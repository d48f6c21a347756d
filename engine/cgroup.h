/* cgroup.h: the control groups that this process is in. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Calls fn for the directory of this process's group of a controller ("memory", "cpu"), and for every one above it:
 * limits hold downwards. Version 2 first, or version 1 (v2 = false), or both where both are in use. */
typedef void (*lb_cgroup_fn)(void *ctx, const char *dir, bool v2);
void lb_cgroup_each(const char *controller, lb_cgroup_fn fn, void *ctx);

/* The number after `key` and blanks at the start of a line of a text; -1 = none. */
int64_t lb_cgroup_number(const char *text, const char *key);
