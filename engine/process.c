/* process.c: child processes with pipes, limits and time-outs, and the interrupt flag. */
#include "process.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include "clock.h"
#include "device.h"
#include "measure.h"
#include "topology.h"

extern char **environ;

/* What one poll reads of one stream at most, so that a child that never stops writing cannot hold the loop. */
#define READ_MAX ((size_t)1 << 20)
#define SLICE_MS 20                 /* between looks at what poll() cannot wait for */
#define MAX_CHILDREN 256

typedef struct stream {
    int fd;                         /* -1 = closed or no pipe */
    char *data;
    size_t begin, end, size;        /* unread bytes are data[begin .. end) */
    size_t scanned;                 /* no line end in data[begin .. scanned) */
    size_t held;                    /* 1 + index of the byte that the last line's NUL replaced */
    char held_byte;
} stream;

struct lb_process {
    pid_t pid;
    int slot;                       /* in children[] */
    int in;                         /* -1 = closed or no pipe */
    int pidfd;                      /* -1 = not to be had here */
    stream out[2];                  /* stdout, stderr */
    lb_exit exit;
};

/* The groups that a signal handler must be able to kill; 0 = free. */
static atomic_int children[MAX_CHILDREN];

/* ---- streams --------------------------------------------------------------------------------------------------- */

