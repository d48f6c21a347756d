/* mapping.c: files mapped into memory. */
#include "mapping.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

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
    }
    if (!s && (s = lb_buffer_wrap(d, p, f.bytes, unmap, NULL, out))) munmap(p, f.bytes);
    lb_infile_close(&f);
    return s;
}
