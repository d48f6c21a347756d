/* test_machine.c: what is said of the machine agrees with what can be seen another way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <cmocka.h>
#include "machine.h"

static void test_facts(void **state) {
    (void)state;
    const lb_machine *m = lb_machine_get();
    struct utsname u;
    assert_ptr_equal(m, lb_machine_get());
    assert_int_equal(uname(&u), 0);
    assert_string_equal(m->hostname, u.nodename);
    assert_non_null(strstr(m->kernel, u.release));
    assert_int_equal(m->cores_logical, sysconf(_SC_NPROCESSORS_ONLN));
    assert_in_range(m->cores_usable, 1, sysconf(_SC_NPROCESSORS_CONF));
    assert_true(m->cores_physical == -1 || (m->cores_physical >= 1 && m->cores_physical <= m->cores_logical));
    assert_true(m->smt == -1 || (m->smt >= 1 && m->smt <= 8));
    int64_t bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    assert_true(m->memory_bytes > bytes / 10 * 9 && m->memory_bytes < bytes / 10 * 11);
    assert_true(m->memory_available_bytes > 0 && m->memory_available_bytes <= m->memory_bytes);
    assert_true(m->load1 >= 0 || m->load1 == -1);
    assert_true(m->virtualized >= -1 && m->virtualized <= 1);
}

static void test_cpu_lists(void **state) {
    (void)state;
    assert_int_equal(lb_machine_count_cpus("0"), 1);
    assert_int_equal(lb_machine_count_cpus("0-3,8-11,17"), 9);
    assert_int_equal(lb_machine_count_cpus(""), -1);
    assert_int_equal(lb_machine_count_cpus("x"), -1);
    assert_int_equal(lb_machine_count_cpus("3-1"), -1);
    assert_int_equal(lb_machine_count_cpus("0-99999999999"), -1);
    const lb_machine *m = lb_machine_get();
    assert_true(m->l2_cpus == -1 || m->l2_cpus >= 1);
    assert_true(m->l3_cpus == -1 || m->l3_cpus >= m->l2_cpus);
}

static void test_pressure(void **state) {
    (void)state;
    assert_true(lb_machine_pressure("some avg10=12.50 avg60=1.00 avg300=0.10 total=1\nfull avg10=3.00") == 12.5);
    assert_true(lb_machine_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0") == 0);
    assert_true(lb_machine_pressure("") == -1 && lb_machine_pressure("some avg10=") == -1);
    const lb_machine *m = lb_machine_get();
    assert_true(m->boost >= -1 && m->boost <= 1);
    assert_true(m->memory_pressure == -1 || (m->memory_pressure >= 0 && m->memory_pressure <= 100));
}

static void test_caches_grow(void **state) {
    (void)state;
    const lb_machine *m = lb_machine_get();
    const int64_t levels[] = { m->l1d_bytes, m->l2_bytes, m->l3_bytes };
    int64_t last = 0;
    for (int i = 0; i < 3; i++) {
        if (levels[i] < 0) continue;
        assert_true(levels[i] >= last && levels[i] >= 4096);
        last = levels[i];
    }
    assert_true(m->llc_total_bytes == -1 || m->llc_total_bytes >= last);
}

static void test_warnings(void **state) {
    (void)state;
    char all[4096], few[40];
    memset(few, 'x', sizeof few);
    lb_machine_warnings(all, sizeof all);
    size_t n = strlen(all);
    assert_true(n == 0 || all[n - 1] == '\n');
    if (lb_machine_get()->virtualized == 1) assert_non_null(strstr(all, "virtual machine"));
    /* Too small a buffer holds whole lines or nothing, and is not overrun. */
    lb_machine_warnings(few, sizeof few - 1);
    assert_true(strlen(few) < sizeof few - 1);
    assert_int_equal(few[sizeof few - 1], 'x');
    assert_true(few[0] == 0 || few[strlen(few) - 1] == '\n');
    lb_machine_warnings(few, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts), cmocka_unit_test(test_cpu_lists), cmocka_unit_test(test_pressure),
            cmocka_unit_test(test_caches_grow), cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
