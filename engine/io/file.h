/* file.h: reading and writing files in order, with sizes known before memory is taken for them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../status.h"

/* Bytes in order: a file, a part of one, a compressed member of an archive. read() gives exactly n bytes or fails. */
typedef struct lb_source {
    lb_status (*read)(void *ctx, void *out, size_t n);
    void *ctx;
    uint64_t left;           /* bytes that can still be read at most; checked before allocating */
    const char *name;        /* for messages */
} lb_source;
/* Reads n bytes and counts them; LB_EIO, naming the file, if there are fewer. */
lb_status lb_source_read(lb_source *s, void *out, size_t n);

/* A file open for reading. */
typedef struct lb_infile { int fd; uint64_t bytes; char name[256]; } lb_infile;
lb_status lb_infile_open(const char *path, lb_infile *f);      /* regular files only */
lb_status lb_infile_at(const lb_infile *f, uint64_t offset, void *out, size_t n);
void lb_infile_close(lb_infile *f);

/* A whole file in malloc'd memory, NUL-terminated; larger than `limit` is LB_EIO. */
lb_status lb_file_read(const char *path, uint64_t limit, char **out, size_t *bytes);

/* A file written aside and renamed over the old one when complete. Where the file system can, it has no name before
 * that (`aside` is NULL), so that a process killed on the way leaves nothing; else PATH.XXXXXX stays behind then. */
typedef struct lb_outfile { int fd; char *path, *aside; uint64_t written; } lb_outfile;
lb_status lb_outfile_open(const char *path, lb_outfile *f);
lb_status lb_outfile_write(lb_outfile *f, const void *data, size_t n);
lb_status lb_outfile_patch(lb_outfile *f, uint64_t offset, const void *data, size_t n); /* bytes written before */
lb_status lb_outfile_extend(lb_outfile *f, uint64_t bytes); /* with zeros, up to so many bytes in all; then patch */
lb_status lb_outfile_commit(lb_outfile *f);
void lb_outfile_abort(lb_outfile *f);                           /* also after commit: does nothing then */

/* Text from a file for an error message: what cannot be shown becomes '?', long ones are cut. Up to four at a time. */
const char *lb_shown(const char *text, uint64_t bytes);

/* FNV-1a, 64 bits, byte by byte: for names and small texts. */
uint64_t lb_fnv64(const void *data, size_t bytes);
/* A fast 64-bit checksum for large data (four lanes of multiply and rotate over 8-byte words): catches accidents, is
 * no defence against intent. The same on every little-endian machine. */
uint64_t lb_checksum64(const void *data, size_t bytes);
