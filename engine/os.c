/* os.c: small services of the operating system: time of day, sleep, terminals, directories, atomic files, locks. */
#include "os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "measure.h"

/* ---- time ------------------------------------------------------------------------------------------------------ */

bool lb_sleep_ms(double ms) {
    if (!(ms > 0)) return lb_interrupted != 0;
    uint64_t end = lb_now_ns() + (uint64_t)(ms < 1e12 ? ms * 1e6 : 1e18);
    while (!lb_interrupted) {
        uint64_t now = lb_now_ns();
        if (now >= end) return false;
        /* In slices, so that a flag set between the test and the sleep is seen soon. */
        uint64_t left = end - now < 50000000u ? end - now : 50000000u;
        struct timespec t = { 0, (long)left };
        nanosleep(&t, NULL);
    }
    return true;
}

double lb_time_wall_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void lb_time_iso(char *out, size_t out_bytes) {
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    if (!gmtime_r(&t.tv_sec, &tm)) {
        if (out_bytes) out[0] = 0;
        return;
    }
    char seconds[48];
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, out_bytes, "%s.%03dZ", seconds, (int)(t.tv_nsec / 1000000));
}

/* ---- terminals and the program itself -------------------------------------------------------------------------- */

bool lb_isatty(int fd) { return isatty(fd) == 1; }

int lb_terminal_width(int fd) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char *columns = getenv("COLUMNS");
    if (!columns) return 0;
    char *end;
    long n = strtol(columns, &end, 10);
    return *columns && !*end && n > 0 && n < 100000 ? (int)n : 0;
}

void lb_exe_path(char *out, size_t out_bytes) {
    if (!out_bytes) return;
    ssize_t n = readlink("/proc/self/exe", out, out_bytes - 1);
    out[n > 0 && (size_t)n < out_bytes - 1 ? n : 0] = 0;
}

/* ---- directories ----------------------------------------------------------------------------------------------- */

static lb_status make_one(const char *path) {
    if (mkdir(path, 0777) == 0) return LB_OK;
    int error = errno;
    struct stat st;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) return LB_OK;
        return lb_fail(LB_EIO, "cannot create the directory \"%s\": a file of that name is in the way", path);
    }
    return lb_fail(LB_EIO, "cannot create the directory \"%s\": %s", path, strerror(error));
}

lb_status lb_mkdir_p(const char *path) {
    char part[PATH_MAX];
    size_t length = path ? strlen(path) : 0;
    if (length == 0) return lb_fail(LB_EINVAL, "cannot create a directory: its name is empty");
    if (length >= sizeof part) return lb_fail(LB_EINVAL, "cannot create a directory: its path has %zu bytes", length);
    for (size_t i = 1; i <= length; i++) {
        if (i < length && (path[i] != '/' || path[i - 1] == '/')) continue;
        memcpy(part, path, i);
        part[i] = 0;
        lb_status s = make_one(part);
        if (s != LB_OK) return s;
    }
    return LB_OK;
}

static int visible(const struct dirent *e) { return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0; }

/* Not alphasort: that one follows the locale. */
static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

lb_status lb_dir_list(const char *path, lb_dir_fn fn, void *ctx) {
    struct dirent **entries;
    int n = scandir(path, &entries, visible, by_name);
    if (n < 0) return lb_fail(LB_EIO, "cannot list the directory \"%s\": %s", path, strerror(errno));
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < n; i++) {
        struct stat st;
        bool known = dir >= 0 && fstatat(dir, entries[i]->d_name, &st, 0) == 0;
        fn(ctx, entries[i]->d_name, known && S_ISDIR(st.st_mode));
        free(entries[i]);
    }
    free(entries);
    if (dir >= 0) close(dir);
    return LB_OK;
}

/* ---- whole files ----------------------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        data += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* The rename is only sure to survive a power cut once the directory is synced too. */
static void sync_parent(const char *path) {
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == dir) slash[1] = 0;
    else if (slash) *slash = 0;
    int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

