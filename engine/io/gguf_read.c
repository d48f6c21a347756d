/* gguf_read.c: reading GGUF. Nothing in the file is believed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf.h"
#include "mapping.h"

#define FIXED 24u                /* bytes before the metadata */
#define META_LEAST 14u           /* of the smallest entry: a key of one byte, a type, one byte of value */
#define TENSOR_LEAST 25u         /* a name of one byte, rank 0, type, offset */
#define STRING_MAX ((uint64_t)1 << 30)

/* A place in the bytes of one part. */
typedef struct reader {
    lb_model_file *f;
    const char *path;
    const uint8_t *data;
    uint64_t bytes, at;
    uint32_t version;
    uint64_t counts[2];          /* tensors, metadata entries */
} reader;

LB_PRINTF(3, 4) static lb_status damaged(const reader *r, uint64_t at, const char *fmt, ...) {
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return lb_fail(LB_EIO, "%s: damaged GGUF file, byte %llu: %s", r->path, (unsigned long long)at, text);
}

static uint64_t left(const reader *r) { return r->bytes - r->at; }

static lb_status need(const reader *r, uint64_t n, const char *what) {
    if (n <= left(r)) return LB_OK;
    return damaged(r, r->at, "%s needs %llu bytes, the file has %llu more; is it cut off?", what, (unsigned long long)n,
                   (unsigned long long)left(r));
}

static lb_status take(reader *r, void *out, size_t n, const char *what) {
    lb_status s = need(r, n, what);
    if (s) return s;
    memcpy(out, r->data + r->at, n);
    r->at += n;
    return LB_OK;
}

/* A length and so many bytes, in place. */
static lb_status take_string(reader *r, const char *what, const char **text, uint64_t *bytes) {
    lb_status s = take(r, bytes, 8, what);
    if (s) return s;
    if (*bytes > left(r) || *bytes > STRING_MAX)
        return damaged(r, r->at - 8, "%s claims %llu bytes; the file has %llu more, and 2^30 are the most", what,
                       (unsigned long long)*bytes, (unsigned long long)left(r));
    *text = (const char *)r->data + r->at;
    r->at += *bytes;
    return LB_OK;
}

/* ---- head ----------------------------------------------------------------------------------------------------- */

static lb_status read_head(reader *r) {
    char magic[4];
    int64_t counts[2];
    lb_status s = take(r, magic, 4, "the head");
    if (!s && memcmp(magic, "GGUF", 4) != 0)
        return lb_fail(LB_EIO, "%s: no GGUF file: it begins with \"%s\", \"GGUF\" was expected", r->path,
                       lb_shown(magic, 4));
    if (!s) s = take(r, &r->version, 4, "the version");
    if (s) return s;
    if (r->version && !(r->version & 0xffff))
        return damaged(r, 4, "it is big-endian; only little-endian files are read: convert it");
    if (r->version < 2 || r->version > 3)
        return damaged(r, 4, "it has version %u; versions 2 and 3 are read%s", r->version,
                       r->version == 1 ? ": convert the model again with a newer tool" : "");
    if ((s = take(r, counts, 16, "the counts"))) return s;
    static const struct { const char *what; uint64_t least; } of[2] = { { "tensors", TENSOR_LEAST },
                                                                        { "metadata entries", META_LEAST } };
    for (int i = 0; i < 2; i++) {
        uint64_t most = left(r) / of[i].least;
        if (counts[i] < 0 || (uint64_t)counts[i] > most || counts[i] > INT32_MAX)
            return damaged(r, 8 + 8 * (uint64_t)i, "it claims %lld %s; the rest of the file has room for %llu at most",
                           (long long)counts[i], of[i].what, (unsigned long long)most);
        r->counts[i] = (uint64_t)counts[i];
    }
    return LB_OK;
}

/* ---- metadata ------------------------------------------------------------------------------------------------- */

static lb_status check_bools(const reader *r, const uint8_t *p, uint64_t n, const char *key) {
    for (uint64_t i = 0; i < n; i++)
        if (p[i] > 1)
            return damaged(r, (uint64_t)(p - r->data) + i, "a bool of %s is %u, not 0 or 1", lb_shown(key, strlen(key)),
                           p[i]);
    return LB_OK;
}

