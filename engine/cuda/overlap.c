/* overlap.c: which launches may begin before those before them have ended. */
#include "overlap.h"

#include <stdlib.h>
#include <string.h>

static _Thread_local bool within_body;

void lb_cuda_overlap_in_body(bool in_body) { within_body = in_body; }

bool lb_cuda_may_overlap(void) {
    const char *set = getenv("LUABENCH_CUDA_OVERLAP");
    if (set && !strcmp(set, "0")) return false;
    return !within_body || (set && !strcmp(set, "all"));
}
