/* test_huge.c: buffers in regions of huge pages neither overlap nor are lost, whatever the order they come and go
 * in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../engine/huge.h"

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
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
