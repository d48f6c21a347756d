/* test_process.c: child processes (pipes, limits, time-outs, ends of every kind) and the services of os.h. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "clock.h"
#include "device.h"
#include "measure.h"
#include "os.h"
#include "process.h"

static lb_process *shell_with(const char *script, lb_process_opts o) {
    const char *argv[] = { "sh", "-c", script, NULL };
    lb_process *p = NULL;
    o.argv = argv;
    if (lb_process_spawn(&o, &p) != LB_OK) fail_msg("%s", lb_error());
    return p;
}

static lb_process *shell(const char *script) {
    return shell_with(script, (lb_process_opts){ .in = LB_IO_PIPE, .out = LB_IO_PIPE, .err = LB_IO_PIPE });
}

/* Waits for the next line; NULL when the stream ends first. */
static const char *next_line(lb_process *p, int stream) {
    const char *line;
    size_t length;
    int ready;
    for (int i = 0; i < 5000; i++) {
        if (lb_process_line(p, stream, &line, &length)) {
            assert_int_equal(strlen(line), length);
            return line;
        }
        if (lb_process_eof(p, stream)) return NULL;
        assert_int_equal(lb_process_poll(&p, 1, 10, &ready), LB_OK);
        if (ready) lb_sleep_ms(1);      /* what is ready may be a line of the other stream, which nobody reads now */
    }
    fail_msg("no line within the time");
    return NULL;
}

static lb_exit ended(lb_process *p) {
    lb_exit e;
    assert_int_equal(lb_process_wait(p, 20, &e), LB_OK);
    assert_false(e.running);
    return e;
}

static double seconds_since(uint64_t t) { return (double)(lb_now_ns() - t) * 1e-9; }

/* ---- children -------------------------------------------------------------------------------------------------- */

static void test_lines(void **state) {
    (void)state;
    lb_process *p = shell("echo one; echo; printf 'two\\r\\nlast'; echo wrong >&2; exit 3");
    assert_string_equal(next_line(p, 1), "one");
    assert_string_equal(next_line(p, 1), "");
    assert_string_equal(next_line(p, 1), "two");
    assert_string_equal(next_line(p, 1), "last");
    assert_null(next_line(p, 1));
    assert_string_equal(next_line(p, 2), "wrong");
    assert_null(next_line(p, 2));
    lb_exit e = ended(p);
    assert_int_equal(e.code, 3);
    assert_int_equal(e.signal, 0);
    assert_true(e.max_rss_bytes > 0);
    assert_true(e.user_s >= 0 && e.system_s >= 0);
    lb_process_free(p);
}

/* A thread of a device is pinned; what it starts may use all CPUs that were this process's. */
static void test_affinity(void **state) {
    (void)state;
    char before[256];
    lb_device *d = NULL;
    for (int round = 0; round < 2; round++) {
        lb_process *p = shell("grep Cpus_allowed_list /proc/self/status || echo none");
        const char *line = next_line(p, 1);
        assert_non_null(line);
        if (round) assert_string_equal(line, before);
        snprintf(before, sizeof before, "%s", line);
        ended(p);
        lb_process_free(p);
        if (!round) assert_int_equal(lb_device_open("cpu", 0, &d), LB_OK);
    }
    lb_device_release(d);
}

static void test_conversation(void **state) {
    (void)state;
    lb_process *p = shell("while read -r x; do echo \"got $x\"; done; echo bye");
    for (int i = 0; i < 50; i++) {
        char text[32], want[32];
        snprintf(text, sizeof text, "%d\n", i);
        snprintf(want, sizeof want, "got %d", i);
        assert_int_equal(lb_process_write(p, text, strlen(text), 5), LB_OK);
        assert_string_equal(next_line(p, 1), want);
    }
    lb_process_close_stdin(p);
    assert_string_equal(next_line(p, 1), "bye");
    assert_int_equal(ended(p).code, 0);
    assert_int_equal(lb_process_write(p, "x", 1, 1), LB_ECLOSED);
    lb_process_free(p);
}

/* Five million bytes in one line, then many lines: all there, in order, whatever way they come in. */
static void test_much_output(void **state) {
    (void)state;
    lb_process *p = shell("head -c 5000000 /dev/zero | tr '\\0' x; echo; i=0; "
                          "while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done");
    const char *line = next_line(p, 1);
    assert_int_equal(strlen(line), 5000000);
    assert_int_equal(strspn(line, "x"), 5000000);
    for (int i = 0; i < 3000; i++) assert_int_equal(atoi(next_line(p, 1)), i);
    assert_null(next_line(p, 1));
    lb_process_free(p);
}

