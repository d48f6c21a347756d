/* zip_write.c: writing zip archives (zip64 where a size needs it), and gzip in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "zip.h"

#define LIMIT32 0xfffffff0u      /* sizes from here on stand in zip64 fields */

typedef struct written { char *name; uint64_t bytes, packed_bytes, offset; uint32_t crc; int method; } written;

struct lb_zip_writer {
    lb_outfile file;
    written *list;
    int count, room;
};

static void put16(uint8_t *p, uint64_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }
static void put32(uint8_t *p, uint64_t v) { put16(p, v); put16(p + 2, v >> 16); }
static void put64(uint8_t *p, uint64_t v) { put32(p, v); put32(p + 4, v >> 32); }

lb_status lb_zip_create(const char *path, lb_zip_writer **out) {
    lb_zip_writer *w = calloc(1, sizeof *w);
    if (!w) return lb_fail(LB_ENOMEM, "not enough memory");
    lb_status s = lb_outfile_open(path, &w->file);
    if (s) free(w);
    else *out = w;
    return s;
}

/* 1980-01-01, so that equal contents give equal files. */
static void put_local(uint8_t *h, const written *e, bool wide) {
    memset(h, 0, 50);
    put32(h, 0x04034b50u);
    put16(h + 4, wide ? 45 : 20);
    put16(h + 8, (uint64_t)e->method);
    put16(h + 12, 33);
    put32(h + 14, e->crc);
    put32(h + 18, wide ? 0xffffffffu : e->packed_bytes);
    put32(h + 22, wide ? 0xffffffffu : e->bytes);
    put16(h + 26, strlen(e->name));
    put16(h + 28, wide ? 20 : 0);
}

static void put_wide(uint8_t *x, const written *e) {
    put16(x, 1);
    put16(x + 2, 16);
    put64(x + 4, e->bytes);
    put64(x + 12, e->packed_bytes);
}

/* Writes a piece deflated; `last` ends the stream. */
static lb_status deflate_piece(lb_zip_writer *w, z_stream *z, const uint8_t *data, size_t n, bool last) {
    uint8_t out[32768];
    do {
        uInt part = n < (size_t)1 << 30 ? (uInt)n : 1u << 30;
        z->next_in = (Bytef *)(uintptr_t)data;
        z->avail_in = part;
        data += part;
        n -= part;
        int flush = last && n == 0 ? Z_FINISH : Z_NO_FLUSH;
        do {
            z->next_out = out;
            z->avail_out = sizeof out;
            if (deflate(z, flush) == Z_STREAM_ERROR) return lb_fail(LB_EINTERNAL, "zlib refused to compress");
            lb_status s = lb_outfile_write(&w->file, out, sizeof out - z->avail_out);
            if (s) return s;
        } while (z->avail_out == 0);
    } while (n);
    return LB_OK;
}

