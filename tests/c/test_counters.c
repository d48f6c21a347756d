/* test_counters.c: performance counters, with a kernel that is an actor; and energy counters, in folders made up
 * here. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "counters.h"
#include "energy.h"

#define OK(call)                                                    \
    do {                                                            \
        if ((call) != LB_OK) fail_msg("%s: %s", #call, lb_error()); \
    } while (0)

static lb_device *device;

static lb_plan *empty_plan(void) {
    lb_plan *p = NULL;
    lb_args a = { 0 };
    OK(lb_op_find("empty", &a.op));
    OK(lb_plan_new(device, &p));
    OK(lb_plan_add(p, a.op, &a, NULL, NULL));
    return p;
}

#ifdef __linux__
#include <linux/perf_event.h>

/* ---- the actor: descriptors from 1000 up; every group counts 1000, 2000, ... ------------------------------------- */

static int refuse_all, refuse_config, opened, closed, leaders, resets, enables, disables, short_reads;
static double share;                   /* of the time that a group counts */
static int members[4096];              /* by descriptor - 1000: events of its group */
static bool on;

static int actor_open(struct perf_event_attr *attr, pid_t thread, int group) {
    assert_true(thread > 0);
    assert_int_equal(attr->type, PERF_TYPE_HARDWARE);
    assert_true(attr->exclude_kernel && attr->exclude_hv);
    assert_true(attr->read_format & PERF_FORMAT_TOTAL_TIME_ENABLED &&
                attr->read_format & PERF_FORMAT_TOTAL_TIME_RUNNING);
    assert_int_equal(attr->disabled, group < 0);         /* the leader starts and stops them all */
    if (refuse_all) return errno = refuse_all, -1;
    if ((int)attr->config == refuse_config) return errno = ENOENT, -1;
    int fd = 1000 + opened++;
    leaders += group < 0;
    members[(group < 0 ? fd : group) - 1000]++;
    return fd;
}
static int actor_control(int fd, unsigned long request) {
    assert_true(members[fd - 1000] > 0);                 /* only leaders are told */
    resets += request == PERF_EVENT_IOC_RESET, enables += request == PERF_EVENT_IOC_ENABLE;
    disables += request == PERF_EVENT_IOC_DISABLE;
    on = request == PERF_EVENT_IOC_ENABLE;
    return 0;
}
static ssize_t actor_read(int fd, void *out, size_t bytes) {
    uint64_t *data = out, n = (uint64_t)members[fd - 1000];
    assert_false(on);
    assert_true(bytes >= (3 + n) * 8);
    data[0] = n, data[1] = 1000000, data[2] = (uint64_t)(1000000 * share);
    for (uint64_t i = 0; i < n; i++) data[3 + i] = (uint64_t)((double)(1000 * (i + 1)) * share);
    return short_reads ? 8 : (ssize_t)((3 + n) * 8);
}
static int actor_close(int fd) { return closed += fd >= 1000, 0; }
static const lb_perf actor = { actor_open, actor_control, actor_read, actor_close };

static void act(void) {
    refuse_all = opened = closed = leaders = resets = enables = disables = short_reads = 0;
    refuse_config = -1;
    share = 1;
    memset(members, 0, sizeof members);
}

static lb_counts count(int64_t runs) {
    lb_counts c;
    lb_plan *p = empty_plan();
    OK(lb_counters_run(p, runs, false, &actor, &c));
    lb_plan_release(p);
    assert_int_equal(opened, closed);
    return c;
}

static void test_counts_are_summed_and_scaled(void **state) {
    (void)state;
    act();
    lb_counts c = count(10);
    assert_string_equal(c.reason, "");
    assert_true(leaders >= lb_device_threads(device));   /* one group a thread */
    assert_true(resets == leaders && enables == leaders && disables == leaders);
    assert_true(c.running_share == 1 && c.runs == 10);
    for (int i = 0; i < LB_COUNTER_COUNT; i++) assert_true(c.per_run[i] == leaders * 1000.0 * (i + 1) / 10);
    act();
    share = 0.95;                                        /* counted for 95 % of the time: scaled up to all of it */
    c = count(10);
    assert_true(fabs(c.running_share - 0.95) < 1e-6);
    for (int i = 0; i < LB_COUNTER_COUNT; i++) assert_true(fabs(c.per_run[i] - leaders * 100.0 * (i + 1)) < 1);
}

static void test_too_much_multiplexing_is_refused(void **state) {
    (void)state;
    act();
    share = 0.5;
    lb_counts c = count(10);
    assert_non_null(strstr(c.reason, "50 %"));
    for (int i = 0; i < LB_COUNTER_COUNT; i++) assert_true(isnan(c.per_run[i]));
    assert_true(isnan(c.running_share));
}

static void test_events_that_do_not_exist(void **state) {
    (void)state;
    act();
    refuse_config = PERF_COUNT_HW_CPU_CYCLES;            /* the usual leader */
    lb_counts c = count(1);
    assert_string_equal(c.reason, "");
    assert_true(isnan(c.per_run[LB_COUNTER_CYCLES]));
    assert_true(c.per_run[LB_COUNTER_INSTRUCTIONS] == leaders * 1000.0);
    act();
    refuse_config = PERF_COUNT_HW_CACHE_MISSES;
    c = count(1);
    assert_true(isnan(c.per_run[LB_COUNTER_CACHE_MISSES]));
    assert_true(c.per_run[LB_COUNTER_BRANCHES] == leaders * 4000.0);
}

