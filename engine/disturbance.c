/* disturbance.c: what the operating system says went on while a sample was taken. */
#include "disturbance.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "cgroup.h"
#include "clock.h"
#include "measure.h"
#include "topology.h"

/* An involuntary switch costs its sample the switch, the other's time slice and a part of the caches: at least some
 * 20 us. It counts as a disturbance where that is 0.5 % of the sample or more; samples of seconds always have some. */
#define SWITCH_COST_NS 20000.0
#define SWITCH_SHARE 0.005
#define DELAY_SHARE 0.01
#define STEAL_EVERY_NS 1e7             /* a tick: what is counted can only change so often */

/* Text of a small file of /proc or /sys that stays open; false if it cannot be read. */
static bool reread(int fd, char *text, size_t bytes) {
    ssize_t n = fd < 0 ? -1 : pread(fd, text, bytes - 1, 0);
    if (n <= 0) return false;
    text[n] = 0;
    return true;
}

/* ---- steal ----------------------------------------------------------------------------------------------------- */

static bool among(const int *order, int cpus, int cpu) {
    for (int i = 0; i < cpus; i++)
        if (order[i] == cpu) return true;
    return false;
}

double lb_steal_ticks(const char *text, const int *order, int cpus) {
    double sum = 0;
    bool found = false;
    for (const char *line = text; line && strncmp(line, "cpu", 3) == 0; line = strchr(line, '\n') + 1) {
        int cpu;
        unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
        if (!strchr(line, '\n')) break;                       /* cut off */
        if (!isdigit((unsigned char)line[3])) continue;       /* the first line sums up all */
        if (sscanf(line, "cpu%d %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &user, &nice, &system, &idle, &iowait,
                   &irq, &softirq, &steal) != 9)
            continue;
        if (!among(order, cpus, cpu)) continue;
        sum += (double)steal;
        found = true;
    }
    return found ? sum : -1;
}

static double steal_now(const lb_watcher *w) {
    static _Thread_local char text[1 << 16];     /* the lines of the CPUs come first */
    /* not the thread's own mask: that shrinks when it is pinned */
    return reread(w->stat, text, sizeof text) ? lb_steal_ticks(text, lb_topology_get()->cpus, w->cpus) : -1;
}

static double tick_ns(void) {
    long hz = sysconf(_SC_CLK_TCK);
    return hz > 0 ? 1e9 / (double)hz : NAN;
}

bool lb_watcher_steal(lb_watcher *w, double *share) {
    uint64_t now = lb_now_ns();
    double past = (double)(now - w->steal_read_ns), ticks;
    if (w->steal_last < 0 || past < STEAL_EVERY_NS || (ticks = steal_now(w)) < 0) return false;
    *share = fmin(1, (ticks - w->steal_last) * tick_ns() / past);
    w->steal_last = ticks;
    w->steal_read_ns = now;
    return true;
}

double lb_watcher_steal_ns(const lb_watcher *w) {
    double now = w->steal_start < 0 ? -1 : steal_now(w);
    return now < 0 ? NAN : (now - w->steal_start) * tick_ns();
}

/* ---- throttling ------------------------------------------------------------------------------------------------ */

int64_t lb_throttled_ns(const char *text) {
    int64_t us = lb_cgroup_number(text, "throttled_usec");
    return us >= 0 ? us * 1000 : lb_cgroup_number(text, "throttled_time");
}

