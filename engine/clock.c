/* clock.c: the monotonic clock, with what it costs and resolves. */
#include "clock.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define TRIES 1000
#define BATCHES 15
#define BATCH_CALLS 200

static atomic_int chosen = -1;      /* clockid of lb_now_ns; -1 = not chosen yet */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static lb_clock_info info;

static uint64_t read_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median cost of a call, by batches, because one call is below the clock's own resolution. */
static double call_cost_ns(clockid_t id) {
    double cost[BATCHES];
    for (int b = 0; b < BATCHES; b++) {
        uint64_t start = read_clock(id), last = start;
        for (int i = 0; i < BATCH_CALLS; i++) last = read_clock(id);
        cost[b] = (double)(last - start) / BATCH_CALLS;
    }
    qsort(cost, BATCHES, sizeof cost[0], compare);
    return cost[BATCHES / 2];
}

/* The raw clock is free of NTP's slewing, but on some kernels and clock sources it is a system call, ten times the
 * price of the other. 1.5 tells these apart and forgives noise. */
static int choose(void) {
#ifdef CLOCK_MONOTONIC_RAW
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC_RAW, &t) == 0 &&
        call_cost_ns(CLOCK_MONOTONIC_RAW) <= 1.5 * call_cost_ns(CLOCK_MONOTONIC) + 5)
        return CLOCK_MONOTONIC_RAW;
#endif
    return CLOCK_MONOTONIC;
}

static void choose_once(void) { atomic_store(&chosen, choose()); }

uint64_t lb_now_ns(void) {
    static pthread_once_t first = PTHREAD_ONCE_INIT;
    int id = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (__builtin_expect(id < 0, 0)) {
        pthread_once(&first, choose_once);
        id = atomic_load(&chosen);
    }
    return read_clock((clockid_t)id);
}

static double resolution_ns(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        uint64_t start = lb_now_ns(), next = start;
        while (next == start) next = lb_now_ns();
        if (next - start < least) least = next - start;
    }
    return (double)least;
}

static void measure_clock(void) {
    lb_now_ns();
    clockid_t id = (clockid_t)atomic_load(&chosen);
    info.name = id == CLOCK_MONOTONIC ? "CLOCK_MONOTONIC" : "CLOCK_MONOTONIC_RAW";
    info.resolution_ns = resolution_ns();
    info.cost_ns = call_cost_ns(id);
}

const lb_clock_info *lb_clock_info_get(void) {
    pthread_once(&once, measure_clock);
    return &info;
}
