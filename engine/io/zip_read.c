/* zip_read.c: reading zip archives. Nothing in the file is believed before it was checked against the file's size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "zip.h"

#define END_BYTES 22u
#define DIRECTORY_MAX ((uint64_t)256 << 20)

static uint32_t u16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }
static uint64_t u64(const uint8_t *p) { return u32(p) | (uint64_t)u32(p + 4) << 32; }

static lb_status damaged(const lb_zip *z, const char *what) {
    return lb_fail(LB_EIO, "%s: not a usable zip archive: %s", z->file.name, what);
}

/* ---- the directory ------------------------------------------------------------------------------------------- */

typedef struct place { uint64_t offset, bytes, count; } place;

/* The zip64 end record, which a locator right before the end record points to. */
static lb_status find64(lb_zip *z, uint64_t end_at, place *out) {
    uint8_t locator[20], end[56];
    if (end_at < sizeof locator) return damaged(z, "its zip64 locator is missing");
    lb_status s = lb_infile_at(&z->file, end_at - sizeof locator, locator, sizeof locator);
    if (s) return s;
    if (u32(locator) != 0x07064b50u) return damaged(z, "its zip64 locator is missing");
    if ((s = lb_infile_at(&z->file, u64(locator + 8), end, sizeof end))) return s;
    if (u32(end) != 0x06064b50u) return damaged(z, "its zip64 directory end is damaged");
    out->count = u64(end + 32);
    out->bytes = u64(end + 40);
    out->offset = u64(end + 48);
    return LB_OK;
}

/* In the file's last n bytes. */
static lb_status find_in(lb_zip *z, const uint8_t *tail, uint64_t n, place *out) {
    for (int64_t i = (int64_t)n - END_BYTES; i >= 0; i--) {
        const uint8_t *p = tail + i;
        if (u32(p) != 0x06054b50u || (uint64_t)i + END_BYTES + u16(p + 20) != n) continue;
        *out = (place){ u32(p + 16), u32(p + 12), u16(p + 10) };
        if (out->offset == 0xffffffffu || out->bytes == 0xffffffffu || out->count == 0xffffu)
            return find64(z, z->file.bytes - n + (uint64_t)i, out);
        return LB_OK;
    }
    return damaged(z, "it has no directory at its end");
}

static lb_status find_directory(lb_zip *z, place *out) {
    uint64_t n = z->file.bytes < END_BYTES + 65536 ? z->file.bytes : END_BYTES + 65536;
    if (n < END_BYTES) return damaged(z, "it is too short");
    uint8_t *tail = malloc(n);
    if (!tail) return lb_fail(LB_ENOMEM, "zip: no memory for the end of its directory");
    lb_status s = lb_infile_at(&z->file, z->file.bytes - n, tail, n);
    if (!s) s = find_in(z, tail, n, out);
    free(tail);
    return s;
}

/* Sizes and offset over 4 GiB stand in an extra field, in this order, those that the fixed fields cannot hold. */
static lb_status read_extra64(lb_zip *z, const uint8_t *extra, size_t bytes, lb_zip_entry *e) {
    uint64_t *want[3] = { &e->bytes, &e->packed_bytes, &e->offset };
    while (bytes >= 4) {
        size_t id = u16(extra), n = u16(extra + 2);
        if (n > bytes - 4) break;
        if (id == 1) {
            const uint8_t *p = extra + 4, *end = p + n;
            for (int i = 0; i < 3; i++) {
                if (*want[i] != 0xffffffffu) continue;
                if (end - p < 8) return damaged(z, "a zip64 field is too short");
                *want[i] = u64(p);
                p += 8;
            }
            return LB_OK;
        }
        extra += 4 + n;
        bytes -= 4 + n;
    }
    return LB_OK;
}

static lb_status read_entry(lb_zip *z, const uint8_t *p, size_t left, size_t *used, lb_zip_entry *e) {
    if (left < 46 || u32(p) != 0x02014b50u) return damaged(z, "its directory is damaged");
    size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    if (46 + name + extra + comment > left) return damaged(z, "its directory is damaged");
    e->method = (int)u16(p + 10);
    e->crc = u32(p + 16);
    e->packed_bytes = u32(p + 20);
    e->bytes = u32(p + 24);
    e->offset = u32(p + 42);
    if (u16(p + 8) & 1) return damaged(z, "it is encrypted");
    if (memchr(p + 46, 0, name)) return damaged(z, "a member's name contains a zero byte");
    if (!(e->name = malloc(name + 1))) return lb_fail(LB_ENOMEM, "not enough memory");
    memcpy(e->name, p + 46, name);
    e->name[name] = 0;
    lb_status s = read_extra64(z, p + 46 + name, extra, e);
    if (s) return s;
    if (e->offset > z->file.bytes || e->packed_bytes > z->file.bytes - e->offset)
        return damaged(z, "a member lies outside of the file");
    *used = 46 + name + extra + comment;
    return LB_OK;
}