static void stream_close(stream *s) {
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

/* Ends the life of the line that lb_process_line gave out last. */
static void stream_unhold(stream *s) {
    if (s->held) s->data[s->held - 1] = s->held_byte;
    s->held = 0;
}

static bool stream_room(stream *s, size_t bytes) {
    stream_unhold(s);
    if (s->begin > 0 && s->begin == s->end) s->begin = s->end = s->scanned = 0;
    if (s->size - s->end > bytes) return true;
    if (s->begin > s->size / 2) {
        memmove(s->data, s->data + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->scanned -= s->begin;
        s->begin = 0;
        if (s->size - s->end > bytes) return true;
    }
    size_t size = (s->end + bytes + 1) * 2;
    char *data = realloc(s->data, size);
    if (!data) return false;
    s->data = data;
    s->size = size;
    return true;
}

/* Whether a line can be taken; *end is where it stops, *skip what lies between it and the next. */
static bool stream_has_line(stream *s, size_t *end, size_t *skip) {
    stream_unhold(s);
    size_t n = s->end - s->begin;
    char *nl = s->end > s->scanned ? memchr(s->data + s->scanned, '\n', s->end - s->scanned) : NULL;
    s->scanned = nl ? (size_t)(nl - s->data) : s->end;
    if (nl && s->scanned - s->begin <= LB_PROCESS_LINE_MAX) {
        *end = s->scanned;
        *skip = 1;
    } else if (n > LB_PROCESS_LINE_MAX) {
        *end = s->begin + LB_PROCESS_LINE_MAX;
        *skip = 0;
    } else if (s->fd < 0 && n > 0) {
        *end = s->end;
        *skip = 0;
    } else {
        return false;
    }
    return true;
}

/* Reads what is there now. False only when there is no memory to put it. */
static bool stream_read(stream *s) {
    for (size_t total = 0; s->fd >= 0 && total < READ_MAX && s->end - s->begin <= LB_PROCESS_LINE_MAX;) {
        if (!stream_room(s, 65536)) return false;
        ssize_t n = read(s->fd, s->data + s->end, 65536);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        if (n <= 0) {
            stream_close(s);
            return true;
        }
        s->end += (size_t)n;
        total += (size_t)n;
    }
    return true;
}

bool lb_process_line(lb_process *p, int number, const char **line, size_t *length) {
    stream *s = &p->out[number == 2];
    size_t end, skip;
    if (!stream_room(s, 1) || !stream_has_line(s, &end, &skip)) return false;
    size_t n = end - s->begin;
    *line = s->data + s->begin;
    s->begin = end + skip;
    if (s->scanned < s->begin) s->scanned = s->begin;
    if (n > 0 && skip && s->data[end - 1] == '\r') end--, n--;
    s->held = end + 1;
    s->held_byte = s->data[end];
    s->data[end] = 0;
    *length = n;
    return true;
}

bool lb_process_eof(const lb_process *p, int number) {
    const stream *s = &p->out[number == 2];
    return s->fd < 0 && s->begin == s->end;
}

/* ---- starting -------------------------------------------------------------------------------------------------- */

static bool same_name(const char *a, const char *b) {
    while (*a && *a == *b && *a != '=') a++, b++;
    return (*a == '=' || !*a) && (*b == '=' || !*b);
}

/* The parent's environment with the additions in place of what they replace. One block; strings are borrowed. */
static const char **environment(const char *const *add) {
    size_t own = 0, added = 0, n = 0;
    while (environ && environ[own]) own++;
    while (add && add[added]) added++;
    const char **env = malloc((own + added + 1) * sizeof *env);
    if (!env) return NULL;
    for (size_t i = 0; i < own; i++) {
        bool replaced = false;
        for (size_t j = 0; j < added; j++) replaced |= same_name(environ[i], add[j]);
        if (!replaced) env[n++] = environ[i];
    }
    for (size_t j = 0; j < added; j++) {
        bool again = false;         /* of two with one name the later holds */
        for (size_t k = j + 1; k < added; k++) again |= same_name(add[j], add[k]);
        if (strchr(add[j], '=') && !again) env[n++] = add[j];
    }
    env[n] = NULL;
    return env;
}

typedef struct child_plan {
    const lb_process_opts *opts;
    const char **env;
    int in, out, err;               /* what becomes 0, 1, 2; -1 = inherited */
    int report;                     /* where errno goes if exec fails */
    pid_t parent;
} child_plan;

static void limit(int what, int64_t value) {
    struct rlimit r = { (rlim_t)value, (rlim_t)value };
    setrlimit(what, &r);
}

static void reset_signals(void) {
    sigset_t none;
    struct sigaction plain;
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    for (int s = 1; s < NSIG; s++) sigaction(s, &plain, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child: nothing here allocates or takes a lock. */
static _Noreturn void become(const child_plan *c) {
    const lb_process_opts *o = c->opts;
    int error = 0;
    setpgid(0, 0);
    reset_signals();
    if (!o->pinned) lb_affinity_restore();      /* this thread may be pinned to a core of its own */
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != c->parent) _exit(127);     /* the parent ended before prctl */
#endif
    /* The sources were moved above 2, so that no dup2 overwrites one that is still to come. */
    if (c->in >= 0 && dup2(c->in, 0) < 0) error = errno;
    if (c->out >= 0 && dup2(c->out, 1) < 0) error = errno;
    if (o->err == LB_IO_MERGE ? dup2(1, 2) < 0 : c->err >= 0 && dup2(c->err, 2) < 0) error = errno;
#ifdef SYS_close_range
    /* Descriptors opened elsewhere without O_CLOEXEC; where the call is missing they are inherited. */
    syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */);
#endif
    limit(RLIMIT_CORE, 0);
    if (o->memory_limit_bytes > 0) limit(RLIMIT_AS, o->memory_limit_bytes);
    if (o->cpu_limit_s > 0) limit(RLIMIT_CPU, o->cpu_limit_s);
    if (!error && o->cwd && chdir(o->cwd) != 0) error = errno;
    if (!error) {
        environ = (char **)c->env;
        execvp(o->argv[0], (char *const *)o->argv);
        error = errno;
    }
    ssize_t sent = write(c->report, &error, sizeof error);
    (void)sent;
    _exit(127);
}

/* A descriptor above 2, closed on exec; -1 and errno on failure. Consumes fd. */
static int above_standard(int fd) {
    if (fd < 0 || fd > 2) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int error = errno;
    close(fd);
    errno = error;
    return moved;
}

static bool make_pipe(int *read_end, int *write_end) {
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) != 0) return false;
    *read_end = above_standard(fd[0]);
    *write_end = above_standard(fd[1]);
    return *read_end >= 0 && *write_end >= 0;
}

/* Opens what the child's descriptor `number` becomes; the parent's end, if any, goes to *mine. */
static bool open_stdio(lb_io io, int number, int *theirs, int *mine) {
    *theirs = *mine = -1;
    if (io == LB_IO_NULL) {
        *theirs = above_standard(open("/dev/null", (number ? O_WRONLY : O_RDONLY) | O_CLOEXEC));
        return *theirs >= 0;
    }
    if (io != LB_IO_PIPE) return true;
    if (!(number ? make_pipe(mine, theirs) : make_pipe(theirs, mine))) return false;
    return fcntl(*mine, F_SETFL, O_NONBLOCK) == 0;
}