static void test_signals(void **state) {
    (void)state;
    lb_process *p = shell("kill -SEGV $$");
    lb_exit e = ended(p);
    assert_int_equal(e.signal, SIGSEGV);
    assert_int_equal(e.code, -1);
    assert_string_equal(e.signal_name, "SIGSEGV");
    lb_process_free(p);
    assert_string_equal(lb_signal_name(SIGKILL), "SIGKILL");
    assert_string_equal(lb_signal_name(0), "");
}

static void test_timeout_and_kill(void **state) {
    (void)state;
    lb_exit e;
    uint64_t start = lb_now_ns();
    lb_process *p = shell("sleep 60 & sleep 60");
    assert_int_equal(lb_process_wait(p, 0.1, &e), LB_OK);
    assert_true(e.running);
    assert_true(isnan(e.user_s));
    int ready;
    assert_int_equal(lb_process_poll(&p, 1, 0.1, &ready), LB_OK);
    assert_int_equal(ready, 0);
    lb_process_kill(p, SIGKILL);
    assert_int_equal(ended(p).signal, SIGKILL);
    /* Both sleepers are gone: the pipe that they held ends. */
    assert_null(next_line(p, 1));
    lb_process_free(p);
    assert_true(seconds_since(start) < 20);
}

/* A grandchild that stays behind is killed when the child's end is seen. */
static void test_left_behind(void **state) {
    (void)state;
    lb_process *p = shell("sleep 100 & echo $!");
    int pid = atoi(next_line(p, 1));
    assert_int_equal(ended(p).code, 0);
    assert_null(next_line(p, 1));
    for (int i = 0; i < 200 && kill(pid, 0) == 0; i++) {
        char path[64], stat[256] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *f = fopen(path, "r");
        if (f && fgets(stat, sizeof stat, f) && strstr(stat, ") Z")) pid = -1;   /* init has yet to reap it */
        if (f) fclose(f);
        if (pid < 0) break;
        lb_sleep_ms(10);
    }
    assert_true(pid < 0 || kill(pid, 0) != 0);
    lb_process_free(p);
}

static void test_many_at_once(void **state) {
    (void)state;
    enum { N = 8 };
    lb_process *ps[N];
    bool seen[N] = { false };
    for (int i = 0; i < N; i++) {
        char script[64];
        snprintf(script, sizeof script, "sleep 0.%d; echo %d", N - i, i);
        ps[i] = shell(script);
    }
    uint64_t start = lb_now_ns();
    for (int got = 0; got < N && seconds_since(start) < 30;) {
        int ready;
        assert_int_equal(lb_process_poll(ps, N, 10, &ready), LB_OK);
        for (int i = 0; i < N; i++) {
            const char *line;
            size_t length;
            while (lb_process_line(ps[i], 1, &line, &length)) {
                assert_int_equal(atoi(line), i);
                assert_false(seen[i]);
                seen[i] = true;
                got++;
            }
        }
    }
    for (int i = 0; i < N; i++) {
        assert_true(seen[i]);
        assert_int_equal(ended(ps[i]).code, 0);
        lb_process_free(ps[i]);
    }
}

static void test_cannot_start(void **state) {
    (void)state;
    const char *argv[] = { "/no/such/program", NULL }, *none[] = { NULL };
    lb_process *p = NULL;
    lb_process_opts o = { .argv = argv };
    assert_int_equal(lb_process_spawn(&o, &p), LB_EIO);
    assert_non_null(strstr(lb_error(), "/no/such/program"));
    assert_non_null(strstr(lb_error(), "No such file"));
    assert_null(p);
    o.argv = none;
    assert_int_equal(lb_process_spawn(&o, &p), LB_EINVAL);
    const char *sh[] = { "sh", "-c", "exit 0", NULL };
    o = (lb_process_opts){ .argv = sh, .cwd = "/no/such/folder" };
    assert_int_equal(lb_process_spawn(&o, &p), LB_EIO);
    lb_process_free(NULL);
}

