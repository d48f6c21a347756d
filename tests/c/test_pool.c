/* test_pool.c: the pool's runs, barriers and ranges; meant to pass under the thread sanitizer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "engine/pool.h"
#include "engine/scratch.h"
#include "engine/status.h"

static const int thread_counts[] = { 1, 2, 3, 9 };
enum { COUNTS = sizeof thread_counts / sizeof *thread_counts, PARTS_MAX = 9 };

static lb_pool *new_pool(int threads) {
    lb_pool *p = NULL;
    assert_int_equal(lb_pool_new(threads, NULL, &p), LB_OK);
    assert_int_equal(lb_pool_threads(p), threads);
    return p;
}

typedef struct counts {
    lb_pool *pool;
    int parts;
    int64_t calls[PARTS_MAX]; /* not atomic: each part has its own, and runs are ordered */
} counts;

static void count_call(void *ctx, int part, int parts) {
    counts *c = ctx;
    c->calls[part]++;
    if (part == 0) c->parts = parts;
}

static void test_run_calls_every_part_once(void **state) {
    (void)state;
    for (int k = 0; k < COUNTS; k++) {
        counts c = { .pool = new_pool(thread_counts[k]) };
        for (int i = 1; i <= 2000; i++) {
            lb_pool_run(c.pool, count_call, &c);
            assert_int_equal(c.parts, thread_counts[k]);
            for (int part = 0; part < thread_counts[k]; part++) assert_int_equal(c.calls[part], i);
        }
        lb_pool_free(c.pool);
    }
}

enum { PHASES = 3000 };

typedef struct phases {
    lb_pool *pool;
    int64_t cell[PARTS_MAX];   /* plain: only the barrier orders them */
    int64_t done_calls, bad;
} phases;

static void phase_done(void *ctx) {
    phases *p = ctx;
    p->done_calls++;
}

/* Everyone writes its cell, then everyone reads all: wrong or torn if a thread passes the barrier early. */
static void run_phases(void *ctx, int part, int parts) {
    phases *p = ctx;
    int64_t bad = 0;
    for (int64_t i = 1; i <= PHASES; i++) {
        p->cell[part] = i;
        lb_pool_barrier(p->pool, part, phase_done, p);
        for (int k = 0; k < parts; k++) bad += p->cell[k] != i;
        bad += p->done_calls != 2 * i - 1;
        lb_pool_barrier(p->pool, part, phase_done, p);
    }
    if (bad) p->bad = bad;
}

static void test_barrier_orders_phases(void **state) {
    (void)state;
    for (int k = 0; k < COUNTS; k++) {
        phases p = { .pool = new_pool(thread_counts[k]) };
        lb_pool_run(p.pool, run_phases, &p);
        assert_int_equal(p.bad, 0);
        assert_int_equal(p.done_calls, 2 * PHASES);
        lb_pool_free(p.pool);
    }
}

static void sleep_ms(int ms) {
    struct timespec t = { 0, ms * 1000000L };
    nanosleep(&t, NULL);
}

/* Part 0 is late enough for the others to reach the kernel's futex, and the other way round. */
static void late_part(void *ctx, int part, int parts) {
    phases *p = ctx;
    for (int late = 0; late < parts; late++) {
        if (part == late) sleep_ms(8);
        p->cell[part]++;
        lb_pool_barrier(p->pool, part, phase_done, p);
    }
    if (part == parts - 1) sleep_ms(8); /* the caller sleeps for the end of the run */
}

static void test_sleepers_are_woken(void **state) {
    (void)state;
    for (int k = 0; k < COUNTS; k++) {
        phases p = { .pool = new_pool(thread_counts[k]) };
        for (int round = 1; round <= 3; round++) {
            sleep_ms(5); /* idle workers sleep */
            lb_pool_run(p.pool, late_part, &p);
            for (int i = 0; i < thread_counts[k]; i++) assert_int_equal(p.cell[i], round * thread_counts[k]);
        }
        lb_pool_free(p.pool);
    }
}

static void test_wait_is_measured_when_asked(void **state) {
    (void)state;
    phases p = { .pool = new_pool(2) };
    lb_pool_run(p.pool, late_part, &p);
    assert_int_equal(lb_pool_wait_ns(p.pool, 0) + lb_pool_wait_ns(p.pool, 1), 0);
    lb_pool_wait_enable(p.pool, 1);
    for (int run = 0; run < 50; run++) { /* on a busy machine who is to wait may itself be the late one */
        lb_pool_run(p.pool, late_part, &p);
        if (lb_pool_wait_ns(p.pool, 0) > 1000000 && lb_pool_wait_ns(p.pool, 1) > 1000000) break;
    }
    assert_true(lb_pool_wait_ns(p.pool, 0) > 1000000 && lb_pool_wait_ns(p.pool, 1) > 1000000);
    lb_pool_wait_enable(p.pool, 0);
    assert_int_equal(lb_pool_wait_ns(p.pool, 0), 0);
    assert_int_equal(lb_pool_wait_ns(p.pool, 9), 0);
    lb_pool_free(p.pool);
}

enum { CELLS = 10007 };
static int touched[CELLS];

static void touch(void *ctx, int64_t begin, int64_t end) {
    (void)ctx;
    for (int64_t i = begin; i < end; i++) touched[i]++; /* plain: ranges must not overlap */
}