static void close_if_open(int fd) {
    if (fd >= 0) close(fd);
}

static int register_child(void) {
    for (int i = 0; i < MAX_CHILDREN; i++) {
        int free_slot = 0;
        if (atomic_compare_exchange_strong(&children[i], &free_slot, -1)) return i;
    }
    return -1;
}

/* The child's errno, or 0 once exec has closed the pipe. */
static int read_report(int fd) {
    int error = 0;
    ssize_t n;
    do n = read(fd, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof error ? error : 0;
}

/* Forks with all signals blocked, so that no handler of ours ever runs in the child. */
static pid_t fork_child(const child_plan *c) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    int error = errno;
    if (pid == 0) become(c);
    if (pid > 0) setpgid(pid, pid);     /* here too: whoever comes first */
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return pid;
}

static void watch(lb_process *p, pid_t pid) {
    p->pid = pid;
    atomic_store(&children[p->slot], pid);
#ifdef SYS_pidfd_open
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);
    if (p->pidfd >= 0) fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
#endif
}

lb_status lb_process_spawn(const lb_process_opts *o, lb_process **out) {
    if (!o->argv || !o->argv[0] || !o->argv[0][0]) return lb_fail(LB_EINVAL, "cannot start a program: it has no name");
    lb_topology_get();              /* read before the fork: the child must not be the first to do so */
    int report = -1, error = 0;
    child_plan c = { .opts = o, .in = -1, .out = -1, .err = -1, .report = -1, .parent = getpid() };
    lb_process *p = calloc(1, sizeof *p);
    c.env = environment(o->env);
    if (!p || !c.env) {
        free(p);
        free(c.env);
        return lb_fail(LB_ENOMEM, "no memory to start \"%s\"", o->argv[0]);
    }
    p->slot = register_child();
    p->in = p->pidfd = p->out[0].fd = p->out[1].fd = -1;
    p->exit = (lb_exit){ true, -1, 0, "", -1, NAN, NAN };
    if (p->slot < 0) error = EAGAIN;
    else if (!open_stdio(o->in, 0, &c.in, &p->in) || !open_stdio(o->out, 1, &c.out, &p->out[0].fd) ||
             !open_stdio(o->err, 2, &c.err, &p->out[1].fd) || !make_pipe(&report, &c.report))
        error = errno;
    pid_t pid = error ? -1 : fork_child(&c);
    if (!error && pid < 0) error = errno;
    close_if_open(c.in);
    close_if_open(c.out);
    close_if_open(c.err);
    close_if_open(c.report);
    free(c.env);
    if (pid > 0) {
        watch(p, pid);
        error = read_report(report);
    }
    close_if_open(report);
    if (!error) {
        *out = p;
        return LB_OK;
    }
    lb_process_free(p);
    return lb_fail(LB_EIO, "cannot start \"%s\": %s", o->argv[0], strerror(error));
}

/* ---- ending ---------------------------------------------------------------------------------------------------- */

const char *lb_signal_name(int s) {
    static const struct { int number; const char *name; } names[] = {
        { SIGHUP, "SIGHUP" },   { SIGINT, "SIGINT" },   { SIGQUIT, "SIGQUIT" }, { SIGILL, "SIGILL" },
        { SIGTRAP, "SIGTRAP" }, { SIGABRT, "SIGABRT" }, { SIGBUS, "SIGBUS" },   { SIGFPE, "SIGFPE" },
        { SIGKILL, "SIGKILL" }, { SIGUSR1, "SIGUSR1" }, { SIGSEGV, "SIGSEGV" }, { SIGUSR2, "SIGUSR2" },
        { SIGPIPE, "SIGPIPE" }, { SIGALRM, "SIGALRM" }, { SIGTERM, "SIGTERM" }, { SIGSTOP, "SIGSTOP" },
        { SIGXCPU, "SIGXCPU" }, { SIGXFSZ, "SIGXFSZ" }, { SIGSYS, "SIGSYS" },
    };
    static _Thread_local char other[16];
    if (s <= 0) return "";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].number == s) return names[i].name;
    }
    snprintf(other, sizeof other, "SIG%d", s);
    return other;
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

