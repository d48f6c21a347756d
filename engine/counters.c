/* counters.c: the processor's performance counters over runs of a plan (perf_event), where the kernel allows them. */
#include "counters.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#endif

#define THREADS_MOST 256
#define LEAST_SHARE 0.9

static const char *const names[LB_COUNTER_COUNT] = { "cycles", "instructions", "cache_references", "cache_misses",
                                                     "branches", "branch_misses" };
const char *lb_counter_name(lb_counter c) { return (unsigned)c < LB_COUNTER_COUNT ? names[c] : "unknown"; }

static void count_nothing(lb_counts *out, int64_t runs) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < LB_COUNTER_COUNT; i++) out->per_run[i] = NAN;
    out->running_share = NAN;
    out->runs = runs;
}

#ifdef __linux__

static int kernel_open(struct perf_event_attr *attr, pid_t thread, int group) {
    return (int)syscall(SYS_perf_event_open, attr, thread, -1, group, PERF_FLAG_FD_CLOEXEC);
}
static int kernel_control(int fd, unsigned long request) { return ioctl(fd, request, PERF_IOC_FLAG_GROUP); }
const lb_perf lb_perf_kernel = { kernel_open, kernel_control, read, close };

static const unsigned long long configs[LB_COUNTER_COUNT] = {
    PERF_COUNT_HW_CPU_CYCLES, PERF_COUNT_HW_INSTRUCTIONS, PERF_COUNT_HW_CACHE_REFERENCES, PERF_COUNT_HW_CACHE_MISSES,
    PERF_COUNT_HW_BRANCH_INSTRUCTIONS, PERF_COUNT_HW_BRANCH_MISSES,
};

/* A thread's counters, as one group: they count at the same times. */
typedef struct group {
    int fd[LB_COUNTER_COUNT];          /* -1: this processor has none */
    int leader;                        /* index of the first; -1 = nothing could be opened */
    int count;
} group;

typedef struct counting {
    const lb_perf *perf;
    group *groups;
    int count;
    char *reason;
    size_t reason_bytes;
} counting;

static void explain(const counting *c, int error) {
    const char *why = strerror(error);
    if (error == ENOENT || error == EOPNOTSUPP || error == ENODEV)
        why = "the processor shows no counters here, as is usual in a virtual machine";
    if (error == EACCES || error == EPERM)
        why = "not permitted; /proc/sys/kernel/perf_event_paranoid above 2, or a container's filter, forbids it";
    if (error == ENOSYS) why = "this kernel is built without perf events";
    if (error == EMFILE) why = "too many open files";
    snprintf(c->reason, c->reason_bytes, "perf_event_open: %s", why);
}

/* Members before their leader. */
static void close_group(const counting *c, group *g) {
    for (int k = LB_COUNTER_COUNT - 1; k >= 0; k--)
        if (g->fd[k] >= 0) c->perf->close(g->fd[k]);
    g->leader = -1;
}

/* False if nothing can be counted, with the reason, or if the thread has ended. */
static bool open_group(const counting *c, pid_t thread, group *g) {
    bool ended = false;
    g->leader = -1;
    g->count = 0;
    for (int i = 0; i < LB_COUNTER_COUNT; i++) {
        struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE, .size = sizeof attr, .config = configs[i],
            .disabled = g->leader < 0, .exclude_kernel = 1, .exclude_hv = 1,
            .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING };
        g->fd[i] = c->perf->open(&attr, thread, g->leader < 0 ? -1 : g->fd[g->leader]);
        if (g->fd[i] >= 0) {
            if (g->leader < 0) g->leader = i;
            g->count++;
        } else if (g->leader < 0 && i == LB_COUNTER_COUNT - 1) {
            explain(c, errno);
        } else if (errno == ESRCH) {   /* a later one: the thread has ended meanwhile */
            g->fd[i] = -1;
            ended = true;
        }
    }
    if (ended) close_group(c, g);
    return g->leader >= 0;
}

static void close_groups(counting *c) {
    for (int i = 0; i < c->count; i++) close_group(c, &c->groups[i]);
    free(c->groups);
    c->groups = NULL;
    c->count = 0;
}