static void test_environment(void **state) {
    (void)state;
    const char *env[] = { "LB_T_ADDED=new one", "LB_T_REPLACED=after", "LB_T_REMOVED", NULL };
    setenv("LB_T_REPLACED", "before", 1);
    setenv("LB_T_REMOVED", "here", 1);
    setenv("LB_T_REMOVED_NOT", "kept", 1);
    lb_process *p = shell_with("pwd; echo \"$LB_T_ADDED,$LB_T_REPLACED,${LB_T_REMOVED-gone},$LB_T_REMOVED_NOT\"; "
                               "echo e >&2",
                               (lb_process_opts){ .in = LB_IO_NULL, .out = LB_IO_PIPE, .err = LB_IO_MERGE, .env = env,
                                                  .cwd = "/" });
    assert_string_equal(next_line(p, 1), "/");
    assert_string_equal(next_line(p, 1), "new one,after,gone,kept");
    assert_string_equal(next_line(p, 1), "e");
    lb_process_free(p);
}

static void test_limits(void **state) {
    (void)state;
    lb_process *p = shell_with("ulimit -v; ulimit -c; ulimit -t",
                               (lb_process_opts){ .out = LB_IO_PIPE, .memory_limit_bytes = (int64_t)512 << 20,
                                                  .cpu_limit_s = 77 });
    assert_string_equal(next_line(p, 1), "524288");
    assert_string_equal(next_line(p, 1), "0");
    assert_string_equal(next_line(p, 1), "77");
    lb_process_free(p);
    p = shell_with("while :; do :; done", (lb_process_opts){ .cpu_limit_s = 1 });
    lb_exit e = ended(p);
    assert_true(e.signal == SIGXCPU || e.signal == SIGKILL);
    lb_process_free(p);
}

/* Descriptors of ours must not leak into children, and a closed reader is an error, not a SIGPIPE. */
static void test_descriptors(void **state) {
    (void)state;
    int fd = open("/dev/null", O_RDONLY);      /* without O_CLOEXEC on purpose */
    assert_true(fd > 2);
    lb_process *p = shell("for f in /proc/self/fd/*; do echo ${f##*/}; done | sort -n | tail -n 1");
    int most = atoi(next_line(p, 1));
    assert_true(most < fd || most <= 3);
    lb_process_free(p);
    close(fd);
    p = shell("exec 0<&-; echo shut; sleep 5");
    assert_string_equal(next_line(p, 1), "shut");
    assert_int_equal(lb_process_write(p, "x", 1, 1), LB_EIO);
    lb_process_free(p);
}

static void test_no_zombies(void **state) {
    (void)state;
    for (int i = 0; i < 400; i++) lb_process_free(shell(i % 2 ? "exit 1" : "sleep 100"));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);    /* no child at all is left */
}

static void test_interrupt(void **state) {
    (void)state;
    lb_exit e;
    int ready;
    lb_interrupt_install();
    lb_process *p = shell("sleep 60");
    raise(SIGINT);
    assert_int_equal(lb_interrupted, 1);
    assert_int_equal(lb_process_poll(&p, 1, 30, &ready), LB_EINTERRUPTED);
    assert_int_equal(lb_process_wait(p, 30, &e), LB_EINTERRUPTED);
    assert_true(lb_sleep_ms(10000));
    lb_interrupted = 0;
    lb_interrupt_restore();
    lb_process_state(p, &e);
    assert_true(e.running);            /* the child's group did not get the signal */
    lb_process_free(p);
}

/* A second interrupt ends the program at once, and its children with it. */
static void test_second_interrupt(void **state) {
    (void)state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        lb_interrupt_install();
        lb_process *p = shell("sleep 60");
        int child = lb_process_pid(p);
        if (write(fd[1], &child, sizeof child) != sizeof child) _exit(1);
        raise(SIGINT);
        raise(SIGINT);
        _exit(2);
    }
    int child = 0, status = 0;
    assert_int_equal(read(fd[0], &child, sizeof child), sizeof child);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    for (int i = 0; i < 300 && kill(child, 0) == 0; i++) lb_sleep_ms(10);
    char path[64], stat[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    FILE *f = fopen(path, "r");
    if (f && !fgets(stat, sizeof stat, f)) stat[0] = 0;
    if (f) fclose(f);
    assert_true(!f || strstr(stat, ") Z"));
    close(fd[0]);
    close(fd[1]);
}

/* ---- os.h ------------------------------------------------------------------------------------------------------ */

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void join(char *out, size_t n, const char *a, const char *b) {
    if ((size_t)snprintf(out, n, "%s/%s", a, b) >= n) fail_msg("path too long");
}