/* Reaps the child if it has ended. The rest of its group is killed while the zombie still holds the group's number:
 * later that number could be somebody else's. */
static void reap(lb_process *p) {
    siginfo_t info;
    if (!p->exit.running || p->pid <= 0) return;
    info.si_pid = 0;
    if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
        if (errno != ECHILD) return;        /* somebody else reaped it (SIGCHLD ignored): how it ended is lost */
        atomic_store(&children[p->slot], 0);
        p->exit.running = false;
        return;
    }
    if (info.si_pid == 0) return;
    kill(-p->pid, SIGKILL);
    atomic_store(&children[p->slot], 0);
    int status;
    struct rusage use;
    while (wait4(p->pid, &status, 0, &use) < 0 && errno == EINTR) continue;
    p->exit.running = false;
    p->exit.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    p->exit.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    p->exit.signal_name = lb_signal_name(p->exit.signal);
    p->exit.max_rss_bytes = (int64_t)use.ru_maxrss * 1024;
    p->exit.user_s = seconds(use.ru_utime);
    p->exit.system_s = seconds(use.ru_stime);
}

void lb_process_kill(lb_process *p, int signal) {
    if (p->exit.running && p->pid > 0) kill(-p->pid, signal);
}

void lb_process_state(lb_process *p, lb_exit *out) {
    reap(p);
    *out = p->exit;
}

static double seconds_left(uint64_t start, double timeout_s) {
    if (timeout_s < 0) return INFINITY;
    double left = timeout_s - (double)(lb_now_ns() - start) * 1e-9;
    return left > 0 ? left : 0;
}

static int wait_ms(double left_s, int most) {
    double ms = ceil(left_s * 1e3);
    return ms < most ? (int)ms : most;
}

lb_status lb_process_wait(lb_process *p, double timeout_s, lb_exit *out) {
    uint64_t start = lb_now_ns();
    for (;;) {
        lb_process_state(p, out);
        if (!out->running) return LB_OK;
        if (lb_interrupted) return lb_fail(LB_EINTERRUPTED, "interrupted while waiting for a child process");
        double left = seconds_left(start, timeout_s);
        if (left <= 0) return LB_OK;
        struct pollfd fd = { p->pidfd, POLLIN, 0 };
        poll(&fd, p->pidfd >= 0, wait_ms(left, p->pidfd >= 0 ? 200 : SLICE_MS));
    }
}

void lb_process_free(lb_process *p) {
    if (!p) return;
    lb_process_kill(p, SIGKILL);
    while (p->pid > 0 && p->exit.running) {
        siginfo_t info;
        /* Cannot last: the whole group got a SIGKILL. */
        if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOWAIT) != 0 && errno != EINTR) break;
        reap(p);
    }
    if (p->slot >= 0) atomic_store(&children[p->slot], 0);
    close_if_open(p->in);
    close_if_open(p->pidfd);
    for (int i = 0; i < 2; i++) {
        stream_close(&p->out[i]);
        free(p->out[i].data);
    }
    free(p);
}

int lb_process_pid(const lb_process *p) { return (int)p->pid; }

void lb_process_kill_all(void) {
    for (int i = 0; i < MAX_CHILDREN; i++) {
        int pid = atomic_load(&children[i]);
        if (pid > 0) kill(-pid, SIGKILL);
    }
}

/* ---- talking --------------------------------------------------------------------------------------------------- */

void lb_process_close_stdin(lb_process *p) {
    close_if_open(p->in);
    p->in = -1;
}

