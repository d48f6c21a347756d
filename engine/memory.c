/* memory.c: counts of the bytes that engine buffers hold, and what the machine still has. */
#include "memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "device.h"

static atomic_llong bytes_now, bytes_peak;

void lb_memory_add(int64_t bytes) {
    long long now = atomic_fetch_add(&bytes_now, bytes) + bytes, peak = atomic_load(&bytes_peak);
    while (now > peak && !atomic_compare_exchange_weak(&bytes_peak, &peak, now)) {}
}

int64_t lb_memory_now(void) { return atomic_load(&bytes_now); }
int64_t lb_memory_peak(void) { return atomic_load(&bytes_peak); }
void lb_memory_peak_reset(void) { atomic_store(&bytes_peak, atomic_load(&bytes_now)); }

/* The number that follows `key` at the start of a line; -1 = none. */
static int64_t number_after(const char *path, const char *key) {
    FILE *f = fopen(path, "re");
    if (!f) return -1;
    char line[256];
    long long v = -1;
    size_t length = strlen(key);
    while (v < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, key, length) == 0) v = atoll(line + length);
    fclose(f);
    return v;
}

/* /proc/meminfo counts in KiB. */
static int64_t meminfo(const char *key) {
    int64_t kib = number_after("/proc/meminfo", key);
    return kib < 0 ? -1 : kib * 1024;
}

/* A file that holds one number; -1 = missing or "max". */
static int64_t number_in(const char *path) {
    FILE *f = fopen(path, "re");
    if (!f) return -1;
    long long v = -1;
    if (fscanf(f, "%lld", &v) != 1) v = -1;
    fclose(f);
    return v;
}

/* The least of limit minus use over this cgroup and those above it: any of them can kill us. */
static void look_at_group(void *ctx, const char *dir, bool v2) {
    lb_memory_room *room = ctx;
    char file[1200];
    snprintf(file, sizeof file, "%s/%s", dir, v2 ? "memory.max" : "memory.limit_in_bytes");
    int64_t limit = number_in(file);
    snprintf(file, sizeof file, "%s/%s", dir, v2 ? "memory.current" : "memory.usage_in_bytes");
    int64_t used = number_in(file);
    snprintf(file, sizeof file, "%s/memory.stat", dir);
    /* file pages, which are given up before anyone is killed */
    int64_t cache = number_after(file, v2 ? "inactive_file " : "total_inactive_file ");
    if (cache > 0 && used > cache) used -= cache;
    /* v1 writes a number near 2^63 for "no limit" */
    if (limit < 0 || limit >= (int64_t)1 << 60) return;
    if (room->total < 0 || limit < room->total) room->total = limit, room->limited = true;
    int64_t left = used >= 0 && used < limit ? limit - used : used >= limit ? 0 : limit;
    if (room->available < 0 || left < room->available) room->available = left;
}

lb_memory_room lb_memory_room_get(void) {
    lb_memory_room room = { meminfo("MemTotal:"), meminfo("MemAvailable:"), false };
    lb_cgroup_each("memory", look_at_group, &room);
    return room;
}
