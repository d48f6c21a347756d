/* stream_read.c: an independent reader, as STREAM would have it: no line of luabench is in it. stream.lua compiles it.
 *
 * stream_read BYTES SECONDS CPU...: one thread pinned to each CPU; each reads its share of an array that it touched first,
 * all together, pass after pass. An eighth of a pass is timed at a time, as luabench does: the best of short times is
 * higher than that of long ones. Prints the best and the median rate in bytes/s. */
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
enum { PARTS = 8 };

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

static double sum_of(const vec *a, long n) {
    vec s0 = { 0 }, s1 = { 0 }, s2 = { 0 }, s3 = { 0 }, s4 = { 0 }, s5 = { 0 }, s6 = { 0 }, s7 = { 0 };
    for (long i = 0; i + 8 <= n; i += 8) {
        s0 += a[i], s1 += a[i + 1], s2 += a[i + 2], s3 += a[i + 3];
        s4 += a[i + 4], s5 += a[i + 5], s6 += a[i + 6], s7 += a[i + 7];
    }
    s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7;
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += s0[i];
    return sum;
}

static void begin(long me) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(share[me].cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    for (long i = 0; i < share[me].count; i++) ((vec *)share[me].begin)[i] = (vec){ 1 };
    meet();
}

static void read_part(long me, int part) {
    long n = share[me].count / PARTS;
    share[me].sum += sum_of(share[me].begin + part * n, n);
}

static void *reader(void *at) {
    long me = (long)at;
    begin(me);
    for (int part = 0;; part = (part + 1) % PARTS) {
        meet();
        if (stop) return NULL;
        read_part(me, part);
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
    static double rate[100000];
    static pthread_t thread[1024];
    if (threads > 1024 || data == MAP_FAILED) return fprintf(stderr, "stream_read: no memory\n"), 1;
    madvise(data, bytes, MADV_HUGEPAGE);
    for (long i = 0; i < threads; i++) {
        share[i].cpu = atoi(argv[3 + i]), share[i].begin = data + per * i, share[i].count = per;
        if (i > 0) pthread_create(&thread[i], NULL, reader, (void *)i);
    }
    begin(0);
    int n = 0;
    double limit = seconds() + atof(argv[2]);
    for (int part = 0; n < 100000 && (n < 2 * PARTS || seconds() < limit); part = (part + 1) % PARTS) {
        meet();
        double from = seconds();
        read_part(0, part);
        meet();
        rate[n++] = (double)bytes / PARTS / (seconds() - from);
    }
    stop = 1;
    meet();
    double sum = share[0].sum;
    for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL), sum += share[i].sum;
    qsort(rate, (size_t)n, sizeof rate[0], up);
    printf("%.0f %.0f\n", rate[n - 1], rate[n / 2]);
    return sum > 0 ? 0 : 1;
}
