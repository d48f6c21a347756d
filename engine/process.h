/* process.h: child processes with pipes, limits and time-outs, and the interrupt flag. POSIX; one thread uses it.
 *
 * A child runs in a process group of its own, so that it and whatever it starts can be killed together, and Ctrl-C
 * on the terminal reaches only the parent. On Linux it is killed when the thread that spawned it ends. It gets no
 * descriptors but 0, 1 and 2, default signal handling, and dumps no core. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status.h"

typedef struct lb_process lb_process;

typedef enum lb_io {
    LB_IO_INHERIT,           /* the parent's */
    LB_IO_PIPE,              /* read or written by the functions below */
    LB_IO_NULL,              /* /dev/null */
    LB_IO_MERGE              /* stderr only: into wherever stdout goes */
} lb_io;

typedef struct lb_process_opts {
    const char *const *argv;       /* NULL-terminated; argv[0] is looked up in PATH unless it has a '/' */
    const char *const *env;        /* "NAME=value" added to or replacing the parent's; "NAME" alone removes;
                                      NULL-terminated; NULL = none */
    const char *cwd;               /* NULL = the parent's */
    lb_io in, out, err;
    int64_t memory_limit_bytes;    /* RLIMIT_AS; 0 = none */
    int64_t cpu_limit_s;           /* RLIMIT_CPU; 0 = none */
    bool pinned;                   /* stays on the CPUs of the thread that starts it; else it has all of the process */
} lb_process_opts;

typedef struct lb_exit {
    bool running;
    int code;                /* exit status; -1 when a signal ended it */
    int signal;              /* 0 = none */
    const char *signal_name; /* "SIGSEGV"; "" when none */
    int64_t max_rss_bytes;   /* of the child; -1 = unknown (still running) */
    double user_s, system_s; /* CPU time of the child and what it waited for; NaN while running */
} lb_exit;

/* Starts a child. Fails with LB_EIO, naming the program and the cause, also when exec fails. */
lb_status lb_process_spawn(const lb_process_opts *o, lb_process **out);
/* Kills the group if it still runs, reaps the child, closes the pipes. NULL is fine. */
void lb_process_free(lb_process *p);
int lb_process_pid(const lb_process *p);

/* Writes everything to the child's stdin, waiting for room up to timeout_s (< 0 = for ever). LB_EIO when the child has
 * closed it (no SIGPIPE is raised). */
lb_status lb_process_write(lb_process *p, const void *data, size_t bytes, double timeout_s);
void lb_process_close_stdin(lb_process *p);

/* Waits until one of the children has a line to read, has ended, or timeout_s passed (< 0 = for ever, 0 = looks once);
 * reads what there is into their buffers. *ready = children with something new; 0 = time is up.
 * LB_EINTERRUPTED when lb_interrupted is set. Entries may be NULL. */
lb_status lb_process_poll(lb_process *const *ps, int count, double timeout_s, int *ready);

/* The next whole line of stdout (stream 1) or stderr (stream 2), without its end; false = none yet. A last line
 * without an end comes once the stream is closed. Lines over LB_PROCESS_LINE_MAX bytes are cut there into several.
 * NUL-terminated, owned by `p` until the next call on the same stream. */
#define LB_PROCESS_LINE_MAX ((size_t)64 << 20)
bool lb_process_line(lb_process *p, int stream, const char **line, size_t *length);
/* The stream is closed and every line of it was read. */
bool lb_process_eof(const lb_process *p, int stream);

/* Signals the child's whole group (SIGKILL, SIGTERM, ...). No error if it has ended. */
void lb_process_kill(lb_process *p, int signal);
/* Its state, without waiting. When the child has ended, what is left of its group is killed first. */
void lb_process_state(lb_process *p, lb_exit *out);
/* Waits up to timeout_s (< 0 = for ever) for the end; out->running says whether it still runs. Does not read the pipes:
 * a child that writes more than a pipe holds needs lb_process_poll. LB_EINTERRUPTED as above. */
lb_status lb_process_wait(lb_process *p, double timeout_s, lb_exit *out);

/* "SIGSEGV", "SIGKILL", ...; "SIG42" for those without a name. */
const char *lb_signal_name(int signal);

/* SIGKILLs the groups of all children that still run. Async-signal-safe. */
void lb_process_kill_all(void);

/* From now on SIGINT, SIGTERM and SIGHUP set lb_interrupted (measure.h); a second one kills all children and ends the
 * program at once with status 130. Blocking calls return with EINTR. Restore puts back what was there before. */
void lb_interrupt_install(void);
void lb_interrupt_restore(void);
