/* machine.c: what is known of the machine, from /proc, /sys and uname. What cannot be read stays unknown. */
#include "machine.h"
#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "device.h"
#include "memory.h"
#include "topology.h"

static lb_machine machine;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- reading small files --------------------------------------------------------------------------------------- */

/* First line of a file, without its end and trailing blanks; false (and "") if it cannot be read. */
static bool read_line(const char *path, char *out, size_t out_bytes) {
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(out, (int)out_bytes, f);
    if (f) fclose(f);
    if (!ok) out[0] = 0;
    for (size_t n = strlen(out); n > 0 && isspace((unsigned char)out[n - 1]); n--) out[n - 1] = 0;
    return ok;
}

static int64_t read_int(const char *path) {
    char line[64], *end;
    if (!read_line(path, line, sizeof line)) return -1;
    long long n = strtoll(line, &end, 10);
    if (end == line) return -1;
    if (*end == 'K') n *= 1024;
    if (*end == 'M') n *= 1024 * 1024;
    return n;
}

/* The word in [brackets], as the kernel shows the chosen one of several. */
static void read_chosen(const char *path, char *out, size_t out_bytes) {
    char line[128];
    read_line(path, line, sizeof line);
    char *open = strchr(line, '['), *shut = open ? strchr(open, ']') : NULL;
    if (shut) snprintf(out, out_bytes, "%.*s", (int)(shut - open - 1), open + 1);
}

/* Value after `key` and `separator` in a file of such lines, unquoted. */
static bool read_key(const char *path, const char *key, char separator, char *out, size_t out_bytes) {
    char line[1024];
    FILE *f = fopen(path, "re");
    bool found = false;
    size_t length = strlen(key);
    while (f && !found && fgets(line, sizeof line, f)) {
        char *at = line + length;
        if (strncmp(line, key, length) != 0) continue;
        while (*at == ' ' || *at == '\t') at++;
        if (*at != separator) continue;
        at++;
        while (isspace((unsigned char)*at) || *at == '"') at++;
        size_t n = strlen(at);
        while (n > 0 && (isspace((unsigned char)at[n - 1]) || at[n - 1] == '"')) n--;
        snprintf(out, out_bytes, "%.*s", (int)n, at);
        found = true;
    }
    if (f) fclose(f);
    return found;
}

static int64_t meminfo(const char *key) {
    char value[64];
    return read_key("/proc/meminfo", key, ':', value, sizeof value) ? strtoll(value, NULL, 10) * 1024 : -1;
}

/* ---- the parts ------------------------------------------------------------------------------------------------- */

static int entries(const char *path, const char *prefix) {
    DIR *dir = opendir(path);
    int n = 0;
    if (!dir) return -1;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t length = strlen(prefix);
        if (strncmp(e->d_name, prefix, length) == 0 && isdigit((unsigned char)e->d_name[length])) n++;
    }
    closedir(dir);
    return n > 0 ? n : -1;
}

/* Physical cores: logical CPUs that stand first in their own list of siblings. */
static int physical_cores(void) {
    int n = 0;
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (int i = 0; i < cpus; i++) {
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
        n += read_int(path) == i;
    }
    return n > 0 ? n : -1;
}

int lb_machine_count_cpus(const char *list) {
    int n = 0;
    for (const char *p = list; *p;) {
        char *end;
        long a = strtol(p, &end, 10), b = a;
        if (end == p) return -1;
        if (*end == '-') b = strtol(end + 1, &end, 10);
        if (a < 0 || b < a || b - a >= LB_CPUS_MAX) return -1;
        n += (int)(b - a) + 1;
        p = *end == ',' ? end + 1 : end;
    }
    return n > 0 ? n : -1;
}

