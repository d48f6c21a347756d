/* huge.h: memory in huge pages for what kernels stream. A weight of one or two MiB on small pages costs a page walk and
 * a restart of the hardware's prefetching every 4 KiB, which no large matrix beside it pays; so buffers of all sizes
 * from LB_HUGE_LEAST up share regions of huge pages. */
#pragma once
#include <stddef.h>

#include "status.h"

/* From here up it is worth asking. */
#define LB_HUGE_LEAST ((size_t)32 << 10)

/* `bytes` > 0, undefined contents, aligned to 4 KiB (to 2 MiB from 64 MiB up). Any thread. Where the system refuses
 * huge pages they are small: slower, not wrong. */
lb_status lb_huge_alloc(size_t bytes, void **out);
/* `bytes` as they were asked for. */
void lb_huge_free(void *p, size_t bytes);
/* Gives the system the memory of whole pages that no buffer lies in; freed buffers below 16 MiB keep theirs till then,
 * for the next one, and so do regions that are empty: 2 GiB at most and an eighth of what the process may use, more
 * than one of them only where the system has 4 GiB left. Any thread. */
void lb_huge_trim(void);
/* Addresses of empty regions that are kept, in bytes; of memory they hold so much at most. Any thread. */
size_t lb_huge_kept(void);
