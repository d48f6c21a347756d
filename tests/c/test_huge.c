/* test_huge.c: buffers in regions of huge pages neither overlap nor are lost, whatever the order they come and go in,
 * and what they held goes back to the system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../engine/huge.h"
#include "../../engine/memory.h"

enum { SLOTS = 200, ROUNDS = 4000 };

static size_t some_bytes(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    size_t bytes = LB_HUGE_LEAST + (*seed >> 8) % (3u << 20);
    if (*seed % 400 == 1) return bytes + (63u << 20);         /* a mapping of its own */
    return *seed % 50 == 0 ? bytes + (15u << 20) : bytes;     /* large: its pages go back when it goes */
}

static void fill(uint8_t *p, size_t bytes, uint8_t value) {
    memset(p, value, 64);
    memset(p + bytes - 64, value, 64);
    p[bytes / 2] = value;
}

static bool holds(const uint8_t *p, size_t bytes, uint8_t value) {
    for (int i = 0; i < 64; i++)
        if (p[i] != value || p[bytes - 64 + (size_t)i] != value) return false;
    return p[bytes / 2] == value;
}

static void test_come_and_go(void **state) {
    (void)state;
    static uint8_t *at[SLOTS];
    static size_t bytes[SLOTS];
    uint32_t seed = 1;
    for (int i = 0; i < ROUNDS; i++) {
        int s = (int)((seed = seed * 1664525u + 1013904223u) >> 8) % SLOTS;
        if (at[s]) {
            assert_true(holds(at[s], bytes[s], (uint8_t)(s + 1)));
            lb_huge_free(at[s], bytes[s]);
            at[s] = NULL;
            continue;
        }
        bytes[s] = some_bytes(&seed);
        void *p = NULL;
        assert_int_equal(lb_huge_alloc(bytes[s], &p), LB_OK);
        assert_int_equal((uintptr_t)p % (bytes[s] >= 64u << 20 ? 2u << 20 : 4096), 0);
        at[s] = p;
        fill(at[s], bytes[s], (uint8_t)(s + 1));
    }
    for (int s = 0; s < SLOTS; s++) {
        if (!at[s]) continue;
        assert_true(holds(at[s], bytes[s], (uint8_t)(s + 1)));
        lb_huge_free(at[s], bytes[s]);
    }
}

static void test_room_is_used_again(void **state) {
    (void)state;
    void *first = NULL, *second = NULL, *again = NULL;
    assert_int_equal(lb_huge_alloc(10u << 20, &first), LB_OK);
    assert_int_equal(lb_huge_alloc(1u << 20, &second), LB_OK);
    lb_huge_free(first, 10u << 20);
    for (int i = 0; i < 100; i++) { /* more in all than any region has */
        assert_int_equal(lb_huge_alloc(10u << 20, &again), LB_OK);
        assert_true((char *)again + (10u << 20) <= (char *)second || (char *)again >= (char *)second + (1u << 20));
        lb_huge_free(again, 10u << 20);
    }
    assert_true(llabs((char *)again - (char *)second) < (256 << 20));
    lb_huge_free(second, 1u << 20);
}

/* Small pages that are in memory, of the huge pages that lie wholly in the buffer; -1: there is no mapping. */
static int resident(const uint8_t *p, size_t bytes) {
    static unsigned char in[16384];
    const uintptr_t huge = 2u << 20;
    uintptr_t from = ((uintptr_t)p + huge - 1) / huge * huge, to = ((uintptr_t)p + bytes) / huge * huge;
    size_t pages = (to - from) / (size_t)sysconf(_SC_PAGESIZE);
    assert_true(from < to && pages <= sizeof in);
    if (mincore((void *)from, to - from, in) != 0) return -1;
    int n = 0;
    for (size_t i = 0; i < pages; i++) n += in[i] & 1;
    return n;
}

/* A buffer of so many bytes, written, between two that stay. What is in memory when it is freed; then after a trim. */
static void free_between(size_t bytes, int *freed, int *trimmed) {
    enum { SIDE = 40 << 10 };
    uint8_t *at[3];
    const size_t size[3] = { SIDE, bytes, SIDE };
    for (int i = 0; i < 3; i++) {
        void *p = NULL;
        assert_int_equal(lb_huge_alloc(size[i], &p), LB_OK);
        at[i] = p;
        memset(p, i + 1, size[i]);
    }
    assert_true(resident(at[1], bytes) > 0);
    lb_huge_free(at[1], bytes);
    *freed = resident(at[1], bytes);
    lb_huge_trim();
    *trimmed = resident(at[1], bytes);
    for (int i = 0; i < 3; i += 2) {
        for (int j = 0; j < SIDE; j++) assert_int_equal(at[i][j], i + 1);
        lb_huge_free(at[i], SIDE);
    }
}