static void read_caches(lb_machine *m) {
    const lb_topology *t = lb_topology_get();
    m->l1d_bytes = m->l1i_bytes = m->l2_bytes = m->l3_bytes = -1;
    m->l1d_cpus = m->l1i_cpus = m->l2_cpus = m->l3_cpus = -1;
    for (int i = 0; i < 8; i++) {
        char path[96], type[32], shared[512];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/level", t->cpus[0], i);
        int64_t level = read_int(path);
        if (level < 0) break;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/type", t->cpus[0], i);
        read_line(path, type, sizeof type);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/size", t->cpus[0], i);
        int64_t bytes = read_int(path);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/shared_cpu_list", t->cpus[0], i);
        read_line(path, shared, sizeof shared);
        int cpus = lb_machine_count_cpus(shared);
        if (level == 1 && strcmp(type, "Instruction") == 0) m->l1i_bytes = bytes, m->l1i_cpus = cpus;
        else if (level == 1) m->l1d_bytes = bytes, m->l1d_cpus = cpus;
        else if (level == 2) m->l2_bytes = bytes, m->l2_cpus = cpus;
        else if (level == 3) m->l3_bytes = bytes, m->l3_cpus = cpus;
    }
    m->llc_total_bytes = t->llc_bytes > 0 ? t->llc_bytes : -1;
}

static int is_virtual(void) {
    char flags[4096];
    FILE *f = fopen("/proc/cpuinfo", "re");
    int found = -1;
    if (access("/sys/hypervisor/type", R_OK) == 0) found = 1;
    while (f && found < 0 && fgets(flags, sizeof flags, f)) {
        /* The bit that hypervisors set for their guests; only x86 has it. */
        if (strncmp(flags, "flags", 5) == 0) found = strstr(flags, " hypervisor") != NULL;
    }
    if (f) fclose(f);
    return found;
}

static void read_names(lb_machine *m) {
    struct utsname u;
    snprintf(m->cpu, sizeof m->cpu, "%s", lb_topology_get()->model);
    lb_isa_print(lb_isa_detect(), m->isa, sizeof m->isa);
    if (uname(&u) == 0) {
        snprintf(m->kernel, sizeof m->kernel, "%.60s %.60s", u.sysname, u.release);
        snprintf(m->hostname, sizeof m->hostname, "%.63s", u.nodename);
    }
    if (!read_key("/etc/os-release", "PRETTY_NAME", '=', m->os, sizeof m->os))
        read_key("/usr/lib/os-release", "PRETTY_NAME", '=', m->os, sizeof m->os);
    read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", m->clocksource,
              sizeof m->clocksource);
    read_chosen("/sys/kernel/mm/transparent_hugepage/enabled", m->thp, sizeof m->thp);
}

static void read_governor(lb_machine *m) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor",
             lb_topology_get()->cpus[0]);
    read_line(path, m->governor, sizeof m->governor);
}

/* Turbo or boost: by the generic switch, or Intel's driver's, which says the opposite. */
static int read_boost(void) {
    int64_t boost = read_int("/sys/devices/system/cpu/cpufreq/boost");
    int64_t no_turbo = read_int("/sys/devices/system/cpu/intel_pstate/no_turbo");
    return boost >= 0 ? boost != 0 : no_turbo >= 0 ? no_turbo == 0 : -1;
}

double lb_machine_pressure(const char *text) {
    double avg10;
    const char *some = strstr(text, "some avg10=");
    return some && sscanf(some, "some avg10=%lf", &avg10) == 1 ? avg10 : -1;
}

static void read_machine(void) {
    lb_machine *m = &machine;
    double load;
    read_names(m);
    read_governor(m);
    read_caches(m);
    m->cores_physical = physical_cores();
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    m->cores_logical = online > 0 ? (int)online : -1;
    m->cores_usable = lb_topology_get()->count;
    m->numa_nodes = entries("/sys/devices/system/node", "node");
    m->smt = m->cores_physical > 0 && m->cores_logical > 0
                 ? (m->cores_logical + m->cores_physical - 1) / m->cores_physical : -1;
    m->memory_bytes = meminfo("MemTotal");
    m->memory_available_bytes = meminfo("MemAvailable");
    lb_memory_room room = lb_memory_room_get();
    m->cgroup_memory_bytes = room.limited ? room.total : -1;
    m->load1 = getloadavg(&load, 1) == 1 ? load : -1;
    char pressure[160];
    read_line("/proc/pressure/memory", pressure, sizeof pressure);
    m->memory_pressure = lb_machine_pressure(pressure);
    m->virtualized = is_virtual();
    m->boost = read_boost();
}

