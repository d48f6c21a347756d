/* file.c: reading and writing files in order. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

lb_status lb_source_read(lb_source *s, void *out, size_t n) {
    if (n > s->left)
        return lb_fail(LB_EIO, "%s: the file ends too early: %zu more bytes expected, %llu there", s->name, n,
                       (unsigned long long)s->left);
    lb_status st = s->read(s->ctx, out, n);
    if (!st) s->left -= n;
    return st;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

lb_status lb_infile_open(const char *path, lb_infile *f) {
    struct stat st;
    memset(f, 0, sizeof *f);
    snprintf(f->name, sizeof f->name, "%s", path);
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   /* a pipe without a writer must not hang */
    if (f->fd < 0) return lb_fail(LB_EIO, "cannot read %s: %s", path, strerror(errno));
    if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        lb_infile_close(f);
        return lb_fail(LB_EIO, "cannot read %s: it is %s, a file was expected", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
    }
    f->bytes = (uint64_t)st.st_size;
    return LB_OK;
}

lb_status lb_infile_at(const lb_infile *f, uint64_t offset, void *out, size_t n) {
    char *p = out;
    if (offset > f->bytes || n > f->bytes - offset)
        return lb_fail(LB_EIO, "%s: the file ends too early: bytes %llu to %llu expected, it has %llu", f->name,
                       (unsigned long long)offset, (unsigned long long)(offset + n), (unsigned long long)f->bytes);
    while (n) {
        ssize_t got = pread(f->fd, p, n < (size_t)1 << 30 ? n : (size_t)1 << 30, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return lb_fail(LB_EIO, "cannot read %s: %s", f->name, strerror(errno));
        if (got == 0) return lb_fail(LB_EIO, "%s: the file became shorter while it was read", f->name);
        p += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return LB_OK;
}

void lb_infile_close(lb_infile *f) {
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

lb_status lb_file_read(const char *path, uint64_t limit, char **out, size_t *bytes) {
    lb_infile f;
    *out = NULL;
    lb_status s = lb_infile_open(path, &f);
    if (s) return s;
    if (f.bytes > limit) {
        s = lb_fail(LB_EIO, "%s has %llu bytes; at most %llu are read", path, (unsigned long long)f.bytes,
                    (unsigned long long)limit);
    } else if (!(*out = malloc(f.bytes + 1))) {
        s = lb_fail(LB_ENOMEM, "not enough memory to read %s (%llu bytes)", path, (unsigned long long)f.bytes);
    } else if (!(s = lb_infile_at(&f, 0, *out, f.bytes))) {
        (*out)[f.bytes] = 0;
        *bytes = f.bytes;
    }
    if (s) {
        free(*out);
        *out = NULL;
    }
    lb_infile_close(&f);
    return s;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* A file without a name in the folder of `path`; -1 = this file system has none, or an error that another way of making
 * the file will meet too. */
static int open_nameless(const char *path) {
#ifdef O_TMPFILE
    const char *slash = strrchr(path, '/');
    char *folder = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    int fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
    free(folder);
    return fd;
#else
    (void)path;
    return -1;
#endif
}

/* Gives a nameless file a name beside its final one. */
static lb_status name_aside(lb_outfile *f) {
    char proc[40];
    size_t n = strlen(f->path) + 16;
    if (!(f->aside = malloc(n))) return lb_fail(LB_ENOMEM, "not enough memory");
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", f->fd);
    for (int i = 0; i < 1000; i++) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        snprintf(f->aside, n, "%s.%06x", f->path, (unsigned)(t.tv_nsec ^ getpid() << 8) & 0xffffff);
        if (linkat(AT_FDCWD, proc, AT_FDCWD, f->aside, AT_SYMLINK_FOLLOW) == 0) return LB_OK;
        if (errno != EEXIST) break;
    }
    lb_status s = lb_fail(LB_EIO, "cannot write %s: %s", f->path, strerror(errno));
    free(f->aside);
    f->aside = NULL;
    return s;
}

lb_status lb_outfile_open(const char *path, lb_outfile *f) {
    size_t n = strlen(path) + 16;
    memset(f, 0, sizeof *f);
    f->fd = -1;
    if (!(f->path = strdup(path))) return lb_fail(LB_ENOMEM, "not enough memory");
    if ((f->fd = open_nameless(path)) >= 0) {
        if (access("/proc/self/fd", F_OK) == 0) return LB_OK;
        close(f->fd);
        f->fd = -1;
    }
    if (!(f->aside = malloc(n))) {
        lb_outfile_abort(f);
        return lb_fail(LB_ENOMEM, "not enough memory");
    }
    snprintf(f->aside, n, "%s.XXXXXX", path);
    f->fd = mkstemp(f->aside);
    if (f->fd < 0) {
        lb_status s = lb_fail(LB_EIO, "cannot write %s: %s", path, strerror(errno));
        free(f->aside);
        f->aside = NULL;
        lb_outfile_abort(f);
        return s;
    }
    return LB_OK;
}

static lb_status write_at(lb_outfile *f, uint64_t offset, const void *data, size_t n) {
    const char *p = data;
    while (n) {
        ssize_t put = pwrite(f->fd, p, n < (size_t)1 << 30 ? n : (size_t)1 << 30, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return lb_fail(LB_EIO, "cannot write %s: %s", f->path, strerror(errno));
        p += put;
        offset += (uint64_t)put;
        n -= (size_t)put;
    }
    return LB_OK;
}

lb_status lb_outfile_write(lb_outfile *f, const void *data, size_t n) {
    lb_status s = write_at(f, f->written, data, n);
    if (!s) f->written += n;
    return s;
}

lb_status lb_outfile_patch(lb_outfile *f, uint64_t offset, const void *data, size_t n) {
    if (offset + n > f->written) return lb_fail(LB_EINTERNAL, "patch outside of what was written to %s", f->path);
    return write_at(f, offset, data, n);
}

lb_status lb_outfile_extend(lb_outfile *f, uint64_t bytes) {
    if (bytes < f->written) return lb_fail(LB_EINTERNAL, "%s cannot be made shorter", f->path);
    if (ftruncate(f->fd, (off_t)bytes) != 0) return lb_fail(LB_EIO, "cannot write %s: %s", f->path, strerror(errno));
    f->written = bytes;
    return LB_OK;
}

lb_status lb_outfile_commit(lb_outfile *f) {
    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = stat(f->path, &st) == 0 ? st.st_mode & 07777 : 0666 & ~mask;
    lb_status s = f->aside ? LB_OK : name_aside(f);
    if (s) {
        lb_outfile_abort(f);
        return s;
    }
    if (fchmod(f->fd, mode) != 0 || close(f->fd) != 0 || rename(f->aside, f->path) != 0) {
        s = lb_fail(LB_EIO, "cannot write %s: %s", f->path, strerror(errno));
    } else {
        free(f->aside);
        f->aside = NULL;
    }
    f->fd = -1;
    lb_outfile_abort(f);
    return s;
}

void lb_outfile_abort(lb_outfile *f) {
    if (f->fd >= 0) close(f->fd);
    if (f->aside) unlink(f->aside);
    free(f->aside);
    free(f->path);
    memset(f, 0, sizeof *f);
    f->fd = -1;
}

const char *lb_shown(const char *text, uint64_t bytes) {
    static _Thread_local char out[4][96];
    static _Thread_local unsigned next;
    char *p = out[next++ % 4];
    size_t n = bytes < 80 ? (size_t)bytes : 80;
    for (size_t i = 0; i < n; i++) p[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    strcpy(p + n, bytes > n ? "..." : "");
    return p;
}

/* ---- checksums ----------------------------------------------------------------------------------------------- */

uint64_t lb_fnv64(const void *data, size_t bytes) {
    const uint8_t *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static inline uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline uint64_t mix(uint64_t h) {
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

uint64_t lb_checksum64(const void *data, size_t bytes) {
    static const uint64_t k = 0x9e3779b97f4a7c15u;
    const uint8_t *p = data;
    uint64_t lane[4] = { 1, 2, 3, 4 };
    size_t i = 0;
    for (; i + 32 <= bytes; i += 32) {
        for (int j = 0; j < 4; j++) {
            uint64_t w;
            memcpy(&w, p + i + (size_t)j * 8, 8);
            lane[j] = rotate(lane[j] + w * k, 29) * 0xd6e8feb86659fd93u;
        }
    }
    uint64_t h = bytes * k;
    for (int j = 0; j < 4; j++) h = mix(h ^ lane[j]) + k;
    for (; i < bytes; i++) h = mix(h ^ p[i]) + k;
    return h;
}