static void collect(void *ctx, const char *name, bool is_directory) {
    char *text = ctx;
    strcat(strcat(strcat(text, name), is_directory ? "/" : ""), " ");
}

static void test_files(void **state) {
    (void)state;
    char dir[128], a[256], b[256], content[64] = "", names[256] = "";
    assert_int_equal(lb_tempdir_new("lbtest", dir, sizeof dir), LB_OK);
    join(a, sizeof a, dir, "x/y//z");
    assert_int_equal(lb_mkdir_p(a), LB_OK);
    assert_int_equal(lb_mkdir_p(a), LB_OK);
    join(a, sizeof a, dir, "file");
    assert_int_equal(lb_file_replace(a, "first", 5), LB_OK);
    assert_int_equal(chmod(a, 0640), 0);
    join(b, sizeof b, dir, "link");
    assert_int_equal(symlink("file", b), 0);
    assert_int_equal(lb_file_replace(b, "second!", 7), LB_OK);     /* through the link, which stays */
    struct stat st;
    assert_int_equal(lstat(b, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(a, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    FILE *f = fopen(a, "r");
    assert_non_null(f);
    assert_non_null(fgets(content, sizeof content, f));
    fclose(f);
    assert_string_equal(content, "second!");
    assert_int_equal(lb_dir_list(dir, collect, names), LB_OK);
    assert_string_equal(names, "file link owner.lock x/ ");         /* sorted, and nothing left aside */
    assert_int_equal(lb_mkdir_p(a), LB_EIO);                        /* a file is in the way */
    join(b, sizeof b, dir, "x");
    assert_int_equal(lb_file_replace(b, "", 0), LB_EIO);
    join(b, sizeof b, dir, "none/file");
    assert_int_equal(lb_file_replace(b, "", 0), LB_EIO);
    assert_int_equal(lb_dir_list(b, collect, names), LB_EIO);
    assert_int_equal(lb_tempdir_remove(dir), LB_OK);
    assert_int_not_equal(access(dir, F_OK), 0);
}

static void test_tempdir_is_careful(void **state) {
    (void)state;
    char mine[128], other[128], path[256];
    assert_int_equal(lb_tempdir_new("lbtest", mine, sizeof mine), LB_OK);
    strcpy(other, "/tmp/lbotherXXXXXX");
    assert_non_null(mkdtemp(other));
    join(path, sizeof path, other, "precious");
    write_text(path, "x");
    assert_int_equal(lb_tempdir_remove(other), LB_EINVAL);          /* not made by lb_tempdir_new */
    char link[256];
    join(link, sizeof link, mine, "link");
    assert_int_equal(symlink(other, link), 0);
    assert_int_equal(lb_tempdir_remove(mine), LB_OK);               /* the link goes, its target stays */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(lb_tempdir_remove(mine), LB_EINVAL);           /* forgotten by now */
    assert_int_equal(lb_tempdir_new("a/b", mine, sizeof mine), LB_EINVAL);
    /* Replaced by somebody else's directory of the same name: left alone. */
    assert_int_equal(lb_tempdir_new("lbtest", mine, sizeof mine), LB_OK);
    join(link, sizeof link, mine, "owner.lock");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(mine), 0);
    assert_int_equal(symlink(other, mine), 0);
    assert_int_equal(lb_tempdir_remove(mine), LB_EINVAL);
    assert_int_equal(access(path, F_OK), 0);
    unlink(mine);
    unlink(path);
    rmdir(other);
}

/* What a killed process left goes; what lives, is foreign, or is only a link stays. */
static void test_tempdir_sweep(void **state) {
    (void)state;
    char base[128], mine[256], dead[256] = "", foreign[256], path[512];
    int pipe_[2];
    assert_int_equal(lb_tempdir_new("lbtest", base, sizeof base), LB_OK);
    const char *old = getenv("TMPDIR");
    char *kept = old ? strdup(old) : NULL;
    setenv("TMPDIR", base, 1);
    assert_int_equal(lb_tempdir_new("sweep-", mine, sizeof mine), LB_OK);
    assert_int_equal(pipe(pipe_), 0);
    pid_t child = fork();
    if (child == 0) {
        char made[256];
        if (lb_tempdir_new("sweep-", made, sizeof made) == LB_OK && write(pipe_[1], made, sizeof made) > 0)
            for (;;) pause();
        _exit(1);
    }
    assert_int_equal(read(pipe_[0], dead, sizeof dead), sizeof dead);
    join(path, sizeof path, dead, "weights");
    write_text(path, "x");
    join(foreign, sizeof foreign, base, "sweep-foreign");
    assert_int_equal(mkdir(foreign, 0700), 0);                      /* no owner file: not ours to judge */
    join(path, sizeof path, base, "sweep-link");
    assert_int_equal(symlink(dead, path), 0);
    assert_int_equal(lb_tempdir_sweep("sweep-"), 0);                /* its maker lives */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(lb_tempdir_sweep("other-"), 0);
    assert_int_equal(lb_tempdir_sweep("sweep-"), 1);
    assert_int_not_equal(access(dead, F_OK), 0);
    assert_int_equal(access(mine, F_OK), 0);
    assert_int_equal(access(foreign, F_OK), 0);
    if (kept) setenv("TMPDIR", kept, 1);
    else unsetenv("TMPDIR");
    free(kept);
    close(pipe_[0]);
    close(pipe_[1]);
    assert_int_equal(lb_tempdir_remove(mine), LB_OK);
    assert_int_equal(lb_tempdir_remove(base), LB_OK);
}

typedef struct lock_wait { const char *path; int lock; lb_status status; } lock_wait;

static void *wait_for_lock(void *p) {
    lock_wait *w = p;
    w->status = lb_lock_take(w->path, 20, &w->lock);
    return NULL;
}

/* Who waited for a lock whose holder removed the file has one that keeps others off. */
static void check_lock_of_removed(const char *path) {
    int lock = -1, second = -1;
    pthread_t thread;
    lock_wait w = { path, -1, LB_OK };
    assert_int_equal(lb_lock_take(path, 0, &lock), LB_OK);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_lock, &w), 0);
    lb_sleep_ms(100);                       /* it has opened the file and waits */
    assert_int_equal(unlink(path), 0);
    lb_lock_release(lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.status, LB_OK);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(lb_lock_take(path, 0, &second), LB_EIO);
    lb_lock_release(w.lock);
}

