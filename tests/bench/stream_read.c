/* stream_read.c: an independent reader, as STREAM would have it: no line of luabench is in it. stream.lua compiles it.
 *
 * stream_read BYTES SECONDS CPU...: one thread pinned to each CPU; each reads its share of an array that it touched
 * first, all together, pass after pass. An eighth of a pass is timed at a time, as luabench does: the best of short
 * times is higher than that of long ones. Parts are read plainly and with prefetch by turns, since which of them memory
 * serves faster depends on its state (plain reads lose up to a seventh where it is slow). Prints the best and the
 * median rate of the faster form in bytes/s. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

typedef double vec __attribute__((vector_size(64)));

static struct { int cpu; const vec *begin; long count; double sum; } share[1024];
static int threads, stop;
static atomic_int arrived, turn;
enum { PARTS = 8, STEPS = 2 * PARTS };

/* All threads spin: sleeping and waking would cost some per cent of what is timed. */
static void meet(void) {
    int now = atomic_load(&turn);
    if (atomic_fetch_add(&arrived, 1) == threads - 1) {
        atomic_store(&arrived, 0);
        atomic_store(&turn, now + 1);
    } else {
        while (atomic_load(&turn) == now) continue;
    }
}


static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* `ahead`: vectors ahead at which each line is asked for; 0 leaves that to the hardware. */
static inline __attribute__((always_inline)) double sum_ahead(const vec *a, long n, long ahead) {
    vec s[8] = { { 0 } };
    for (long i = 0; i + 8 <= n; i += 8) {
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            if (ahead) __builtin_prefetch(a + i + k + ahead);
            s[k] += a[i + k];
        }
    }
    for (int k = 1; k < 8; k++) s[0] += s[k];
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += s[0][i];
    return sum;
}

static double sum_plain(const vec *a, long n) { return sum_ahead(a, n, 0); }
static double sum_prefetched(const vec *a, long n) { return sum_ahead(a, n, 64); }

/* Each part is read in one form and, a pass later, in the other. */
static int form_of(int step) { return (step + step / PARTS) % 2; }

static void begin(long me) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(share[me].cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    for (long i = 0; i < share[me].count; i++) ((vec *)share[me].begin)[i] = (vec){ 1 };
    meet();
}

static void read_part(long me, int step) {
    long n = share[me].count / PARTS;
    const vec *at = share[me].begin + step % PARTS * n;
    share[me].sum += form_of(step) ? sum_prefetched(at, n) : sum_plain(at, n);
}

static void *reader(void *at) {
    long me = (long)at;
    begin(me);
    for (int step = 0;; step = (step + 1) % STEPS) {
        meet();
        if (stop) return NULL;
        read_part(me, step);
        meet();
    }
}

static int up(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "stream_read BYTES SECONDS CPU...\n"), 2;
    threads = argc - 3;
    long per = atol(argv[1]) / threads / (512 * PARTS);
    per *= 8 * PARTS;                        /* vectors of a thread: whole steps of eight in each part */
    size_t bytes = (size_t)per * (size_t)threads * sizeof(vec);
    vec *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static double rate[2][50000];
    static pthread_t thread[1024];
    if (threads > 1024 || data == MAP_FAILED) return fprintf(stderr, "stream_read: no memory\n"), 1;
    madvise(data, bytes, MADV_HUGEPAGE);
    for (long i = 0; i < threads; i++) {
        share[i].cpu = atoi(argv[3 + i]), share[i].begin = data + per * i, share[i].count = per;
        if (i > 0) pthread_create(&thread[i], NULL, reader, (void *)i);
    }
    begin(0);
    int n[2] = { 0 };
    double limit = seconds() + atof(argv[2]);
    for (int step = 0; n[0] < 50000 && (n[1] < 2 * PARTS || seconds() < limit); step = (step + 1) % STEPS) {
        meet();
        double from = seconds();
        read_part(0, step);
        meet();
        int form = form_of(step);
        rate[form][n[form]++] = (double)bytes / PARTS / (seconds() - from);
    }
    stop = 1;
    meet();
    double sum = share[0].sum;
    for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL), sum += share[i].sum;
    double best = 0, middle = 0;
    for (int form = 0; form < 2; form++) {
        qsort(rate[form], (size_t)n[form], sizeof rate[form][0], up);
        if (rate[form][n[form] - 1] > best) best = rate[form][n[form] - 1];
        if (rate[form][n[form] / 2] > middle) middle = rate[form][n[form] / 2];
    }
    printf("%.0f %.0f\n", best, middle);
    return sum > 0 ? 0 : 1;
}
