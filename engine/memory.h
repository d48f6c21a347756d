/* memory.h: counting of engine memory, and the room that is left; for device back ends. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Adds to (or, negative, takes from) lb_memory_now and raises lb_memory_peak. Any thread. */
void lb_memory_add(int64_t bytes);

/* Bytes that this process may use in all and that are free for it now, by /proc/meminfo and its cgroups (v1 and v2);
 * -1 = unknown. `limited`: a cgroup sets the total. Page cache counts as available outside cgroups. */
typedef struct lb_memory_room {
    int64_t total, available;
    bool limited;
} lb_memory_room;
lb_memory_room lb_memory_room_get(void);