/* write() without the SIGPIPE of a closed pipe: blocked for this thread, and taken back if this call raised it. */
static ssize_t write_quietly(int fd, const void *data, size_t bytes) {
    sigset_t pipe_set, old, pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    bool before = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    ssize_t n = write(fd, data, bytes);
    int error = errno;
    if (n < 0 && error == EPIPE && !before) {
        struct timespec now = { 0, 0 };
        sigtimedwait(&pipe_set, NULL, &now);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return n;
}

lb_status lb_process_write(lb_process *p, const void *data, size_t bytes, double timeout_s) {
    const char *at = data;
    uint64_t start = lb_now_ns();
    while (bytes > 0) {
        if (p->in < 0) return lb_fail(LB_ECLOSED, "the child's standard input is closed");
        ssize_t n = write_quietly(p->in, at, bytes);
        if (n > 0) {
            at += n;
            bytes -= (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return lb_fail(LB_EIO, "cannot write to child process %d: %s", (int)p->pid, strerror(errno));
        if (lb_interrupted) return lb_fail(LB_EINTERRUPTED, "interrupted while writing to a child process");
        double left = seconds_left(start, timeout_s);
        if (left <= 0)
            return lb_fail(LB_EIO, "child process %d did not read its standard input for %.3g s", (int)p->pid,
                           timeout_s);
        struct pollfd fd = { p->in, POLLOUT, 0 };
        poll(&fd, 1, wait_ms(left, 200));
    }
    return LB_OK;
}

/* Reads all there is and looks for the end; true if the child has something to say. */
static bool has_news(lb_process *p, bool *no_memory) {
    size_t end, skip;
    bool was_running = p->exit.running;
    reap(p);
    bool news = was_running && !p->exit.running;
    for (int i = 0; i < 2; i++) {
        stream *s = &p->out[i];
        bool was_open = s->fd >= 0;
        if (!stream_read(s)) *no_memory = true;
        news |= stream_has_line(s, &end, &skip) || (was_open && s->fd < 0);
    }
    return news;
}

static nfds_t poll_set(lb_process *const *ps, int count, struct pollfd *fds, bool *blind) {
    nfds_t n = 0;
    for (int i = 0; i < count; i++) {
        if (!ps[i]) continue;
        for (int j = 0; j < 2; j++) {
            if (ps[i]->out[j].fd >= 0) fds[n++] = (struct pollfd){ ps[i]->out[j].fd, POLLIN, 0 };
        }
        if (!ps[i]->exit.running) continue;
        if (ps[i]->pidfd >= 0) fds[n++] = (struct pollfd){ ps[i]->pidfd, POLLIN, 0 };
        else *blind = true;
    }
    return n;
}

lb_status lb_process_poll(lb_process *const *ps, int count, double timeout_s, int *ready) {
    uint64_t start = lb_now_ns();
    struct pollfd *fds = malloc(((size_t)count * 3 + 1) * sizeof *fds);
    if (!fds) return lb_fail(LB_ENOMEM, "no memory to wait for %d child processes", count);
    lb_status s = LB_OK;
    for (;;) {
        bool no_memory = false, blind = false;
        *ready = 0;
        for (int i = 0; i < count; i++) *ready += ps[i] && has_news(ps[i], &no_memory);
        double left = seconds_left(start, timeout_s);
        if (no_memory) s = lb_fail(LB_ENOMEM, "no memory for what a child process wrote");
        else if (lb_interrupted) s = lb_fail(LB_EINTERRUPTED, "interrupted while waiting for child processes");
        if (s != LB_OK || *ready || left <= 0) break;
        nfds_t n = poll_set(ps, count, fds, &blind);
        if (n == 0 && !blind) break;        /* nothing can ever happen */
        poll(fds, n, wait_ms(left, blind ? SLICE_MS : 200));
    }
    free(fds);
    return s;
}

/* ---- interrupts ------------------------------------------------------------------------------------------------ */

static const int interrupts[] = { SIGINT, SIGTERM, SIGHUP };
#define INTERRUPTS ((int)(sizeof interrupts / sizeof interrupts[0]))
static struct sigaction before_install[INTERRUPTS];
static bool installed;

static void on_interrupt(int signal) {
    (void)signal;
    if (lb_interrupted) {
        lb_process_kill_all();
        _exit(130);
    }
    lb_interrupted = 1;
}

void lb_interrupt_install(void) {
    struct sigaction action;
    if (installed) return;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;      /* without SA_RESTART: waits return with EINTR */
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < INTERRUPTS; i++) sigaction(interrupts[i], &action, &before_install[i]);
    installed = true;
}

void lb_interrupt_restore(void) {
    if (!installed) return;
    for (int i = 0; i < INTERRUPTS; i++) sigaction(interrupts[i], &before_install[i], NULL);
    installed = false;
}