lb_status lb_zip_open(const char *path, lb_zip *z) {
    place at = { 0, 0, 0 };
    uint8_t *directory = NULL;
    memset(z, 0, sizeof *z);
    lb_status s = lb_infile_open(path, &z->file);
    if (s) return s;
    if ((s = find_directory(z, &at))) return s;
    if (at.offset > z->file.bytes || at.bytes > z->file.bytes - at.offset || at.bytes > DIRECTORY_MAX
        || at.count > at.bytes / 46) {
        return damaged(z, "its directory lies outside of the file");
    }
    directory = malloc(at.bytes + 1);
    z->entries = calloc(at.count + 1, sizeof *z->entries);
    if (!directory || !z->entries) s = lb_fail(LB_ENOMEM, "not enough memory");
    if (!s) s = lb_infile_at(&z->file, at.offset, directory, at.bytes);
    size_t used = 0;
    for (uint64_t i = 0, pos = 0; !s && i < at.count; i++, pos += used) {
        z->count++;                              /* its name is freed also if it is damaged */
        s = read_entry(z, directory + pos, at.bytes - pos, &used, &z->entries[i]);
    }
    free(directory);
    return s;
}

void lb_zip_close(lb_zip *z) {
    for (int i = 0; i < z->count; i++) free(z->entries[i].name);
    free(z->entries);
    if (z->file.name[0]) lb_infile_close(&z->file);
    memset(z, 0, sizeof *z);
    z->file.fd = -1;
}

/* ---- members ------------------------------------------------------------------------------------------------- */

struct lb_zip_reader {
    lb_zip *zip;
    const lb_zip_entry *entry;
    uint64_t at, packed_left, given;
    uLong crc;
    bool inflating, failed;
    z_stream stream;
    uint8_t in[65536];
};

static lb_status refill(lb_zip_reader *r) {
    size_t n = r->packed_left < sizeof r->in ? r->packed_left : sizeof r->in;
    if (n == 0) return damaged(r->zip, "a member's compressed data ends too early");
    lb_status s = lb_infile_at(&r->zip->file, r->at, r->in, n);
    r->at += n;
    r->packed_left -= n;
    r->stream.next_in = r->in;
    r->stream.avail_in = (uInt)n;
    return s;
}

static lb_status inflate_some(lb_zip_reader *r, uint8_t *out, size_t n) {
    while (n) {
        lb_status s = r->stream.avail_in ? LB_OK : refill(r);
        if (s) return s;
        uInt room = n < (size_t)1 << 30 ? (uInt)n : 1u << 30;
        r->stream.next_out = out;
        r->stream.avail_out = room;
        int z = inflate(&r->stream, Z_NO_FLUSH);
        size_t made = room - r->stream.avail_out;
        if (z != Z_OK && z != Z_STREAM_END && !(z == Z_BUF_ERROR && made == 0 && r->stream.avail_in == 0))
            return damaged(r->zip, "a member's compressed data is damaged");
        out += made;
        n -= made;
        if (z == Z_STREAM_END && n) return damaged(r->zip, "a member is shorter than the directory says");
    }
    return LB_OK;
}

static lb_status read_member(void *ctx, void *out, size_t n) {
    lb_zip_reader *r = ctx;
    lb_status s;
    if (r->inflating) {
        s = inflate_some(r, out, n);
    } else {
        s = lb_infile_at(&r->zip->file, r->at, out, n);
        r->at += n;
    }
    if (s) {
        r->failed = true;
        return s;
    }
    for (size_t at = 0; at < n; at += (size_t)1 << 30)
        r->crc = crc32(r->crc, (const uint8_t *)out + at, (uInt)(n - at < (size_t)1 << 30 ? n - at : (size_t)1 << 30));
    r->given += n;
    return LB_OK;
}

lb_status lb_zip_read(lb_zip *z, int entry, lb_zip_reader **out, lb_source *src) {
    const lb_zip_entry *e = &z->entries[entry];
    uint8_t local[30];
    if (e->method != 0 && e->method != 8)
        return lb_fail(LB_EUNSUPPORTED,
                       "%s: member %s is compressed by method %d; stored (0) and deflate (8) are supported",
                       z->file.name, e->name, e->method);
    lb_status s = lb_infile_at(&z->file, e->offset, local, sizeof local);
    if (s) return s;
    if (u32(local) != 0x04034b50u) return damaged(z, "a member's header is damaged");
    uint64_t data = e->offset + sizeof local + u16(local + 26) + u16(local + 28);
    if (data > z->file.bytes || e->packed_bytes > z->file.bytes - data)
        return damaged(z, "a member lies outside of the file");
    /* deflate cannot grow data more than 1032 times: a larger promise is a lie */
    if (e->method == 0 ? e->bytes != e->packed_bytes : e->bytes / 1032 > e->packed_bytes)
        return damaged(z, "a member's sizes contradict each other");
    lb_zip_reader *r = calloc(1, sizeof *r);
    if (!r) return lb_fail(LB_ENOMEM, "not enough memory");
    r->zip = z;
    r->entry = e;
    r->at = data;
    r->packed_left = e->packed_bytes;
    r->crc = crc32(0, NULL, 0);
    if (e->method == 8) {
        if (inflateInit2(&r->stream, -MAX_WBITS) != Z_OK) {
            free(r);
            return lb_fail(LB_ENOMEM, "not enough memory");
        }
        r->inflating = true;
    }
    *src = (lb_source){ read_member, r, e->bytes, z->file.name };
    *out = r;
    return LB_OK;
}

lb_status lb_zip_read_end(lb_zip_reader *r) {
    lb_status s = LB_OK;
    if (!r) return s;
    if (!r->failed && r->given == r->entry->bytes && (uint32_t)r->crc != r->entry->crc)
        s = lb_fail(LB_EIO, "%s: member %s is damaged: its checksum differs", r->zip->file.name, r->entry->name);
    if (r->inflating) inflateEnd(&r->stream);
    free(r);
    return s;
}