static lb_status read_array(reader *r, lb_meta *m) {
    int32_t item;
    const char *key = lb_shown(m->key, strlen(m->key)), *text = NULL;
    uint64_t bytes, start = r->at;
    lb_status s = take(r, &item, 4, "an array's type");
    if (!s) s = take(r, &m->count, 8, "an array's length");
    if (s) return s;
    if (item < 0 || item >= LB_META_COUNT || item == LB_META_ARRAY)
        return damaged(r, start, "the elements of %s have type %d; %s", key, item,
                       item == LB_META_ARRAY ? "arrays of arrays are not read" : "0 to 12 are known, without 9");
    m->item = (lb_meta_type)item;
    size_t least = item == LB_META_STRING ? 8 : lb_meta_type_size(m->item);
    if (m->count > left(r) / least)
        return damaged(r, start + 4, "array %s claims %llu elements of %zu bytes or more; the file has %llu bytes more",
                       key, (unsigned long long)m->count, least, (unsigned long long)left(r));
    m->data = r->data + r->at;
    if (item != LB_META_STRING) {
        m->bytes = m->count * least;
        r->at += m->bytes;
        return item == LB_META_BOOL ? check_bools(r, m->data, m->count, m->key) : LB_OK;
    }
    for (uint64_t i = 0; i < m->count && !s; i++) s = take_string(r, "a string of an array", &text, &bytes);
    m->bytes = (uint64_t)(r->data + r->at - m->data);
    return s;
}

static lb_status read_value(reader *r, lb_meta *m) {
    const char *text;
    m->count = 1;
    if (m->type == LB_META_ARRAY) return read_array(r, m);
    if (m->type == LB_META_STRING) {
        lb_status s = take_string(r, "a metadata string", &text, &m->bytes);
        if (!s) m->data = (const uint8_t *)text;
        return s;
    }
    m->bytes = lb_meta_type_size(m->type);
    lb_status s = need(r, m->bytes, "a metadata value");
    if (s) return s;
    m->data = r->data + r->at;
    r->at += m->bytes;
    return m->type == LB_META_BOOL ? check_bools(r, m->data, 1, m->key) : LB_OK;
}

static lb_status read_meta(reader *r, lb_meta *m) {
    const char *text = NULL;
    uint64_t bytes, start = r->at;
    int32_t type;
    lb_status s = take_string(r, "a metadata key", &text, &bytes);
    if (s) return s;
    if (!bytes || memchr(text, 0, bytes))
        return damaged(r, start, "a metadata key is empty or has a zero byte in it");
    if (!(m->key = lb_arena_text(&r->f->arena, text, bytes))) return LB_ENOMEM;
    if ((s = take(r, &type, 4, "a metadata type"))) return s;
    if (type < 0 || type >= LB_META_COUNT)
        return damaged(r, r->at - 4, "metadata %s has type %d; 0 to 12 are known", lb_shown(text, bytes), type);
    m->type = m->item = (lb_meta_type)type;
    return read_value(r, m);
}

