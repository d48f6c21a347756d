/* mapping.c: files mapped into memory. */
#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void unmap(lb_buffer *b) { munmap(b->data, b->size_bytes); }

lb_status lb_map_file(const char *path, lb_device *d, uint64_t at_least, const char *what, lb_buffer **out) {
    lb_infile f;
    *out = NULL;
    lb_status s = lb_infile_open(path, &f);
    if (s) return s;
    void *p = MAP_FAILED;
    if (f.bytes < at_least)
        s = lb_fail(LB_EIO, "%s has %llu bytes: too short for %s, which has %llu at least", path,
                    (unsigned long long)f.bytes, what, (unsigned long long)at_least);
    if (!s) {
        p = mmap(NULL, f.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, f.fd, 0);
        if (p == MAP_FAILED) s = lb_fail(LB_EIO, "cannot map %s: %s", path, strerror(errno));
#ifdef MADV_HUGEPAGE
        else madvise(p, f.bytes, MADV_HUGEPAGE); /* what is not in the page cache yet is read in pieces of 2 MiB */
#endif
    }
    if (!s && (s = lb_buffer_wrap(d, p, f.bytes, unmap, NULL, out))) munmap(p, f.bytes);
    lb_infile_close(&f);
    return s;
}

/* Bits of /proc/self/pagemap: the page is in memory; it is a file's (and not a private copy that was written to). */
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_OF_FILE (UINT64_C(1) << 61)
enum { PAGES_AT_ONCE = 4096 };

/* Drops the runs of a file's pages among `count` that begin at `at`; returns how many pages. */
static size_t drop_runs(char *at, const uint64_t *page, size_t count, size_t page_bytes) {
    size_t dropped = 0;
    for (size_t i = 0; i < count;) {
        size_t n = 0;
        while (i + n < count && (page[i + n] & (PAGE_PRESENT | PAGE_OF_FILE)) == (PAGE_PRESENT | PAGE_OF_FILE)) n++;
        if (n && madvise(at + i * page_bytes, n * page_bytes, MADV_DONTNEED) == 0) dropped += n;
        i += n ? n : 1;
    }
    return dropped;
}

size_t lb_map_forget(const lb_buffer *b, size_t offset, size_t bytes) {
    if (b->release != unmap || bytes > b->size_bytes || offset > b->size_bytes - bytes) return 0;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), dropped = 0;
    uintptr_t begin = ((uintptr_t)b->data + offset + page_bytes - 1) / page_bytes * page_bytes;
    uintptr_t end = ((uintptr_t)b->data + offset + bytes) / page_bytes * page_bytes;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    while (begin < end) {
        uint64_t page[PAGES_AT_ONCE];
        /* Up to a multiple of PAGES_AT_ONCE: of a huge page all goes with its first part, and must be counted by
         * then. */
        size_t left = (end - begin) / page_bytes, count = PAGES_AT_ONCE - begin / page_bytes % PAGES_AT_ONCE;
        if (count > left) count = left;
        ssize_t got = pread(fd, page, count * sizeof *page, (off_t)(begin / page_bytes * sizeof *page));
        if (got < (ssize_t)sizeof *page) break;
        count = (size_t)got / sizeof *page;
        dropped += drop_runs((char *)begin, page, count, page_bytes);
        begin += count * page_bytes;
    }
    close(fd);
    return dropped * page_bytes;
}