static lb_status write_packed(lb_zip_writer *w, const lb_bytes *pieces, int parts) {
    z_stream z;
    memset(&z, 0, sizeof z);
    if (deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return lb_fail(LB_ENOMEM, "not enough memory");
    lb_status s = LB_OK;
    for (int i = 0; i < parts && !s; i++) s = deflate_piece(w, &z, pieces[i].data, pieces[i].bytes, i + 1 == parts);
    deflateEnd(&z);
    return s;
}

static uint32_t crc_of(const lb_bytes *pieces, int parts) {
    uLong crc = crc32(0, NULL, 0);
    for (int i = 0; i < parts; i++) {
        const uint8_t *p = pieces[i].data;
        for (size_t at = 0, n = pieces[i].bytes; at < n; at += (size_t)1 << 30)
            crc = crc32(crc, p + at, (uInt)(n - at < (size_t)1 << 30 ? n - at : (size_t)1 << 30));
    }
    return (uint32_t)crc;
}

lb_status lb_zip_add(lb_zip_writer *w, const char *name, const lb_bytes *pieces, int parts, bool compress) {
    uint8_t head[50], extra[20];
    if (strlen(name) > 60000) return lb_fail(LB_EINVAL, "a member's name of %zu bytes is too long", strlen(name));
    if (w->count == w->room) {
        int room = w->room ? w->room * 2 : 16;
        written *grown = realloc(w->list, (size_t)room * sizeof *grown);
        if (!grown) return lb_fail(LB_ENOMEM, "not enough memory");
        w->list = grown;
        w->room = room;
    }
    written *e = &w->list[w->count];
    memset(e, 0, sizeof *e);
    if (!(e->name = strdup(name))) return lb_fail(LB_ENOMEM, "not enough memory");
    w->count++;
    e->offset = w->file.written;
    e->method = compress ? 8 : 0;
    e->crc = crc_of(pieces, parts);
    for (int i = 0; i < parts; i++) e->bytes += pieces[i].bytes;
    e->packed_bytes = e->bytes;
    bool wide = e->bytes >= LIMIT32 - (LIMIT32 >> 8);   /* deflate can grow what it cannot shrink, by far less */
    put_local(head, e, wide);
    put_wide(extra, e);
    lb_status s = lb_outfile_write(&w->file, head, 30);
    if (!s) s = lb_outfile_write(&w->file, name, strlen(name));
    if (!s && wide) s = lb_outfile_write(&w->file, extra, sizeof extra);
    uint64_t data = w->file.written;
    if (!s && compress) s = write_packed(w, pieces, parts);
    for (int i = 0; !s && !compress && i < parts; i++) s = lb_outfile_write(&w->file, pieces[i].data, pieces[i].bytes);
    e->packed_bytes = w->file.written - data;
    if (s || !compress) return s;
    put_local(head, e, wide);
    put_wide(extra, e);
    s = lb_outfile_patch(&w->file, e->offset, head, 30);
    if (!s && wide) s = lb_outfile_patch(&w->file, e->offset + 30 + strlen(name), extra, sizeof extra);
    return s;
}

static lb_status write_directory_entry(lb_zip_writer *w, const written *e) {
    uint8_t h[46] = { 0 }, x[28];
    bool wide = e->bytes >= LIMIT32 || e->packed_bytes >= LIMIT32 || e->offset >= LIMIT32;
    put32(h, 0x02014b50u);
    put16(h + 4, wide ? 45 : 20);
    put16(h + 6, wide ? 45 : 20);
    put16(h + 10, (uint64_t)e->method);
    put16(h + 14, 33);
    put32(h + 16, e->crc);
    put32(h + 20, wide ? 0xffffffffu : e->packed_bytes);
    put32(h + 24, wide ? 0xffffffffu : e->bytes);
    put16(h + 28, strlen(e->name));
    put16(h + 30, wide ? sizeof x : 0);
    put32(h + 42, wide ? 0xffffffffu : e->offset);
    put16(x, 1);
    put16(x + 2, 24);
    put64(x + 4, e->bytes);
    put64(x + 12, e->packed_bytes);
    put64(x + 20, e->offset);
    lb_status s = lb_outfile_write(&w->file, h, sizeof h);
    if (!s) s = lb_outfile_write(&w->file, e->name, strlen(e->name));
    if (!s && wide) s = lb_outfile_write(&w->file, x, sizeof x);
    return s;
}

static lb_status write_end(lb_zip_writer *w, uint64_t start) {
    uint8_t e64[76] = { 0 }, e[22] = { 0 };
    uint64_t bytes = w->file.written - start, at = w->file.written;
    bool wide = start >= LIMIT32 || bytes >= LIMIT32 || w->count >= 0xffff;
    lb_status s = LB_OK;
    if (wide) {
        put32(e64, 0x06064b50u);
        put64(e64 + 4, 44);
        put16(e64 + 12, 45);
        put16(e64 + 14, 45);
        put64(e64 + 24, (uint64_t)w->count);
        put64(e64 + 32, (uint64_t)w->count);
        put64(e64 + 40, bytes);
        put64(e64 + 48, start);
        put32(e64 + 56, 0x07064b50u);
        put64(e64 + 64, at);
        put32(e64 + 72, 1);
        s = lb_outfile_write(&w->file, e64, sizeof e64);
    }
    put32(e, 0x06054b50u);
    put16(e + 8, wide ? 0xffff : (uint64_t)w->count);
    put16(e + 10, wide ? 0xffff : (uint64_t)w->count);
    put32(e + 12, wide ? 0xffffffffu : bytes);
    put32(e + 16, wide ? 0xffffffffu : start);
    return s ? s : lb_outfile_write(&w->file, e, sizeof e);
}

lb_status lb_zip_finish(lb_zip_writer *w, bool commit) {
    lb_status s = LB_OK;
    if (!w) return s;
    if (commit) {
        uint64_t start = w->file.written;
        for (int i = 0; i < w->count && !s; i++) s = write_directory_entry(w, &w->list[i]);
        if (!s) s = write_end(w, start);
        if (!s) s = lb_outfile_commit(&w->file);
    }
    lb_outfile_abort(&w->file);
    for (int i = 0; i < w->count; i++) free(w->list[i].name);
    free(w->list);
    free(w);
    return s;
}

/* ---- gzip ----------------------------------------------------------------------------------------------------- */

lb_status lb_gzip(const void *data, size_t bytes, char **out, size_t *out_bytes) {
    z_stream z;
    memset(&z, 0, sizeof z);
    if (bytes > (size_t)1 << 31) return lb_fail(LB_EINVAL, "gzip: at most 2 GiB at once, got %zu bytes", bytes);
    if (deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return lb_fail(LB_ENOMEM, "not enough memory");
    size_t room = deflateBound(&z, (uLong)bytes) + 32;
    char *packed = malloc(room);
    if (!packed) {
        deflateEnd(&z);
        return lb_fail(LB_ENOMEM, "not enough memory");
    }
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)bytes;
    z.next_out = (Bytef *)packed;
    z.avail_out = (uInt)room;
    int end = deflate(&z, Z_FINISH);
    *out_bytes = z.total_out;
    deflateEnd(&z);
    if (end != Z_STREAM_END) {
        free(packed);
        return lb_fail(LB_EINTERNAL, "zlib refused to compress");
    }
    *out = packed;
    return LB_OK;
}

lb_status lb_gunzip(const void *data, size_t bytes, uint64_t limit, char **out, size_t *out_bytes) {
    z_stream z;
    memset(&z, 0, sizeof z);
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) return lb_fail(LB_ENOMEM, "not enough memory");
    lb_status s = LB_OK;
    size_t room = bytes * 4 + 4096, used = 0;
    if (room > limit) room = limit;
    char *text = malloc(room + 1);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)(bytes < (size_t)1 << 31 ? bytes : (size_t)1 << 31);
    if (!text) s = lb_fail(LB_ENOMEM, "not enough memory");
    for (int end = Z_OK; !s && end != Z_STREAM_END;) {
        if (used == room) {
            size_t more = room * 2 < limit ? room * 2 : limit;
            char *grown = more > room ? realloc(text, more + 1) : NULL;
            if (!grown) {
                s = more > room ? lb_fail(LB_ENOMEM, "not enough memory")
                                : lb_fail(LB_EIO, "gzip: more than %llu bytes unpacked", (unsigned long long)limit);
                break;
            }
            text = grown;
            room = more;
        }
        uInt part = room - used < (size_t)1 << 30 ? (uInt)(room - used) : 1u << 30;
        z.next_out = (Bytef *)text + used;
        z.avail_out = part;
        end = inflate(&z, Z_NO_FLUSH);
        used += part - z.avail_out;
        if (end != Z_OK && end != Z_STREAM_END && !(end == Z_BUF_ERROR && z.avail_out == 0))
            s = lb_fail(LB_EIO, "gzip: the data is damaged or ends too early");
    }
    inflateEnd(&z);
    if (s) {
        free(text);
        return s;
    }
    text[used] = 0;
    *out = text;
    *out_bytes = used;
    return LB_OK;
}