const lb_machine *lb_machine_get(void) {
    pthread_once(&once, read_machine);
    return &machine;
}

/* ---- warnings -------------------------------------------------------------------------------------------------- */

typedef struct text { char *at; size_t left; } text;

static void warn(text *t, const char *fmt, ...) LB_PRINTF(2, 3);
static void warn(text *t, const char *fmt, ...) {
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    if (n < 0) return;
    size_t length = strlen(line);
    line[length++] = '\n';
    if (length >= t->left) return;      /* whole lines only */
    memcpy(t->at, line, length);
    t->at += length;
    t->left -= length;
    *t->at = 0;
}

static void warn_of_memory(text *t, const lb_machine *m) {
    const double gb = 1e9;
    int64_t least = m->memory_available_bytes;
    if (m->cgroup_memory_bytes > 0 && m->cgroup_memory_bytes < least) {
        warn(t, "this process may use only %.1f GB of the machine's %.1f GB of memory (control group)",
             (double)m->cgroup_memory_bytes / gb, (double)m->memory_bytes / gb);
        least = m->cgroup_memory_bytes;
    }
    if (m->memory_pressure > 1)
        warn(t, "memory is short: for %.0f %% of the last 10 s tasks waited for it", m->memory_pressure);
    if (least >= 0 && (double)least < 2 * gb)
        warn(t, "only %.1f GB of memory are free: large models and cold-cache copies may not fit", (double)least / gb);
}

void lb_machine_warnings(char *out, size_t out_bytes) {
    const lb_machine *m = lb_machine_get();
    text t = { out, out_bytes };
    if (out_bytes) out[0] = 0;
    if (m->governor[0] && strcmp(m->governor, "performance") != 0)
        warn(&t, "the CPU frequency governor is \"%s\": times depend on how long the CPU was idle before "
             "(as root: cpupower frequency-set -g performance)", m->governor);
    if (m->boost == 1)
        warn(&t, "the CPU may boost: its clock depends on temperature and on what other cores do "
             "(as root: echo 0 > /sys/devices/system/cpu/cpufreq/boost, or 1 > .../intel_pstate/no_turbo)");
    if (m->smt > 1)
        warn(&t, "simultaneous multithreading is on (%d threads a core): what else runs on a core's other thread "
             "slows this one down", m->smt);
    if (m->load1 > 0.5)
        warn(&t, "the machine is busy: load average %.2f over the last minute, before this run", m->load1);
    if (m->virtualized == 1)
        warn(&t, "this is a virtual machine: neighbours share its caches and memory bandwidth, unseen");
    if (m->numa_nodes > 1)
        warn(&t, "%d NUMA nodes: memory is fast only from the node that first touched it", m->numa_nodes);
    if (m->cores_usable > 0 && m->cores_usable < m->cores_logical)
        warn(&t, "only %d of %d logical CPUs may be used (affinity or control group)", m->cores_usable,
             m->cores_logical);
    if (strcmp(m->thp, "never") == 0)
        warn(&t, "transparent huge pages are off: large weights cost more address translations");
    if (m->clocksource[0] && strcmp(m->clocksource, "tsc") != 0 && strcmp(m->clocksource, "arch_sys_counter") != 0 &&
        strcmp(m->clocksource, "kvm-clock") != 0)
        warn(&t, "the clock source is \"%s\": reading the clock may need a system call", m->clocksource);
    if (m->llc_total_bytes < 0)
        warn(&t, "the size of the last-level cache is unknown: cold-cache regimes have to guess it");
    warn_of_memory(&t, m);
}