static void test_for_covers_every_index_once(void **state) {
    (void)state;
    static const int64_t grains[] = { 0, 1, 7, 1000, CELLS, 1 << 20 };
    for (int k = 0; k < COUNTS; k++) {
        lb_pool *p = new_pool(thread_counts[k]);
        for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
            memset(touched, 0, sizeof touched);
            lb_pool_for(p, CELLS, grains[g], touch, NULL);
            for (int i = 0; i < CELLS; i++) assert_int_equal(touched[i], 1);
        }
        lb_pool_for(p, 0, 1, touch, NULL);
        lb_pool_for(p, -5, 1, touch, NULL);
        lb_pool_free(p);
    }
}

static void nested_inner(void *ctx, int part, int parts) {
    counts *c = ctx;
    lb_pool_barrier(c->pool, part, NULL, NULL); /* alone: must not wait for anyone */
    if (part == 0 && parts == 1) c->parts = 1;
}

static void nested_outer(void *ctx, int part, int parts) {
    counts *all = ctx;
    counts mine = { .pool = all->pool };
    (void)parts;
    lb_pool_run(all->pool, nested_inner, &mine);
    all->calls[part] += mine.parts;
}

static void test_nested_run_is_serial(void **state) {
    (void)state;
    for (int k = 0; k < COUNTS; k++) {
        counts c = { .pool = new_pool(thread_counts[k]) };
        lb_pool_run(c.pool, nested_outer, &c);
        for (int i = 0; i < thread_counts[k]; i++) assert_int_equal(c.calls[i], 1);
        lb_pool_free(c.pool);
    }
}

static void *caller(void *arg) {
    counts *c = arg;
    for (int i = 0; i < 500; i++) lb_pool_run(c->pool, count_call, c);
    return NULL;
}

static void test_two_callers_take_turns(void **state) {
    (void)state;
    counts c = { .pool = new_pool(2) };
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, caller, &c), 0);
    caller(&c);
    pthread_join(t, NULL);
    assert_int_equal(c.calls[0], 1000);
    assert_int_equal(c.calls[1], 1000);
    lb_pool_free(c.pool);
}

static void test_bad_counts(void **state) {
    (void)state;
    lb_pool *p = (lb_pool *)&p;
    assert_int_equal(lb_pool_new(0, NULL, &p), LB_EINVAL);
    assert_null(p);
    assert_int_equal(lb_pool_new(-3, NULL, &p), LB_EINVAL);
    assert_int_equal(lb_pool_new(1 << 30, NULL, &p), LB_EINVAL);
    lb_pool_free(NULL);
}

/* ---- scratch memory ---- */

enum { LARGE = 700 << 10, SMALL = 100 };

/* Two pieces, full of a thread's own byte, are as they were when all have written theirs. */
static void use_scratch(lb_pool *p, int part) {
    unsigned char *large = lb_scratch_take(LARGE), *small = lb_scratch_take(SMALL);
    assert_true((uintptr_t)large % 64 == 0 && (uintptr_t)small % 64 == 0);
    memset(large, 2 * part + 1, LARGE);
    memset(small, 2 * part + 2, SMALL);
    if (p) lb_pool_barrier(p, part, NULL, NULL);
    for (int i = 0; i < LARGE; i++) assert_int_equal(large[i], 2 * part + 1);
    for (int i = 0; i < SMALL; i++) assert_int_equal(small[i], 2 * part + 2);
    lb_scratch_give(small, SMALL);
    lb_scratch_give(large, LARGE);
}

static void scratch_in_run(void *ctx, int part, int parts) {
    (void)parts;
    for (int i = 0; i < 3; i++) use_scratch(ctx, part);
}

static void test_scratch_is_a_threads_own(void **state) {
    (void)state;
    for (int k = 0; k < COUNTS; k++) {
        lb_pool *p = new_pool(thread_counts[k]);
        lb_pool_run(p, scratch_in_run, p);
        lb_pool_run(p, scratch_in_run, p);
        lb_pool_free(p);
    }
}

static void *scratch_alone(void *part) {
    for (int i = 0; i < 20; i++) use_scratch(NULL, (int)(intptr_t)part);
    return NULL;
}

/* Threads of no pool take turns. */
static void test_scratch_without_a_pool(void **state) {
    (void)state;
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, scratch_alone, (void *)i), 0);
    use_scratch(NULL, 5);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

/* No bytes are a piece as well; else the second of two takes would wait for its own thread for ever. */
static void test_scratch_of_no_bytes(void **state) {
    (void)state;
    static _Alignas(64) char mine[LB_SCRATCH_BYTES];
    void *before = lb_scratch_use(mine);
    void *none = lb_scratch_take(0), *some = lb_scratch_take(SMALL);
    lb_scratch_give(some, SMALL);
    lb_scratch_give(none, 0);
    lb_scratch_use(before);
    assert_ptr_not_equal(none, some); /* or what follows does not return */
    none = lb_scratch_take(0);
    some = lb_scratch_take(SMALL);
    lb_scratch_give(some, SMALL);
    lb_scratch_give(none, 0);
    use_scratch(NULL, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_calls_every_part_once),
        cmocka_unit_test(test_barrier_orders_phases),
        cmocka_unit_test(test_sleepers_are_woken),
        cmocka_unit_test(test_wait_is_measured_when_asked),
        cmocka_unit_test(test_for_covers_every_index_once),
        cmocka_unit_test(test_nested_run_is_serial),
        cmocka_unit_test(test_two_callers_take_turns),
        cmocka_unit_test(test_bad_counts),
        cmocka_unit_test(test_scratch_is_a_threads_own),
        cmocka_unit_test(test_scratch_without_a_pool),
        cmocka_unit_test(test_scratch_of_no_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