static void test_refusals_say_why(void **state) {
    (void)state;
    static const struct { int error; const char *says; } cases[] = {
        { ENOENT, "virtual machine" }, { EACCES, "perf_event_paranoid" }, { ENOSYS, "without perf" },
        { EMFILE, "open files" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        act();
        refuse_all = cases[i].error;
        lb_counts c = count(1);
        if (!strstr(c.reason, cases[i].says)) fail_msg("\"%s\" has no \"%s\"", c.reason, cases[i].says);
        for (int k = 0; k < LB_COUNTER_COUNT; k++) assert_true(isnan(c.per_run[k]));
        assert_int_equal(enables, 0);
    }
    act();
    short_reads = 1;
    assert_non_null(strstr(count(1).reason, "bytes"));
}

/* Whatever this kernel allows: counts that can be, or a reason. */
static void test_this_machine(void **state) {
    (void)state;
    lb_counts c;
    lb_plan *p = empty_plan();
    assert_int_equal(lb_counters_run(p, 0, false, &lb_perf_kernel, &c), LB_EINVAL);
    OK(lb_counters_run(p, 100000, false, &lb_perf_kernel, &c));
    if (lb_counters_reason()[0]) assert_true(c.reason[0] && isnan(c.per_run[LB_COUNTER_CYCLES]));
    else if (!c.reason[0] && !isnan(c.per_run[LB_COUNTER_INSTRUCTIONS])) {
        assert_true(c.per_run[LB_COUNTER_INSTRUCTIONS] >= 1);       /* an empty step is not nothing */
        assert_true(c.running_share > 0.89 && c.running_share <= 1);
    }
    lb_plan_release(p);
}
#endif

/* ---- energy ------------------------------------------------------------------------------------------------------ */

static char root[64];

static void put(const char *zone, const char *leaf, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, zone);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", root, zone, leaf);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void zone(const char *folder, const char *name, const char *uj, const char *range) {
    put(folder, "name", name);
    put(folder, "energy_uj", uj);
    if (range) put(folder, "max_energy_range_uj", range);
}

static int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/luabench-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}
static int remove_root(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void test_energy_adds_packages_and_memory(void **state) {
    (void)state;
    zone("intel-rapl:0", "package-0\n", "1000000\n", "262143328850\n");
    zone("intel-rapl:1", "package-1\n", "5000000\n", "262143328850\n");
    zone("intel-rapl:0:0", "core\n", "700000\n", NULL);              /* is in the package */
    zone("intel-rapl:0:1", "dram\n", "300000\n", "65712999613\n");
    zone("intel-rapl:2", "psys\n", "9000000\n", NULL);               /* has the packages in it */
    zone("intel-rapl-mmio:0", "package-0\n", "1000000\n", NULL);     /* the same once more */
    lb_energy e;
    lb_energy_open(&e, root);
    assert_int_equal(e.count, 3);
    assert_string_equal(e.reason, "");
    assert_true(lb_energy_joules(&e) == 0);
    put("intel-rapl:0", "energy_uj", "3500000\n");
    put("intel-rapl:0:0", "energy_uj", "9900000\n");
    put("intel-rapl:0:1", "energy_uj", "800000\n");
    assert_true(fabs(lb_energy_joules(&e) - 3.0) < 1e-9);
    assert_true(lb_energy_joules(&e) == 0);
    put("intel-rapl:1", "energy_uj", "nonsense\n");
    assert_true(isnan(lb_energy_joules(&e)));
    lb_energy_close(&e);
    lb_energy_close(&e);
    assert_true(isnan(lb_energy_joules(&e)));
}

static void test_energy_wraps(void **state) {
    (void)state;
    zone("intel-rapl:0", "package-0\n", "262143000000\n", "262143328850\n");
    lb_energy e;
    lb_energy_open(&e, root);
    put("intel-rapl:0", "energy_uj", "671150\n");
    assert_true(fabs(lb_energy_joules(&e) - 1.0) < 1e-6);
    lb_energy_close(&e);
}

static void test_energy_that_is_not_there(void **state) {
    (void)state;
    lb_energy e;
    lb_energy_open(&e, "/nowhere/at/all");
    assert_int_equal(e.count, 0);
    assert_non_null(strstr(e.reason, "/nowhere/at/all: No such file"));
    assert_true(isnan(lb_energy_joules(&e)));
    lb_energy_open(&e, root);
    assert_non_null(strstr(e.reason, "no zone of a package"));
    put("intel-rapl:0", "name", "package-0\n");
    lb_energy_open(&e, root);
    assert_int_equal(e.count, 0);
    assert_non_null(strstr(e.reason, "energy_uj"));
    put("intel-rapl:0", "energy_uj", "\n");
    lb_energy_open(&e, root);
    assert_non_null(strstr(e.reason, "no number"));
    setenv("LUABENCH_POWERCAP", root, 1);
    put("intel-rapl:0", "energy_uj", "5\n");
    lb_energy_open(&e, NULL);
    unsetenv("LUABENCH_POWERCAP");
    assert_int_equal(e.count, 1);
    lb_energy_close(&e);
}

int main(void) {
    if (lb_device_open("cpu", 0, &device)) return fprintf(stderr, "%s\n", lb_error()), 1;
    const struct CMUnitTest tests[] = {
#ifdef __linux__
        cmocka_unit_test(test_counts_are_summed_and_scaled), cmocka_unit_test(test_too_much_multiplexing_is_refused),
        cmocka_unit_test(test_events_that_do_not_exist),     cmocka_unit_test(test_refusals_say_why),
        cmocka_unit_test(test_this_machine),
#endif
        cmocka_unit_test_setup_teardown(test_energy_adds_packages_and_memory, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_energy_wraps, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_energy_that_is_not_there, make_root, remove_root),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lb_device_release(device);
    return failed;
}