static void watch_group(void *ctx, const char *dir, bool v2) {
    lb_watcher *w = ctx;
    char path[1100], text[1024];
    (void)v2;
    if (w->group_count == LB_WATCHED_GROUPS) return;
    snprintf(path, sizeof path, "%s/cpu.stat", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (reread(fd, text, sizeof text) && lb_throttled_ns(text) >= 0) w->groups[w->group_count++] = fd;
    else close(fd);
}

/* A group's throttling is counted in the group whose quota ran out; each is added. */
static int64_t throttled_ns(const lb_watcher *w) {
    char text[1024];
    int64_t sum = w->group_count ? 0 : -1;
    for (int i = 0; i < w->group_count; i++) {
        int64_t ns = reread(w->groups[i], text, sizeof text) ? lb_throttled_ns(text) : -1;
        if (ns < 0) return -1;
        sum += ns;
    }
    return sum;
}

/* ---- run delay ------------------------------------------------------------------------------------------------- */

static void watch_threads(lb_watcher *w) {
    DIR *dir = opendir("/proc/self/task");
    char path[64];
    for (struct dirent *e; dir && w->threads < LB_WATCHED_THREADS && (e = readdir(dir));) {
        if (!isdigit((unsigned char)e->d_name[0])) continue;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/schedstat", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) w->schedstat[w->threads++] = fd;
    }
    if (dir) closedir(dir);
}

/* A worker that waits for its CPU delays the others at the next barrier. */
static int64_t run_delay_ns(const lb_watcher *w) {
    char text[96];
    int64_t sum = w->threads ? 0 : -1;
    for (int i = 0; i < w->threads; i++) {
        /* a thread that ended, and adds nothing, cannot be read any more */
        char *second = reread(w->schedstat[i], text, sizeof text) ? strchr(text, ' ') : NULL;
        if (second) sum += strtoll(second + 1, NULL, 10);       /* "time on cpu, run delay, time slices" */
    }
    return sum;
}

/* ---- snapshots ------------------------------------------------------------------------------------------------- */

void lb_watcher_init(lb_watcher *w, int threads) {
    *w = (lb_watcher){ .cpus = threads };
    if (w->cpus > lb_topology_get()->count) w->cpus = lb_topology_get()->count;
    watch_threads(w);
    lb_cgroup_each("cpu", watch_group, w);
    w->stat = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    w->steal_start = w->steal_last = steal_now(w);
    w->steal_read_ns = lb_now_ns();
}

void lb_watcher_done(lb_watcher *w) {
    for (int i = 0; i < w->threads; i++) close(w->schedstat[i]);
    for (int i = 0; i < w->group_count; i++) close(w->groups[i]);
    if (w->stat > 0) close(w->stat);
    *w = (lb_watcher){ .stat = -1, .steal_start = -1, .steal_last = -1 };
}

void lb_watcher_read(const lb_watcher *w, lb_snapshot *s) {
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) == 0) {
        s->switches = use.ru_nivcsw;
        s->faults = use.ru_majflt;
    } else {
        s->switches = s->faults = -1;
    }
    s->run_delay_ns = run_delay_ns(w);
    s->cpu = sched_getcpu();
    s->throttled_ns = throttled_ns(w);
}

void lb_disturbance_init(lb_disturbance *d) { *d = (lb_disturbance){ 0 }; }

/* Adds after - before to *total, which turns unknown for good once a counter is. */
static int64_t add(int64_t *total, int64_t before, int64_t after) {
    if (before < 0 || after < 0 || *total < 0) {
        *total = -1;
        return 0;
    }
    *total += after - before;
    return after - before;
}

uint32_t lb_disturbance_add(lb_disturbance *d, const lb_snapshot *before, const lb_snapshot *after, double sample_ns) {
    uint32_t marks = 0;
    int64_t switches = add(&d->switches, before->switches, after->switches);
    if ((double)switches * SWITCH_COST_NS > SWITCH_SHARE * sample_ns) marks |= LB_MARK_SWITCHED;
    if (add(&d->faults, before->faults, after->faults) > 0) marks |= LB_MARK_FAULTED;
    if (before->cpu < 0 || after->cpu < 0 || d->migrations < 0) {
        d->migrations = -1;
    } else if (before->cpu != after->cpu) {
        d->migrations++;
        marks |= LB_MARK_MIGRATED;
    }
    if (before->run_delay_ns < 0 || after->run_delay_ns < 0) {
        d->run_delay_ns = NAN;
    } else {
        double delay = (double)(after->run_delay_ns - before->run_delay_ns);
        d->run_delay_ns += delay;
        if (delay > DELAY_SHARE * sample_ns) marks |= LB_MARK_DELAYED;
    }
    if (before->throttled_ns < 0 || after->throttled_ns < 0) {
        d->throttled_ns = NAN;
    } else {
        d->throttled_ns += (double)(after->throttled_ns - before->throttled_ns);
        if (after->throttled_ns > before->throttled_ns) marks |= LB_MARK_THROTTLED;
    }
    return marks;
}

bool lb_disturbance_stolen(double share) { return share > DELAY_SHARE; }

/* ---- frequency ------------------------------------------------------------------------------------------------- */

#define CHAIN 20000

#if defined(__x86_64__)
/* Register to register: additions of small constants are folded away by some cores' renaming. */
#define ADD "add %1, %0\n\t"
#elif defined(__aarch64__)
#define ADD "add %0, %0, %1\n\t"
#endif

double lb_frequency_ghz(void) {
#ifdef ADD
#define ADD10 ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD
    uint64_t best = UINT64_MAX;
    /* The least of three: an interrupt only makes it longer. */
    for (int try = 0; try < 3; try++) {
        uint64_t x = 1, y = 3, start = lb_now_ns();
        for (int i = 0; i < CHAIN / 100; i++) {
            __asm__ volatile(ADD10 ADD10 ADD10 ADD10 ADD10 ADD10 ADD10 ADD10 ADD10 ADD10 : "+r"(x) : "r"(y));
        }
        uint64_t took = lb_now_ns() - start;
        if (took < best) best = took;
    }
    return best > 0 ? (double)CHAIN / (double)best : NAN;
#else
    return NAN;
#endif
}
