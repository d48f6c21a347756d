/* topology.c: the CPUs and caches that this process may use, from the affinity mask and /sys. */
#include "topology.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

static lb_topology topology;
static pthread_once_t once = PTHREAD_ONCE_INIT;

enum { MASK_BYTES = LB_CPUS_MAX / 8 };
static unsigned long mask[MASK_BYTES / sizeof(unsigned long)];
static bool mask_known;

static bool mask_has(int cpu) { return CPU_ISSET_S((size_t)cpu, MASK_BYTES, (cpu_set_t *)mask); }

/* A line of /sys/devices/system/cpu/cpu<cpu>/<leaf>. */
static bool read_text(char *out, size_t out_bytes, int cpu, const char *leaf) {
    char path[160];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, leaf);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool ok = fgets(out, (int)out_bytes, f) != NULL;
    fclose(f);
    if (ok) out[strcspn(out, "\n")] = 0;
    return ok;
}

static bool read_cache(char *out, size_t out_bytes, int cpu, int index, const char *leaf) {
    char path[64];
    snprintf(path, sizeof path, "cache/index%d/%s", index, leaf);
    return read_text(out, out_bytes, cpu, path);
}

static int64_t core_key(int cpu) {
    char text[64];
    if (!read_text(text, sizeof text, cpu, "topology/core_id")) return -1;
    int64_t core = atoll(text), package = 0;
    if (read_text(text, sizeof text, cpu, "topology/physical_package_id")) package = atoll(text);
    return core < 0 ? -1 : package << 32 | core;
}

/* Siblings go behind the first of every core. */
static void find_cores(lb_topology *t) {
    static int64_t keys[LB_CPUS_MAX];
    static int siblings[LB_CPUS_MAX];
    int cores = 0, rest = 0;
    for (int i = 0; i < t->count; i++) {
        int cpu = t->cpus[i], j = 0;
        int64_t key = core_key(cpu);
        while (j < cores && (key < 0 || keys[j] != key)) j++;
        if (j < cores) {
            siblings[rest++] = cpu;
            continue;
        }
        keys[cores] = key;
        t->cpus[cores++] = cpu; /* cores <= i: never overwrites one that is still to be read */
    }
    memcpy(t->cpus + cores, siblings, sizeof *siblings * (size_t)rest);
    t->cores = cores;
}

static int64_t parse_size(const char *text) {
    char *end;
    int64_t v = strtoll(text, &end, 10);
    return *end == 'K' ? v << 10 : *end == 'M' ? v << 20 : v;
}

/* The last-level cache that `cpu` sees, and whether it is the first of our CPUs to see that one. */
static int64_t last_level_of(const lb_topology *t, int cpu) {
    char text[512];
    int best = -1;
    long level = 0;
    for (int i = 0; i < 8 && read_cache(text, sizeof text, cpu, i, "level"); i++)
        if (atol(text) > level) level = atol(text), best = i;
    if (best < 0 || !read_cache(text, sizeof text, cpu, best, "shared_cpu_list")) return 0;
    for (const char *p = text; *p;) { /* "0-3,8-11": is one of our CPUs with a lower position in it? */
        char *end;
        long a = strtol(p, &end, 10), b = a;
        if (end == p) break;
        if (*end == '-') b = strtol(end + 1, &end, 10);
        for (int i = 0; i < t->count && t->cpus[i] != cpu; i++)
            if (t->cpus[i] >= a && t->cpus[i] <= b) return 0;
        p = *end == ',' ? end + 1 : end;
    }
    return read_cache(text, sizeof text, cpu, best, "size") ? parse_size(text) : 0;
}

static void find_caches(lb_topology *t) {
    char level[32], type[32], size[32];
    int cpu = t->cpus[0];
    for (int i = 0; i < 8 && read_cache(level, sizeof level, cpu, i, "level"); i++) {
        if (!read_cache(type, sizeof type, cpu, i, "type") || !read_cache(size, sizeof size, cpu, i, "size"))
            continue;
        if (level[0] == '1' && strcmp(type, "Instruction") != 0) t->l1d_bytes = parse_size(size);
        if (level[0] == '2') t->l2_bytes = parse_size(size);
    }
    for (int i = 0; i < t->count; i++) t->llc_bytes += last_level_of(t, t->cpus[i]);
    long v;
    if (!t->l1d_bytes && (v = sysconf(_SC_LEVEL1_DCACHE_SIZE)) > 0) t->l1d_bytes = v;
    if (!t->l2_bytes && (v = sysconf(_SC_LEVEL2_CACHE_SIZE)) > 0) t->l2_bytes = v;
    if (!t->llc_bytes && (v = sysconf(_SC_LEVEL3_CACHE_SIZE)) > 0) t->llc_bytes = v;
    if (!t->llc_bytes) t->llc_bytes = t->l2_bytes * t->cores;
}

static void find_model(lb_topology *t) {
    snprintf(t->model, sizeof t->model, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) return;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) != 0) continue;
        const char *value = strchr(line, ':');
        if (!value) continue;
        value += strspn(value, ": \t");
        snprintf(t->model, sizeof t->model, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    fclose(f);
}

static void read_topology(void) {
    lb_topology *t = &topology;
    mask_known = sched_getaffinity(0, MASK_BYTES, (cpu_set_t *)mask) == 0;
    for (int cpu = 0; mask_known && cpu < LB_CPUS_MAX; cpu++)
        if (mask_has(cpu)) t->cpus[t->count++] = cpu;
    if (t->count == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        for (int cpu = 0; cpu < (online > 0 ? online : 1) && cpu < LB_CPUS_MAX; cpu++) t->cpus[t->count++] = cpu;
    }
    find_cores(t);
    find_caches(t);
    find_model(t);
}

const lb_topology *lb_topology_get(void) {
    pthread_once(&once, read_topology);
    return &topology;
}

void lb_affinity_restore(void) {
    pthread_once(&once, read_topology);
    if (mask_known) sched_setaffinity(0, MASK_BYTES, (cpu_set_t *)mask);
}
