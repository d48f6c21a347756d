/* disturbance.c: what the operating system says went on while a sample was taken. */
#include "disturbance.h"
#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "clock.h"
#include "measure.h"
#include "topology.h"

/* An involuntary switch costs its sample the switch, the other's time slice and a part of the caches: at least some
 * 20 us. It counts as a disturbance where that is 0.5 % of the sample or more; samples of seconds always have some. */
#define SWITCH_COST_NS 20000.0
#define SWITCH_SHARE 0.005
#define DELAY_SHARE 0.01

/* ---- steal ----------------------------------------------------------------------------------------------------- */

static bool usable(int cpu) {
    const lb_topology *t = lb_topology_get();    /* not the thread's own mask: that shrinks when it is pinned */
    for (int i = 0; i < t->count; i++) {
        if (t->cpus[i] == cpu) return true;
    }
    return false;
}

/* Sum of the steal column of /proc/stat over the CPUs that this process may use, in clock ticks. */
static double steal_ticks(void) {
    FILE *f = fopen("/proc/stat", "re");
    if (!f) return -1;
    char line[512];
    double sum = 0;
    bool found = false;
    while (fgets(line, sizeof line, f) && strncmp(line, "cpu", 3) == 0) {
        int cpu;
        if (!isdigit((unsigned char)line[3])) continue;      /* the first line sums up all */
        unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
        if (sscanf(line, "cpu%d %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &user, &nice, &system, &idle, &iowait,
                   &irq, &softirq, &steal) != 9)
            continue;
        if (!usable(cpu)) continue;
        sum += (double)steal;
        found = true;
    }
    fclose(f);
    return found ? sum : -1;
}

double lb_watcher_steal_ns(const lb_watcher *w) {
    double now = w->steal_ticks < 0 ? -1 : steal_ticks();
    long hz = sysconf(_SC_CLK_TCK);
    if (now < 0 || hz <= 0) return NAN;
    return (now - w->steal_ticks) * 1e9 / (double)hz;
}

/* ---- snapshots ------------------------------------------------------------------------------------------------- */

void lb_watcher_init(lb_watcher *w) {
    w->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    w->steal_ticks = steal_ticks();
}

void lb_watcher_done(lb_watcher *w) {
    if (w->schedstat >= 0) close(w->schedstat);
    w->schedstat = -1;
}

static int64_t run_delay_ns(int fd) {
    char text[96];
    if (fd < 0) return -1;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0) return -1;
    text[n] = 0;
    char *second = strchr(text, ' ');       /* "time on cpu, run delay, time slices" */
    return second ? strtoll(second + 1, NULL, 10) : -1;
}

void lb_watcher_read(const lb_watcher *w, lb_snapshot *s) {
    struct rusage use;
    /* Of all threads: a worker that loses its CPU delays the others at the next barrier. */
    if (getrusage(RUSAGE_SELF, &use) == 0) {
        s->switches = use.ru_nivcsw;
        s->faults = use.ru_majflt;
    } else {
        s->switches = s->faults = -1;
    }
    s->run_delay_ns = run_delay_ns(w->schedstat);
    s->cpu = sched_getcpu();
}

void lb_disturbance_init(lb_disturbance *d) { *d = (lb_disturbance){ 0, 0, 0, 0 }; }

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
    return marks;
}

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