static int by_key(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static lb_status check_keys(const reader *r, const lb_meta *list, uint32_t count) {
    const char **keys = malloc(((size_t)count + 1) * sizeof *keys);
    if (!keys) return lb_fail(LB_ENOMEM, "not enough memory for the metadata of %s", r->path);
    for (uint32_t i = 0; i < count; i++) keys[i] = list[i].key;
    qsort(keys, count, sizeof *keys, by_key);
    lb_status s = LB_OK;
    for (uint32_t i = 1; i < count && !s; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            s = damaged(r, FIXED, "metadata %s is there twice", lb_shown(keys[i], strlen(keys[i])));
    free(keys);
    return s;
}

/* Reads the entries of a part. Those of the first are the file's; of the others only split.* count. */
static lb_status read_metas(reader *r, lb_meta **out, uint32_t *count) {
    lb_status s = LB_OK;
    *count = 0;
    *out = calloc((size_t)r->counts[1] + 1, sizeof **out);
    if (!*out) return lb_fail(LB_ENOMEM, "not enough memory for the metadata of %s", r->path);
    for (uint64_t i = 0; i < r->counts[1] && !s; i++) {
        if (!(s = read_meta(r, &(*out)[i]))) (*count)++;
    }
    return s ? s : check_keys(r, *out, *count);
}

/* ---- tensors -------------------------------------------------------------------------------------------------- */

static lb_status read_name(reader *r, lb_stored *t) {
    const char *text = NULL;
    uint64_t bytes, start = r->at;
    lb_status s = take_string(r, "a tensor's name", &text, &bytes);
    if (s) return s;
    if (!bytes || bytes > LB_GGUF_NAME_MAX)
        return damaged(r, start, "a tensor's name has %llu bytes; 1 to 63 are allowed", (unsigned long long)bytes);
    for (uint64_t i = 0; i < bytes; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
            return damaged(r, start + 8 + i, "the name %s of a tensor has a control character in it",
                           lb_shown(text, bytes));
    return (t->name = lb_arena_text(&r->f->arena, text, bytes)) ? LB_OK : LB_ENOMEM;
}

/* Sizes, reversed, and the bytes that follow from them and the type. */
static lb_status read_shape(reader *r, lb_stored *t) {
    const char *name = lb_shown(t->name, strlen(t->name));
    uint32_t rank;
    int32_t id;
    int64_t elements = 1, dims[LB_GGUF_MAX_RANK];
    uint64_t start = r->at;
    lb_status s = take(r, &rank, 4, "a tensor's rank");
    if (s) return s;
    if (rank > LB_GGUF_MAX_RANK) return damaged(r, start, "tensor %s has %u dimensions; 4 are the most", name, rank);
    if ((s = take(r, dims, 8 * (size_t)rank, "a tensor's sizes")) || (s = take(r, &id, 4, "a tensor's type"))) return s;
    t->rank = (int)rank;
    for (uint32_t i = 0; i < rank; i++) {
        t->dims[rank - 1 - i] = dims[i];
        if (dims[i] < 0) return damaged(r, start + 4, "tensor %s has a size of %lld", name, (long long)dims[i]);
        if (__builtin_mul_overflow(elements, dims[i] ? dims[i] : 1, &elements))
            return damaged(r, start + 4, "tensor %s has more than 2^63 elements", name);
    }
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i] == 0) elements = 0;
    if (!(t->type = lb_gguf_type(id)))
        return damaged(r, r->at - 4, "tensor %s has type %d, which is not known (or was removed from GGUF)", name, id);
    int64_t columns = rank ? dims[0] : 1;
    if (columns % t->type->block)
        return damaged(r, start + 4, "tensor %s: %lld columns are no multiple of the %d elements of a %s block", name,
                       (long long)columns, t->type->block, t->type->name);
    if (__builtin_mul_overflow((uint64_t)(elements / t->type->block), (uint64_t)t->type->bytes, &t->bytes)
        || t->bytes > r->bytes)
        return damaged(r, start + 4, "tensor %s claims more bytes than the %llu of the file", name,
                       (unsigned long long)r->bytes);
    return LB_OK;
}

static lb_status read_tensors(reader *r, lb_stored *list) {
    uint64_t running = 0, align = r->f->alignment;
    lb_status s = LB_OK;
    for (uint64_t i = 0; i < r->counts[0] && !s; i++) {
        lb_stored *t = &list[i];
        if ((s = read_name(r, t)) || (s = read_shape(r, t)) || (s = take(r, &t->offset, 8, "a tensor's offset")))
            return s;
        if (t->offset != running)
            return damaged(r, r->at - 8, "tensor %s is at offset %llu of the data; %llu follows from those before it",
                           lb_shown(t->name, strlen(t->name)), (unsigned long long)t->offset,
                           (unsigned long long)running);
        /* Neither sum can wrap: bytes is at most the file's, and so is running after the check below. */
        running += (t->bytes + align - 1) / align * align;
        if (running > r->bytes + align)
            return damaged(r, r->at - 8, "tensor %s ends beyond the file", lb_shown(t->name, strlen(t->name)));
    }
    uint64_t start = (r->at + align - 1) / align * align;
    for (uint64_t i = 0; i < r->counts[0]; i++) {
        lb_stored *t = &list[i];
        t->part = r->f->part_count - 1;
        t->offset += start;
        if (t->offset > r->bytes || t->bytes > r->bytes - t->offset)
            return damaged(r, t->offset, "tensor %s needs %llu bytes here, the file has %llu in all; is it cut off?",
                           lb_shown(t->name, strlen(t->name)), (unsigned long long)t->bytes,
                           (unsigned long long)r->bytes);
    }
    return LB_OK;
}

/* ---- parts ---------------------------------------------------------------------------------------------------- */

static const lb_meta *meta_in(const lb_meta *list, uint32_t count, const char *key) {
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i].key, key) == 0) return &list[i];
    return NULL;
}

/* A whole number among the metadata; `otherwise` if the key is not there, -1 if it is something else. */
static int64_t integer_in(const lb_meta *list, uint32_t count, const char *key, int64_t otherwise) {
    const lb_meta *m = meta_in(list, count, key);
    if (!m) return otherwise;
    double v = lb_meta_number(m, 0);
    return m->type != LB_META_ARRAY && m->type != LB_META_BOOL && v >= 0 && v < 0x1p53 && v == (double)(int64_t)v
               ? (int64_t)v : -1;
}

static lb_status read_alignment(reader *r, const lb_meta *list, uint32_t count) {
    const lb_meta *m = meta_in(list, count, "general.alignment");
    uint32_t v = LB_GGUF_ALIGNMENT;
    if (m && m->type == LB_META_U32) memcpy(&v, m->data, 4);
    if ((m && m->type != LB_META_U32) || !v || (v & (v - 1)))
        return damaged(r, FIXED, "general.alignment must be a power of two of type u32; it is %g of type %s",
                       m ? lb_meta_number(m, 0) : 0, lb_meta_type_name(m ? m->type : LB_META_U32));
    r->f->alignment = v;
    return LB_OK;
}