lb_status lb_file_replace(const char *path, const void *data, size_t bytes) {
    char target[PATH_MAX], aside[PATH_MAX];
    struct stat st;
    int fd = -1, error;
    /* A symbolic link stays one: what it points at is replaced. */
    if (!realpath(path, target) && (size_t)snprintf(target, sizeof target, "%s", path) >= sizeof target)
        return lb_fail(LB_EINVAL, "cannot write a file: its path has %zu bytes", strlen(path));
    bool exists = stat(target, &st) == 0;
    if (exists && !S_ISREG(st.st_mode))
        return lb_fail(LB_EIO, "cannot write \"%s\": it is there already and is no regular file", path);
    if ((size_t)snprintf(aside, sizeof aside, "%s.XXXXXX", target) >= sizeof aside)
        return lb_fail(LB_EINVAL, "cannot write a file: its path has %zu bytes", strlen(path));
    fd = mkostemp(aside, O_CLOEXEC);
    if (fd < 0) return lb_fail(LB_EIO, "cannot write \"%s\": %s", path, strerror(errno));
    mode_t mask = umask(0);
    umask(mask);
    if (fchmod(fd, exists ? st.st_mode & 07777 : 0666 & ~mask) != 0) goto fail;
    if (!write_all(fd, data, bytes) || fsync(fd) != 0) goto fail;
    if (close(fd) != 0) {
        fd = -1;
        goto fail;
    }
    fd = -1;
    if (rename(aside, target) != 0) goto fail;
    sync_parent(target);
    return LB_OK;
fail:
    error = errno;
    if (fd >= 0) close(fd);
    unlink(aside);
    return lb_fail(LB_EIO, "cannot write \"%s\": %s", path, strerror(error));
}

/* ---- temporary directories ------------------------------------------------------------------------------------- */

typedef struct tempdir {
    struct tempdir *next;
    dev_t device;
    ino_t inode;
    int lock;          /* on OWNER, while this process lives; -1 = none */
    char path[];
} tempdir;

/* The file in a temporary directory that its maker keeps locked: who can lock it knows that the maker is dead. */
static const char OWNER[] = "owner.lock";

static tempdir *tempdirs;
static pthread_mutex_t tempdirs_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *tempdir_base(void) {
    const char *base = getenv("TMPDIR");
    return base && base[0] == '/' ? base : "/tmp";
}

/* Locked before it has its name, so that no sweep sees it unlocked. -1 where that fails: nobody sweeps the
 * directory. */
static int own(const char *dir) {
    char aside[PATH_MAX], path[PATH_MAX];
    if ((size_t)snprintf(aside, sizeof aside, "%s/.%s", dir, OWNER) >= sizeof aside) return -1;
    snprintf(path, sizeof path, "%s/%s", dir, OWNER);
    int fd = open(aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && rename(aside, path) == 0) return fd;
    unlink(aside);
    if (fd >= 0) close(fd);
    return -1;
}

