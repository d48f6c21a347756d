/* overlap.h: whether a launch may begin before the one before it has ended (programmatic dependent launch). */
#pragma once
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif
/* For launches of the calling thread, now. Not in bodies of conditional nodes: CUDA's documents say neither that such
 * an edge is allowed there nor that it is not, and without it a body's launches only follow one another.
 * LUABENCH_CUDA_OVERLAP=0: nowhere, which tells a race between launches from what is wrong within one; =all: in
 * bodies, too, to try it. */
bool lb_cuda_may_overlap(void);
/* decide.c's: what this thread launches from here on is, or is not, in a body. */
void lb_cuda_overlap_in_body(bool in_body);
#ifdef __cplusplus
}
#endif