/* Reads a part, which is the next of f, and adds its tensors. The buffer is taken over. */
static lb_status read_part(lb_model_file *f, const char *path, lb_buffer *b, int no, int of, int64_t *total) {
    reader r = { .f = f, .path = path, .data = b->data, .bytes = b->size_bytes };
    lb_meta *metas = NULL;
    uint32_t count = 0;
    f->parts[f->part_count] = b;
    f->part_paths[f->part_count++] = strdup(path);
    lb_status s = read_head(&r);
    if (!s) s = read_metas(&r, &metas, &count);
    if (!s) s = read_alignment(&r, metas, count);
    if (!s) {
        int64_t is = integer_in(metas, count, "split.no", 0), n = integer_in(metas, count, "split.count", 1);
        if (of && (is != no || (n != of && !(n == 0 && of == 1))))
            s = lb_fail(LB_EIO,
                        "%s: it says that it is part %lld of %lld (from 0), %d of %d was expected: do the parts "
                        "belong together, and have they their original names?",
                        path, (long long)is, (long long)n, no, of);
        if (no == 0) *total = integer_in(metas, count, "split.tensors.count", -1);
    }
    if (!s && f->count + r.counts[0] > INT32_MAX) s = damaged(&r, 8, "the parts have too many tensors together");
    if (!s) {
        lb_stored *more = realloc(f->tensors, ((size_t)f->count + r.counts[0] + 1) * sizeof *more);
        if (!more) s = lb_fail(LB_ENOMEM, "not enough memory for the tensors of %s", path);
        else {
            f->tensors = more;
            memset(more + f->count, 0, (size_t)r.counts[0] * sizeof *more);
            s = read_tensors(&r, more + f->count);
            f->count += (uint32_t)r.counts[0];
        }
    }
    if (no == 0) {
        f->metas = metas;
        f->meta_count = count;
        f->version = r.version;
    } else {
        free(metas);
    }
    return s;
}

lb_status lb_gguf_open_memory(const char *name, lb_buffer *b, lb_model_file **out) {
    int64_t total;
    lb_status s = lb_model_file_new(name, "gguf", 1, out);
    if (s) return s;
    s = read_part(*out, name, lb_buffer_retain(b), 0, 1, &total);
    if (!s) s = lb_model_file_index(*out);
    if (!s) return LB_OK;
    lb_model_file_close(*out);
    *out = NULL;
    return s;
}

/* "…-00002-of-00003.gguf": the length of "…", the number of parts, and which this is (from 1); false = other names. */
static bool split_name(const char *path, size_t *stem, int *no, int *of) {
    static const char tail[] = "-00001-of-00001.gguf";
    size_t n = strlen(path), t = sizeof tail - 1;
    if (n < t) return false;
    const char *p = path + n - t;
    for (size_t i = 0; i < t; i++) {
        bool digit = tail[i] >= '0' && tail[i] <= '9';
        if (digit ? p[i] < '0' || p[i] > '9' : p[i] != tail[i]) return false;
    }
    *stem = n - t;
    *no = atoi(p + 1);
    *of = atoi(p + 10);
    return *no >= 1 && *no <= *of;
}

lb_status lb_gguf_open(const char *path, lb_device *d, lb_model_file **out) {
    size_t stem = strlen(path);
    int no = 1, of = 1;
    int64_t total = -1;
    bool split = split_name(path, &stem, &no, &of);
    size_t room = stem + 32;
    char *part = malloc(room);
    *out = NULL;
    if (!part) return lb_fail(LB_ENOMEM, "not enough memory to open %s", path);
    lb_status s = lb_model_file_new(path, "gguf", of, out);
    for (int i = 0; i < of && !s; i++) {
        lb_buffer *b = NULL;
        snprintf(part, room, "%.*s", (int)stem, path);
        if (split) snprintf(part + stem, room - stem, "-%05d-of-%05d.gguf", i + 1, of);
        s = lb_map_file(part, d, FIXED, "a GGUF file", &b);
        if (s && split) lb_fail_in(s, "part %d of %d of %s", i + 1, of, path);
        if (!s) s = read_part(*out, part, b, i, of, &total);
    }
    if (!s && of > 1 && total >= 0 && total != (int64_t)(*out)->count)
        s = lb_fail(LB_EIO, "%s: its parts have %u tensors, the first says that there are %lld", path, (*out)->count,
                    (long long)total);
    if (!s) s = lb_model_file_index(*out);
    free(part);
    if (!s) return LB_OK;
    lb_model_file_close(*out);
    *out = NULL;
    return s;
}
