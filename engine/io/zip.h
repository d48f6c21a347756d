/* zip.h: zip archives with stored and deflated members, zip64 included. What .npz files are. */
#pragma once
#include "file.h"

typedef struct lb_zip_entry {
    char *name;
    uint64_t bytes, packed_bytes, offset;    /* of the local header */
    uint32_t crc;
    int method;                              /* 0 stored, 8 deflated */
} lb_zip_entry;

typedef struct lb_zip { lb_infile file; lb_zip_entry *entries; int count; } lb_zip;
/* Reads the directory; every offset and size is checked against the file. `z` is zeroed first; lb_zip_close after
 * success and after failure. */
lb_status lb_zip_open(const char *path, lb_zip *z);
void lb_zip_close(lb_zip *z);

typedef struct lb_zip_reader lb_zip_reader;
/* Starts reading a member; src->left is its unpacked size, and never more than its packed bytes can hold. */
lb_status lb_zip_read(lb_zip *z, int entry, lb_zip_reader **out, lb_source *src);
/* Frees the reader; if everything was read, the checksum is compared first: LB_EIO if it differs. */
lb_status lb_zip_read_end(lb_zip_reader *r);

typedef struct lb_zip_writer lb_zip_writer;
lb_status lb_zip_create(const char *path, lb_zip_writer **out);
/* A member from up to `parts` pieces of memory in order. */
typedef struct lb_bytes { const void *data; size_t bytes; } lb_bytes;
lb_status lb_zip_add(lb_zip_writer *w, const char *name, const lb_bytes *pieces, int parts, bool compress);
/* Writes the directory and puts the file in place (commit), or leaves nothing behind. Frees the writer. */
lb_status lb_zip_finish(lb_zip_writer *w, bool commit);

/* gzip in memory: *out is malloc'd. Unpacking stops with LB_EIO beyond `limit` bytes. */
lb_status lb_gzip(const void *data, size_t bytes, char **out, size_t *out_bytes);
lb_status lb_gunzip(const void *data, size_t bytes, uint64_t limit, char **out, size_t *out_bytes);
