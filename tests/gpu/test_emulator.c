/* test_emulator.c: the emulator finds what is wrong with kernels that are wrong, and nothing wrong with one that is
 * right. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 256, SEEDS = 8 };
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
static void *so;
static void (*seed)(uint64_t);
static const char *(*error_take)(void);

/* What each fault must lead to: an error with this text, or, where it is NULL, with some order of turns a wrong result.
 * Under the address sanitizer those with a second text end the program with that; without it those that have no other
 * pass. */
static const struct { const char *name, *text, *sanitizer; } faults[] = {
    { "fault_no_barrier", NULL, NULL },
    { "fault_uninitialised", NULL, NULL },
    { "fault_no_wait", NULL, NULL },
    { "fault_divergent", "32 threads have ended", NULL },
    { "fault_two_barriers", "different barriers", NULL },
    { "fault_half_a_warp", "__shfl_xor_sync", NULL },
    { "fault_not_in_mask", "in which its lane", NULL },
    { "fault_two_operations", "its warp is in", NULL },
    { "fault_past_shared", "past the dynamic shared memory", "use-after-poison" },
    { "fault_copy_to", "past the dynamic shared memory", "use-after-poison" },
    { "fault_bulk_to", "past the dynamic shared memory", "use-after-poison" },
    { "fault_copy_from", "", "heap-buffer-overflow" },
    { "fault_bulk_from", "", "heap-buffer-overflow" },
    { "fault_wgmma_no_wait", NULL, NULL },
    { "fault_wgmma_no_fence", "no wgmma.fence", NULL },
    { "fault_wgmma_left", "before it waited for its wgmma", NULL },
    { "fault_wgmma_warp", "incomplete warpgroup", NULL },
    { "fault_forever", "stuck", NULL },
    { "fault_empty_grid", "empty grid", NULL },
    { "fault_launched_empty", "empty grid", NULL },
    { "fault_odd_block", "whole number of warps", NULL },
    { "fault_shared_memory", "227 KiB", NULL },
    { "fault_not_asked", "48 KiB of shared memory, which", NULL },
    { "fault_asked_less", "less shared memory than before", NULL },
};

static const char *run(const char *name, uint64_t s, float *x) {
    void (*f)(float *);
    *(void **)&f = dlsym(so, name);
    if (!f) fail_msg("%s is not there", name);
    for (int i = 0; i < N; i++) x[i] = (float)i;
    seed(s);
    f(x);
    return error_take();
}

static void test_right_kernel(void **state) {
    (void)state;
    float x[N];
    for (uint64_t s = 0; s < SEEDS; s++) {
        assert_null(run("fault_none", s, x));
        for (int i = 0; i < N; i++) assert_true(x[i] == (float)(N - 1 - i));
        assert_null(run("fault_none_if_any", s, x));
        for (int i = 0; i < N; i++) assert_true(x[i] == (float)(N - 1 - i));
        assert_null(run("fault_copy_none", s, x));
        assert_null(run("fault_bulk_none", s, x));
    }
}

/* What f(arg) says on stderr in a process of its own, as far as it fits, and how that ended: after a minute by
 * SIGALRM. */
static int said_by(void (*f)(const char *arg), const char *arg, char *said, size_t bytes) {
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], 2);
        close(ends[0]), close(ends[1]);
        alarm(60);
        f(arg);
        _exit(0);
    }
    close(ends[1]);
    char rest[4096];
    size_t n = 0;
    for (ssize_t got = 1; got > 0; n += n < bytes - 1 && got > 0 ? (size_t)got : 0)
        got = n < bytes - 1 ? read(ends[0], said + n, bytes - 1 - n) : read(ends[0], rest, sizeof rest);
    said[n] = 0;
    close(ends[0]);
    waitpid(child, &status, 0);
    return status;
}

static void run_once(const char *name) {
    float *x = malloc(N * sizeof *x);       /* where the sanitizer knows their end */
    if (x) run(name, 0, x);
}

/* Does it end with this text? */
static void check_sanitizer(const char *name, const char *text) {
    static char said[1 << 16];
    int status = said_by(run_once, name, said, sizeof said);
    if (status == 0 || !strstr(said, text)) fail_msg("%s: status %d, no %s in \"%.300s\"", name, status, text, said);
}

/* More than a pipe or the text holds is read to its end. */
static void say_much(const char *text) {
    for (int i = 0; i < 100000; i++) fputs(text, stderr);
}
static void test_long_reports(void **state) {
    char said[100];
    (void)state;
    assert_int_equal(said_by(say_much, "abcd", said, sizeof said), 0);
    assert_int_equal(strlen(said), sizeof said - 1);
    assert_memory_equal(said, "abcdabcd", 8);
}

/* Tensor cores cut what is too far below the largest addend. */
static void test_sums_are_cut(void **state) {
    float x[N];
    (void)state;
    assert_null(run("cut_sums", 0, x));
    for (int lane = 0; lane < 32; lane++) {
        assert_true(x[2 * lane] == 1.0f);
        assert_true(x[2 * lane + 1] == 1.0f + 0x1p-20f);
    }
}

static void test_faults(void **state) {
    (void)state;
    float x[N];
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
        bool found = !SANITIZED && faults[f].text && !*faults[f].text;
        if (SANITIZED && faults[f].sanitizer) {
            check_sanitizer(faults[f].name, faults[f].sanitizer);
            continue;
        }
        for (uint64_t s = 0; s < SEEDS && !found; s++) {
            const char *error = run(faults[f].name, s, x);
            if (faults[f].text) {
                if (!error || !strstr(error, faults[f].text))
                    fail_msg("%s: \"%s\", expected \"%s\"", faults[f].name, error ? error : "no error", faults[f].text);
                else found = true;
                continue;
            }
            if (error) fail_msg("%s: %s", faults[f].name, error);
            /* a reversal, ones, or the values themselves: whichever is meant, poison or stale values are none of it */
            bool reversed = true, same = true, ones = true;
            for (int i = 0; i < N; i++) {
                reversed = reversed && x[i] == (float)(N - 1 - i);
                same = same && x[i] == (float)i;
                ones = ones && x[i] == 1;
            }
            found = !reversed && !same && !ones;
        }
        if (!found) fail_msg("%s: found by none of %d orders", faults[f].name, SEEDS);
    }
}

/* After an error the next launch is a fresh one. */
static void test_goes_on_after_an_error(void **state) {
    float x[N];
    assert_non_null(run("fault_divergent", 0, x));
    test_right_kernel(state);
}

int main(int argc, char **argv) {
    char path[4096];
    (void)argc;
    const char *slash = strrchr(argv[0], '/');
    snprintf(path, sizeof path, "%.*s/emulator_faults.so", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    so = dlopen(path, RTLD_NOW);
    if (!so) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&seed = dlsym(so, "lb_emu_seed");
    *(void **)&error_take = dlsym(so, "lb_emu_error_take");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_kernel),
        cmocka_unit_test(test_sums_are_cut),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_long_reports),
        cmocka_unit_test(test_goes_on_after_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
