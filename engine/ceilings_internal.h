/* ceilings_internal.h: what ceilings.c and cache.c share: a large buffer and plans that read it. */
#pragma once
#include "measure.h"

#define LB_CEILING_SLICES 16     /* the buffer is a whole number of 2 MiB in each */

#define LB_CEILING_FORMS 4       /* kernels that read are compared, at most */

/* Held while ceilings are measured: one at a time in a process, and the buffer is shared. */
void lb_ceiling_lock(void);
void lb_ceiling_unlock(void);

/* Makes the buffer at least `bytes` long, touched by the device's threads. Kept for the life of the process, because
 * first touching it costs more than measuring; no part of the memory that cases are charged with. */
lb_status lb_ceiling_buffer(lb_device *d, size_t bytes);
size_t lb_ceiling_buffer_bytes(const lb_device *d);
/* As many bytes as make cold (lb_cache_cold_bytes), 256 MiB or more, as far as a quarter of the free memory allows; but
 * never less than twice what the caches hold. */
size_t lb_ceiling_bytes_for(lb_device *d, double cache_bytes);

/* Plans of one step over the buffer, by the best kernel; *out stays NULL if there is none. Offsets and sizes in bytes.
 * Reading has forms: 0 is the best kernel, 1, 2, … are the others that need the same instructions. */
lb_status lb_ceiling_read_plan(lb_device *d, int form, size_t offset, size_t bytes, int64_t rounds, lb_plan **out);
lb_status lb_ceiling_copy_plan(lb_device *d, size_t from, size_t to, size_t bytes, lb_plan **out);
lb_status lb_ceiling_write_plan(lb_device *d, size_t offset, size_t bytes, lb_plan **out);
/* The kernel of highest priority for a->op and a compute type that fits (form 0), or the form-th other one that needs
 * the same instructions, in the registry's order; NULL = none. */
const lb_kernel *lb_ceiling_kernel(const lb_device *d, const lb_args *a, lb_compute compute, int form);
/* A plan of one step; k NULL: none, and *out stays NULL. */
lb_status lb_ceiling_plan(lb_device *d, lb_args *a, const lb_kernel *k, lb_plan **out);
