/* blob.c: named tensors in one checksummed, mapped file. */
#include "blob.h"

#include <stdlib.h>
#include <string.h>

#include "../quantizer.h"
#include "mapping.h"

#define MAGIC "LBBLOB01"
#define FIXED 40u            /* bytes before the entries */
#define ALIGN 4096u
#define COUNT_MAX 1000000u

typedef struct entry {
    uint16_t name_bytes;
    uint8_t dtype, quantizer_bytes, rank;
    int64_t dims[LB_MAX_RANK];
    uint64_t offset, bytes, checksum;
    const char *name, *quantizer;     /* not terminated */
} entry;

static uint64_t aligned(uint64_t v) { return (v + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- writing -------------------------------------------------------------------------------------------------- */

static size_t entry_bytes(const entry *e) { return 8 + (size_t)e->rank * 8 + 24 + e->name_bytes + e->quantizer_bytes; }

static char *put_entry(char *p, const entry *e) {
    memset(p, 0, 8);
    memcpy(p, &e->name_bytes, 2);
    p[2] = (char)e->dtype;
    p[3] = (char)e->quantizer_bytes;
    p[4] = (char)e->rank;
    memcpy(p + 8, e->dims, (size_t)e->rank * 8);
    p += 8 + (size_t)e->rank * 8;
    memcpy(p, &e->offset, 8);
    memcpy(p + 8, &e->bytes, 8);
    memcpy(p + 16, &e->checksum, 8);
    memcpy(p + 24, e->name, e->name_bytes);
    memcpy(p + 24 + e->name_bytes, e->quantizer, e->quantizer_bytes);
    return p + 24 + e->name_bytes + e->quantizer_bytes;
}

static lb_status describe(const lb_named *n, entry *e) {
    const lb_tensor *t = n->tensor;
    if (t->layout)
        return lb_fail(LB_EUNSUPPORTED, "blob: tensor %s is repacked (%s); save the native one", n->name, t->layout);
    if (strlen(n->name) > 4096) return lb_fail(LB_EINVAL, "blob: a tensor's name is longer than 4096 bytes");
    memset(e, 0, sizeof *e);
    e->name = n->name;
    e->name_bytes = (uint16_t)strlen(n->name);
    e->quantizer = t->quantizer ? t->quantizer->name : "";
    e->quantizer_bytes = (uint8_t)strlen(e->quantizer);
    e->dtype = (uint8_t)t->dtype;
    e->rank = (uint8_t)t->rank;
    memcpy(e->dims, t->dims, sizeof t->dims[0] * (size_t)t->rank);
    e->bytes = lb_tensor_size_bytes(t);
    return LB_OK;
}

/* Writes a tensor's data at its aligned offset and notes where it is. */
static lb_status write_data(lb_outfile *f, const lb_tensor *t, entry *e) {
    static const char zeros[ALIGN];
    lb_tensor *dense = NULL;
    lb_status s = LB_OK;
    if (!lb_tensor_is_dense(t)) s = lb_tensor_clone(t, &dense);
    const void *data = s ? NULL : lb_tensor_data(dense ? dense : t);
    if (!s) s = lb_outfile_write(f, zeros, aligned(f->written) - f->written);
    e->offset = f->written;
    if (!s) e->checksum = lb_checksum64(data, e->bytes);
    if (!s) s = lb_outfile_write(f, data, e->bytes);
    lb_tensor_release(dense);
    return s;
}

lb_status lb_blob_save(const char *path, const lb_named *list, int count) {
    lb_outfile f = { .fd = -1 };
    entry *entries = calloc((size_t)count + 1, sizeof *entries);
    char *head = NULL;
    uint64_t bytes = FIXED;
    lb_status s = entries ? LB_OK : lb_fail(LB_ENOMEM, "not enough memory");
    for (int i = 0; i < count && !s; i++) {
        s = describe(&list[i], &entries[i]);
        bytes += entry_bytes(&entries[i]);
    }
    if (!s && !(head = calloc(1, bytes))) s = lb_fail(LB_ENOMEM, "not enough memory");
    if (!s) s = lb_outfile_open(path, &f);
    if (!s) s = lb_outfile_write(&f, head, bytes);
    for (int i = 0; i < count && !s; i++) s = write_data(&f, list[i].tensor, &entries[i]);
    if (!s) {
        char *p = head + FIXED;
        uint32_t n = (uint32_t)count;
        for (int i = 0; i < count; i++) p = put_entry(p, &entries[i]);
        uint64_t sum = lb_checksum64(head + FIXED, bytes - FIXED);
        memcpy(head, MAGIC, 8);
        memcpy(head + 8, &n, 4);
        memcpy(head + 16, &bytes, 8);
        memcpy(head + 24, &f.written, 8);
        memcpy(head + 32, &sum, 8);
        s = lb_outfile_patch(&f, 0, head, bytes);
    }
    if (!s) s = lb_outfile_commit(&f);
    lb_outfile_abort(&f);
    free(head);
    free(entries);
    return s;
}

/* ---- mapping -------------------------------------------------------------------------------------------------- */

static lb_status damaged(const char *path, const char *what) {
    return lb_fail(LB_EIO, "%s: damaged blob: %s", path, what);
}

static lb_status get_entry(const char *path, const char *p, uint64_t left, entry *e, size_t *used) {
    if (left < 8) return damaged(path, "its entries end too early");
    memset(e, 0, sizeof *e);
    memcpy(&e->name_bytes, p, 2);
    e->dtype = (uint8_t)p[2];
    e->quantizer_bytes = (uint8_t)p[3];
    e->rank = (uint8_t)p[4];
    if (e->rank < 1 || e->rank > LB_MAX_RANK || e->dtype >= LB_DTYPE_COUNT)
        return damaged(path, "an entry makes no sense");
    *used = entry_bytes(e);
    if (*used > left) return damaged(path, "its entries end too early");
    memcpy(e->dims, p + 8, (size_t)e->rank * 8);
    p += 8 + (size_t)e->rank * 8;
    memcpy(&e->offset, p, 8);
    memcpy(&e->bytes, p + 8, 8);
    memcpy(&e->checksum, p + 16, 8);
    e->name = p + 24;
    e->quantizer = e->name + e->name_bytes;
    return LB_OK;
}

static lb_status wrap(const char *path, lb_buffer *b, const entry *e, bool verify, char **name, lb_tensor **out) {
    const lb_quantizer *q = NULL;
    char recipe[256];
    if (e->offset > b->size_bytes || e->bytes > b->size_bytes - e->offset)
        return damaged(path, "a tensor lies outside of the file");
    memcpy(recipe, e->quantizer, e->quantizer_bytes);
    recipe[e->quantizer_bytes] = 0;
    if ((e->dtype == LB_QUANT) != (e->quantizer_bytes > 0)) return damaged(path, "an entry makes no sense");
    lb_status s = e->dtype == LB_QUANT ? lb_quantizer_find(recipe, &q) : LB_OK;
    if (s) return s;
    if (!(*name = strndup(e->name, e->name_bytes))) return lb_fail(LB_ENOMEM, "not enough memory");
    if ((s = lb_tensor_wrap(b, e->offset, (lb_dtype)e->dtype, q, e->rank, e->dims, out))) return s;
    if (lb_tensor_size_bytes(*out) != e->bytes) return damaged(path, "a tensor's size contradicts its shape");
    if (verify && lb_checksum64(lb_tensor_data(*out), e->bytes) != e->checksum)
        return lb_fail(LB_EIO, "%s: tensor %s is damaged: its checksum differs", path, *name);
    return LB_OK;
}

lb_status lb_blob_map(const char *path, lb_device *d, bool verify, lb_blob *out) {
    lb_buffer *b = NULL;
    uint64_t head = 0, bytes = 0, sum = 0;
    uint32_t count = 0;
    memset(out, 0, sizeof *out);
    lb_status s = lb_map_file(path, d, FIXED, "a blob", &b);
    if (s) return s;
    const char *p = b->data;
    memcpy(&count, p + 8, 4);
    memcpy(&head, p + 16, 8);
    memcpy(&bytes, p + 24, 8);
    memcpy(&sum, p + 32, 8);
    if (memcmp(p, MAGIC, 8) != 0) s = damaged(path, "its first bytes are wrong");
    else if (bytes != b->size_bytes || head < FIXED || head > bytes || count > COUNT_MAX)
        s = damaged(path, "its sizes are wrong");
    else if (lb_checksum64(p + FIXED, head - FIXED) != sum) s = damaged(path, "the checksum of its entries differs");
    if (!s) {
        out->names = calloc(count + 1u, sizeof *out->names);
        out->tensors = calloc(count + 1u, sizeof *out->tensors);
        if (!out->names || !out->tensors) s = lb_fail(LB_ENOMEM, "not enough memory");
    }
    uint64_t at = FIXED;
    for (uint32_t i = 0; i < count && !s; i++) {
        entry e;
        size_t used = 0;
        s = get_entry(path, p + at, head - at, &e, &used);
        out->count = (int)i + 1;
        if (!s) s = wrap(path, b, &e, verify, &out->names[i], &out->tensors[i]);
        at += used;
    }
    lb_buffer_release(b);
    if (s) lb_blob_done(out);
    return s;
}

void lb_blob_done(lb_blob *b) {
    for (int i = 0; i < b->count; i++) {
        free(b->names[i]);
        lb_tensor_release(b->tensors[i]);
    }
    free(b->names);
    free(b->tensors);
    memset(b, 0, sizeof *b);
}
