/* scratch.h: a thread's own memory for what a kernel needs during a call and would make its stack frame large: sums of
 * many columns are up to half a MiB, and a stack may be smaller (`ulimit -s`). */
#pragma once
#include <stddef.h>

/* What a thread has; frames and what they call together may take so much. */
#define LB_SCRATCH_BYTES ((size_t)1 << 20)

/* `bytes` (0 too), aligned to 64, undefined contents. What was taken last is given back first, by the thread that
 * took it. Never NULL. A thread that nobody gave memory shares one piece with all others of that kind, one at a time:
 * from its first take until it has given all back. */
void *lb_scratch_take(size_t bytes);
void lb_scratch_give(void *p, size_t bytes);

/* From now on this thread takes from `memory`, LB_SCRATCH_BYTES that are aligned to 64; NULL = from what is shared. The
 * caller owns it. Returns what it took from before. Nothing may be taken meanwhile. */
void *lb_scratch_use(void *memory);
