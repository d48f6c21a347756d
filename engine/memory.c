/* memory.c: counts of the bytes that engine buffers hold, and what the machine still has. */
#include "memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The least of `limit_file` minus `used_file` over this cgroup and those above it: any of them can kill us. */
static void cgroup_walk(const char *root, const char *path, const char *limit_file, const char *used_file,
                        const char *cache_key, lb_memory_room *room) {
    char dir[1024], file[1200];
    snprintf(dir, sizeof dir, "%s%s", root, path);
    for (;;) {
        snprintf(file, sizeof file, "%s/%s", dir, limit_file);
        int64_t limit = number_in(file);
        snprintf(file, sizeof file, "%s/%s", dir, used_file);
        int64_t used = number_in(file);
        snprintf(file, sizeof file, "%s/memory.stat", dir);
        int64_t cache = number_after(file, cache_key); /* file pages that are given up before anyone is killed */
        if (cache > 0 && used > cache) used -= cache;
        /* v1 writes a number near 2^63 for "no limit" */
        if (limit >= 0 && limit < (int64_t)1 << 60) {
            if (room->total < 0 || limit < room->total) room->total = limit, room->limited = true;
            int64_t left = used >= 0 && used < limit ? limit - used : used >= limit ? 0 : limit;
            if (room->available < 0 || left < room->available) room->available = left;
        }
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < strlen(root)) return;
        *slash = 0;
    }
}

lb_memory_room lb_memory_room_get(void) {
    lb_memory_room room = { meminfo("MemTotal:"), meminfo("MemAvailable:"), false };
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return room;
    char line[1024];
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0, controllers++;
        if (strcmp(path, "/") == 0) path = "";
        if (*controllers == 0)
            cgroup_walk("/sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file ", &room);
        else if (strcmp(controllers, "memory") == 0)
            cgroup_walk("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes",
                        "total_inactive_file ", &room);
    }
    fclose(f);
    return room;
}