static void test_memory_goes_back(void **state) {
    (void)state;
    int freed = -1, trimmed = -1;
    free_between(20u << 20, &freed, &trimmed); /* large: at once */
    assert_int_equal(freed, 0);
    assert_int_equal(trimmed, 0);
    free_between(10u << 20, &freed, &trimmed);
    assert_true(freed > 0);
    assert_int_equal(trimmed, 0);
    lb_huge_trim(); /* without any region */
}

/* Empty regions stay for the next buffers, but not all of them. */
static void test_some_are_kept(void **state) {
    (void)state;
    enum { BUFFERS = 100, BYTES = 60 << 20 };       /* four a region: 25 regions */
    static uint8_t *at[BUFFERS];
    lb_huge_trim();
    assert_true(lb_huge_kept() == 0);
    for (int i = 0; i < BUFFERS; i++) {
        void *p = NULL;
        assert_int_equal(lb_huge_alloc(BYTES, &p), LB_OK);
        at[i] = p;
        at[i][0] = (uint8_t)i;                       /* a page of each, to be small on any machine */
    }
    for (int i = 0; i < BUFFERS; i++) {
        assert_int_equal(at[i][0], i);
        lb_huge_free(at[i], BYTES);
    }
    size_t kept = lb_huge_kept();
    assert_true(kept <= (size_t)2 << 30 && kept % (256u << 20) == 0);
    int64_t total = lb_memory_room_get().total;
    if (total > (int64_t)3 << 30) assert_true(kept > 0);
    if (total > 0) assert_true(kept <= (size_t)total / 8 + 1);
    void *again = NULL;
    assert_int_equal(lb_huge_alloc(BYTES, &again), LB_OK);
    if (kept) assert_true(lb_huge_kept() == kept - (256u << 20));
    lb_huge_free(again, BYTES);
    lb_huge_trim();
    assert_true(lb_huge_kept() == 0);
}

/* From now on this process gets `bytes` more addresses at most. Returns the limit that was, to be set again. */
static struct rlimit leave_addresses(size_t bytes) {
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%llu", &pages), 1);
    fclose(f);
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)(pages * (unsigned long long)sysconf(_SC_PAGESIZE) + bytes);
    assert_int_equal(setrlimit(RLIMIT_AS, &few), 0);
    return before;
}

/* A buffer that comes again lies where it lay, and one for which addresses are missing gets those that are kept. */
static void test_what_is_kept_is_used(void **state) {
    (void)state;
    enum { BYTES = 40 << 20 };
    void *first = NULL, *again = NULL, *large = NULL;
    lb_huge_trim();
    assert_int_equal(lb_huge_alloc(BYTES, &first), LB_OK);
    lb_huge_free(first, BYTES);
    size_t kept = lb_huge_kept();
    for (int i = 0; i < 3 && kept; i++) {
        assert_int_equal(lb_huge_alloc(BYTES, &again), LB_OK);
        assert_ptr_equal(again, first);
        lb_huge_free(again, BYTES);
    }
    struct rlimit before = leave_addresses(10u << 20);
    lb_status s = lb_huge_alloc(100u << 20, &large);
    setrlimit(RLIMIT_AS, &before);
    assert_int_equal(s, kept ? LB_OK : LB_ENOMEM);
    assert_true(lb_huge_kept() == 0);
    if (large) lb_huge_free(large, 100u << 20);
}

/* Addresses for a whole region are not to be had: a mapping for each buffer. */
static void test_few_addresses(void **state) {
    (void)state;
    void *p[3] = { NULL, NULL, NULL };
    const size_t bytes[3] = { 100u << 10, 20u << 20, 1u << 20 };
    struct rlimit before = leave_addresses(100u << 20);
    lb_status first = lb_huge_alloc(bytes[0], &p[0]), second = lb_huge_alloc(bytes[1], &p[1]);
    setrlimit(RLIMIT_AS, &before);
    assert_int_equal(first, LB_OK);
    assert_int_equal(second, LB_OK);
    assert_int_equal(lb_huge_alloc(bytes[2], &p[2]), LB_OK); /* in a region again */
    for (int i = 0; i < 3; i++) memset(p[i], i + 1, bytes[i]);
    for (int i = 0; i < 2; i++) assert_int_equal((uintptr_t)p[i] % (2u << 20), 0); /* not one behind the other */
    for (int i = 0; i < 3; i++) assert_int_equal(((uint8_t *)p[i])[bytes[i] - 1], i + 1);
    for (int i = 0; i < 3; i++) lb_huge_free(p[i], bytes[i]);
    assert_int_equal(resident(p[1], bytes[1]), -1);
}

static void test_too_large(void **state) {
    (void)state;
    void *p = NULL;
    assert_int_equal(lb_huge_alloc((size_t)1 << 60, &p), LB_ENOMEM);
    assert_null(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_come_and_go),
        cmocka_unit_test(test_room_is_used_again),
        cmocka_unit_test(test_memory_goes_back),
        cmocka_unit_test(test_some_are_kept),
        cmocka_unit_test(test_what_is_kept_is_used),
        cmocka_unit_test(test_few_addresses),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