/* One group for each thread of this process: those of the pool, and idle ones, which add nothing. */
static bool open_all(counting *c) {
    DIR *dir = opendir("/proc/self/task");
    c->groups = calloc(THREADS_MOST, sizeof *c->groups);
    for (struct dirent *e; dir && c->groups && c->count < THREADS_MOST && (e = readdir(dir));)
        if (isdigit((unsigned char)e->d_name[0]) && open_group(c, (pid_t)atoi(e->d_name), &c->groups[c->count]))
            c->count++;
    if (dir) closedir(dir);
    return c->count > 0;
}

static void control_all(const counting *c, unsigned long request) {
    for (int i = 0; i < c->count; i++) c->perf->control(c->groups[i].fd[c->groups[i].leader], request);
}

/* Adds a group's counts, scaled to all of the time that it was on; false with the reason where that says nothing. */
static bool add_group(const counting *c, const group *g, double *sum, double *share) {
    uint64_t data[3 + LB_COUNTER_COUNT];
    ssize_t want = (ssize_t)(3 + g->count) * (ssize_t)sizeof *data;
    ssize_t got = c->perf->read(g->fd[g->leader], data, sizeof data);
    if (got < want || data[0] != (uint64_t)g->count) {
        snprintf(c->reason, c->reason_bytes, "a read of performance counters gave %lld of %lld bytes", (long long)got,
                 (long long)want);
        return false;
    }
    double enabled = (double)data[1], running = (double)data[2];
    if (enabled <= 0) return true;     /* the thread did not run */
    *share = fmin(*share, running / enabled);
    if (running < LEAST_SHARE * enabled) {
        snprintf(c->reason, c->reason_bytes, "the counters were counting for only %.0f %% of the time: others use them",
                 100 * running / enabled);
        return false;
    }
    for (int i = 0, at = 3; i < LB_COUNTER_COUNT; i++)
        if (g->fd[i] >= 0) sum[i] += (double)data[at++] * enabled / running;
    return true;
}

static void read_all(const counting *c, lb_counts *out) {
    double sum[LB_COUNTER_COUNT] = { 0 }, share = 1;
    for (int i = 0; i < c->count; i++)
        if (!add_group(c, &c->groups[i], sum, &share)) return;
    out->running_share = share;
    for (int k = 0; k < LB_COUNTER_COUNT; k++) {
        bool known = true;             /* by every thread's group: a part of a sum is none */
        for (int i = 0; i < c->count; i++) known = known && c->groups[i].fd[k] >= 0;
        if (known) out->per_run[k] = sum[k] / (double)out->runs;
    }
}

lb_status lb_counters_run(lb_plan *p, int64_t runs, bool eager, const lb_perf *perf, lb_counts *out) {
    count_nothing(out, runs);
    if (runs < 1) return lb_fail(LB_EINVAL, "counters: got %lld runs, expected at least 1", (long long)runs);
    counting c = { .perf = perf, .reason = out->reason, .reason_bytes = sizeof out->reason };
    lb_device_pool(lb_plan_device(p));            /* its threads exist from here on */
    lb_status s = LB_OK;
    if (open_all(&c)) {
        control_all(&c, PERF_EVENT_IOC_RESET);
        control_all(&c, PERF_EVENT_IOC_ENABLE);
        s = eager ? lb_plan_replay_eager(p, runs, NULL, NULL) : lb_plan_replay(p, runs, NULL, NULL);
        control_all(&c, PERF_EVENT_IOC_DISABLE);
        out->reason[0] = 0;
        if (s == LB_OK) read_all(&c, out);
    }
    close_groups(&c);
    return s;
}

static char refusal[256];
static pthread_once_t tried = PTHREAD_ONCE_INIT;

static void try_once(void) {
    counting c = { .perf = &lb_perf_kernel, .reason = refusal, .reason_bytes = sizeof refusal };
    group g;
    if (!open_group(&c, 0, &g)) return;
    refusal[0] = 0;
    close_group(&c, &g);
}

const char *lb_counters_reason(void) {
    pthread_once(&tried, try_once);
    return refusal;
}

#else

const lb_perf lb_perf_kernel = { 0 };
lb_status lb_counters_run(lb_plan *p, int64_t runs, bool eager, const lb_perf *perf, lb_counts *out) {
    (void)p, (void)eager, (void)perf;
    count_nothing(out, runs);
    snprintf(out->reason, sizeof out->reason, "%s", lb_counters_reason());
    return LB_OK;
}
const char *lb_counters_reason(void) { return "performance counters are read on Linux only"; }

#endif
