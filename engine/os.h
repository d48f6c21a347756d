/* os.h: small services of the operating system: time of day, sleep, terminals, directories, atomic files, locks. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status.h"

/* Sleeps at least `ms`; returns early (true) when a signal set lb_interrupted. */
bool lb_sleep_ms(double ms);
/* "2026-01-31T12:34:56.789Z" (UTC). `out` needs 25 bytes. */
void lb_time_iso(char *out, size_t out_bytes);
/* Seconds since the epoch, with fraction. For names and logs; durations use lb_now_ns. */
double lb_time_wall_s(void);

bool lb_isatty(int fd);
/* Columns of the terminal at fd; $COLUMNS if it is a number; 0 = unknown. */
int lb_terminal_width(int fd);

/* Absolute path of the running program; "" if unknown. */
void lb_exe_path(char *out, size_t out_bytes);

/* Creates a directory and its parents (mode 0777 before umask). Existing directories are fine. */
lb_status lb_mkdir_p(const char *path);
/* Calls fn for every entry but "." and "..", sorted by name (bytewise). */
typedef void (*lb_dir_fn)(void *ctx, const char *name, bool is_directory);
lb_status lb_dir_list(const char *path, lb_dir_fn fn, void *ctx);

/* Replaces (or creates) a file so that readers see the old or the whole new content, never a part: written aside in
 * the same directory, synced, renamed. An existing file's mode is kept. On error nothing is left behind. */
lb_status lb_file_replace(const char *path, const void *data, size_t bytes);

/* Creates "<$TMPDIR or /tmp>/<prefix>XXXXXX", mode 0700, and remembers it. Its file "owner.lock" is locked while this
 * process lives. */
lb_status lb_tempdir_new(const char *prefix, char *out, size_t out_bytes);
/* Removes directories of that prefix which lb_tempdir_new made for this user in a process that has died without
 * removing them (SIGKILL). Others', living owners' and foreign directories stay. How many were removed. */
int lb_tempdir_sweep(const char *prefix);
/* Removes a directory that lb_tempdir_new made in this process, with all it holds (symbolic links are removed, not
 * followed). Anything else is refused with LB_EINVAL. */
lb_status lb_tempdir_remove(const char *path);
/* All that are left, at the end of the program. */
void lb_tempdir_remove_all(void);

/* Advisory lock between processes on the file at `path` (created if missing, never removed). Waits up to timeout_s
 * (0 = does not wait, < 0 = for ever); *lock is a descriptor for lb_lock_release. The lock ends with the process.
 * LB_EIO when another process holds it all that time; LB_EINTERRUPTED on Ctrl-C. */
lb_status lb_lock_take(const char *path, double timeout_s, int *lock);
void lb_lock_release(int lock);