static void test_lock(void **state) {
    (void)state;
    char dir[128], path[256];
    int lock = -1, second = -1;
    assert_int_equal(lb_tempdir_new("lbtest", dir, sizeof dir), LB_OK);
    join(path, sizeof path, dir, "lock");
    assert_int_equal(lb_lock_take(path, 0, &lock), LB_OK);
    uint64_t start = lb_now_ns();
    assert_int_equal(lb_lock_take(path, 0.05, &second), LB_EIO);
    assert_true(seconds_since(start) >= 0.05);
    lb_lock_release(lock);
    assert_int_equal(lb_lock_take(path, 0, &second), LB_OK);
    lb_lock_release(second);
    check_lock_of_removed(path);
    assert_int_equal(lb_tempdir_remove(dir), LB_OK);
}

static void test_time(void **state) {
    (void)state;
    char text[32], exe[512];
    int y, mo, d, h, mi, s, ms;
    lb_time_iso(text, sizeof text);
    assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &y, &mo, &d, &h, &mi, &s, &ms), 7);
    assert_int_equal(strlen(text), 24);
    assert_true(y >= 2024 && mo >= 1 && mo <= 12 && d >= 1 && d <= 31 && h < 24);
    uint64_t start = lb_now_ns();
    assert_false(lb_sleep_ms(20));
    assert_true(seconds_since(start) >= 0.02);
    lb_exe_path(exe, sizeof exe);
    assert_non_null(strstr(exe, "test_process"));
    assert_int_equal(lb_isatty(-1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_lines),        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_much_output),  cmocka_unit_test(test_signals),
        cmocka_unit_test(test_timeout_and_kill), cmocka_unit_test(test_left_behind),
        cmocka_unit_test(test_many_at_once), cmocka_unit_test(test_cannot_start),
        cmocka_unit_test(test_environment),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_descriptors),  cmocka_unit_test(test_no_zombies),
        cmocka_unit_test(test_interrupt),    cmocka_unit_test(test_second_interrupt),
        cmocka_unit_test(test_files),        cmocka_unit_test(test_tempdir_is_careful),
        cmocka_unit_test(test_tempdir_sweep), cmocka_unit_test(test_lock),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