lb_status lb_tempdir_new(const char *prefix, char *out, size_t out_bytes) {
    const char *base = tempdir_base();
    if (strchr(prefix, '/'))
        return lb_fail(LB_EINVAL, "the prefix of a temporary directory, \"%s\", has a '/'", prefix);
    if ((size_t)snprintf(out, out_bytes, "%s/%sXXXXXX", base, prefix) >= out_bytes)
        return lb_fail(LB_EINVAL, "the path of a temporary directory in \"%s\" is too long", base);
    tempdir *t = malloc(sizeof *t + strlen(out) + 1);
    if (!t) return lb_fail(LB_ENOMEM, "no memory for the name of a temporary directory");
    struct stat st;
    if (!mkdtemp(out) || stat(out, &st) != 0) {
        free(t);
        return lb_fail(LB_EIO, "cannot create a temporary directory in \"%s\": %s", base, strerror(errno));
    }
    strcpy(t->path, out);
    t->device = st.st_dev;
    t->inode = st.st_ino;
    t->lock = own(out);
    pthread_mutex_lock(&tempdirs_lock);
    t->next = tempdirs;
    tempdirs = t;
    pthread_mutex_unlock(&tempdirs_lock);
    return LB_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st, (void)type, (void)where;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* Takes the directory off the list; NULL if this process did not make it. */
static tempdir *forget(const char *path) {
    pthread_mutex_lock(&tempdirs_lock);
    tempdir **at = &tempdirs;
    while (*at && path && strcmp((*at)->path, path) != 0) at = &(*at)->next;
    tempdir *found = *at;
    if (found) *at = found->next;
    pthread_mutex_unlock(&tempdirs_lock);
    return found;
}

static lb_status remove_tree(tempdir *t) {
    struct stat st;
    lb_status s = LB_OK;
    if (lstat(t->path, &st) != 0) s = LB_OK;     /* somebody removed it already */
    else if (!S_ISDIR(st.st_mode) || st.st_dev != t->device || st.st_ino != t->inode)
        s = lb_fail(LB_EINVAL, "\"%s\" is not removed: it is no longer the directory that was created", t->path);
    else if (nftw(t->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
        s = lb_fail(LB_EIO, "cannot remove \"%s\": %s", t->path, strerror(errno));
    if (t->lock >= 0) close(t->lock);
    free(t);
    return s;
}

/* Ours by user, and its maker is dead? Then the lock on its owner file, else -1. */
static int orphan(const char *dir, struct stat *st) {
    char path[PATH_MAX];
    if (lstat(dir, st) != 0 || !S_ISDIR(st->st_mode) || st->st_uid != geteuid()) return -1;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, OWNER) >= sizeof path) return -1;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    close(fd);
    return -1;
}

int lb_tempdir_sweep(const char *prefix) {
    const char *base = tempdir_base();
    int removed = 0;
    DIR *dir = opendir(base);
    if (!dir) return 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        size_t bytes = strlen(base) + strlen(e->d_name) + 2;
        tempdir *t = malloc(sizeof *t + bytes);
        struct stat st;
        if (!t) break;
        snprintf(t->path, bytes, "%s/%s", base, e->d_name);
        t->lock = orphan(t->path, &st);
        if (t->lock < 0) {
            free(t);
            continue;
        }
        t->device = st.st_dev;
        t->inode = st.st_ino;
        removed += remove_tree(t) == LB_OK;
    }
    closedir(dir);
    return removed;
}

lb_status lb_tempdir_remove(const char *path) {
    if (!path) return lb_fail(LB_EINVAL, "no temporary directory is named");
    tempdir *t = forget(path);
    if (!t) return lb_fail(LB_EINVAL, "\"%s\" is not removed: it is no temporary directory of this process", path);
    return remove_tree(t);
}

void lb_tempdir_remove_all(void) {
    tempdir *t;
    while ((t = forget(NULL))) remove_tree(t);
}

/* ---- locks ----------------------------------------------------------------------------------------------------- */

/* Whoever held the lock may have removed its file meanwhile: then the descriptor's is nobody's, and another process
 * locks a new one under this name. */
static bool lock_is_of(int fd, const char *path) {
    struct stat held, named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev &&
           held.st_ino == named.st_ino;
}

static lb_status lock_open(const char *path, int *fd) {
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    return *fd >= 0 ? LB_OK : lb_fail(LB_EIO, "cannot open the lock \"%s\": %s", path, strerror(errno));
}

lb_status lb_lock_take(const char *path, double timeout_s, int *lock) {
    int fd;
    lb_status s = lock_open(path, &fd);
    uint64_t start = lb_now_ns();
    while (s == LB_OK) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (lock_is_of(fd, path)) {
                *lock = fd;
                return LB_OK;
            }
            close(fd);
            s = lock_open(path, &fd);
        } else if (errno != EWOULDBLOCK && errno != EINTR) {
            s = lb_fail(LB_EIO, "cannot lock \"%s\": %s", path, strerror(errno));
        } else if (timeout_s >= 0 && (double)(lb_now_ns() - start) * 1e-9 >= timeout_s) {
            s = lb_fail(LB_EIO, "\"%s\" is locked by another process (waited %.3g s)", path, timeout_s);
        } else if (lb_sleep_ms(5)) {
            s = lb_fail(LB_EINTERRUPTED, "interrupted while waiting for the lock \"%s\"", path);
        }
    }
    if (fd >= 0) close(fd);
    return s;
}

void lb_lock_release(int lock) {
    if (lock >= 0) close(lock);
}
