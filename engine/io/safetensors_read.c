/* safetensors_read.c: reading safetensors. Nothing in the file is believed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "mapping.h"
#include "safetensors.h"

/* A header that is being read. */
typedef struct header {
    lb_model_file *f;
    const char *path;
    lb_json j;
    uint64_t data, data_bytes;       /* where the data begin, how many there are */
    uint32_t first;                  /* tensor of this part, in f->tensors */
    size_t room, meta_room;
    bool has_meta;
} header;

/* ---- one entry -------------------------------------------------------------------------------------------------- */

static void read_dtype(header *h, lb_stored *t) {
    lb_json_text text;
    char name[16];
    if (!lb_json_string(&h->j, &text)) return;
    snprintf(name, sizeof name, "%.*s", (int)(text.bytes < sizeof name ? text.bytes : 0), text.raw);
    t->type = lb_safetensors_type_named(name);
    if (!t->type || strcmp(t->type->name, name) != 0)
        lb_json_fail(&h->j, "tensor %s has the unknown dtype \"%s\"", lb_shown(t->name, strlen(t->name)),
                     lb_shown(text.raw, text.bytes));
}

static void read_shape(header *h, lb_stored *t) {
    lb_json_array(&h->j);
    while (lb_json_item(&h->j)) {
        uint64_t v = lb_json_u64(&h->j);
        if (v > INT64_MAX || t->rank == LB_MAX_RANK) {
            lb_json_fail(&h->j, "the shape of tensor %s has a size beyond 2^63 or more than %d of them",
                         lb_shown(t->name, strlen(t->name)), LB_MAX_RANK);
            return;
        }
        t->dims[t->rank++] = (int64_t)v;
    }
}

static void read_offsets(header *h, uint64_t ends[2]) {
    int n = 0;
    lb_json_array(&h->j);
    while (lb_json_item(&h->j)) {
        uint64_t v = lb_json_u64(&h->j);
        if (n < 2) ends[n] = v;
        n++;
    }
    if (!h->j.status && n != 2)
        lb_json_fail(&h->j, "data_offsets have %d numbers, a begin and an end were expected", n);
}

/* Begin, end and size must agree, inside of the data. */
static void check_size(header *h, lb_stored *t, const uint64_t ends[2]) {
    const char *name = lb_shown(t->name, strlen(t->name));
    uint64_t elements = 1, bytes;
    if (ends[1] < ends[0] || ends[1] > h->data_bytes) {
        lb_json_fail(&h->j, "tensor %s has data from %llu to %llu; the file has %llu bytes of data", name,
                     (unsigned long long)ends[0], (unsigned long long)ends[1], (unsigned long long)h->data_bytes);
        return;
    }
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(elements, (uint64_t)t->dims[i], &elements)) {
            lb_json_fail(&h->j, "the shape of tensor %s has more than 2^64 elements", name);
            return;
        }
    if (elements % (unsigned)t->type->block)
        lb_json_fail(&h->j, "tensor %s has %llu elements, which do not fill whole bytes of %s", name,
                     (unsigned long long)elements, t->type->name);
    else if (__builtin_mul_overflow(elements / (unsigned)t->type->block, (uint64_t)t->type->bytes, &bytes)
             || bytes != ends[1] - ends[0])
        lb_json_fail(&h->j, "tensor %s: its shape and dtype %s do not give the %llu bytes of its data_offsets", name,
                     t->type->name, (unsigned long long)(ends[1] - ends[0]));
    t->offset = h->data + ends[0];
    t->bytes = ends[1] - ends[0];
}

static void read_entry(header *h, lb_stored *t) {
    static const char *const names[] = { "dtype", "shape", "data_offsets" };
    uint64_t ends[2] = { 0, 0 };
    unsigned seen = 0;
    lb_json_text key;
    lb_json_object(&h->j);
    while (lb_json_key(&h->j, &key)) {
        int i = 0;
        while (i < 3 && !lb_json_is(&key, names[i])) i++;
        if (i < 3 && seen & 1u << i) lb_json_fail(&h->j, "\"%s\" is there twice", names[i]);
        else if (i == 0) read_dtype(h, t);
        else if (i == 1) read_shape(h, t);
        else if (i == 2) read_offsets(h, ends);
        else lb_json_skip(&h->j);
        seen |= 1u << i;
    }
    if (!h->j.status && (seen & 7) != 7)
        lb_json_fail(&h->j, "tensor %s lacks dtype, shape or data_offsets", lb_shown(t->name, strlen(t->name)));
    if (!h->j.status) check_size(h, t, ends);
}

/* ---- the header ------------------------------------------------------------------------------------------------- */

static bool no_memory(header *h) {
    h->j.status = lb_fail(LB_ENOMEM, "not enough memory for the header of %s", h->path);
    return false;
}

/* A list with room for one more; its new room is cleared. */
static void *grown(void *list, size_t count, size_t *room, size_t size) {
    if (count < *room) return list;
    size_t more = *room ? *room * 2 : 16;
    char *p = realloc(list, more * size);
    if (!p) return NULL;
    memset(p + count * size, 0, (more - count) * size);
    *room = more;
    return p;
}

static bool has_control(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return true;
    return false;
}

static bool read_tensor(header *h, const lb_json_text *key) {
    lb_model_file *f = h->f;
    size_t bytes;
    if (f->count == INT32_MAX) return lb_json_fail(&h->j, "there are too many tensors"), false;
    lb_stored *list = grown(f->tensors, f->count, &h->room, sizeof *list);
    if (!list) return no_memory(h);
    f->tensors = list;
    lb_stored *t = &list[f->count];
    memset(t, 0, sizeof *t);
    if (!(t->name = lb_json_unescape(key, &f->arena, &bytes))) return no_memory(h);
    if (!bytes || has_control(t->name, bytes))
        return lb_json_fail(&h->j, "the tensor's name \"%s\" is empty or has a control character in it",
                            lb_shown(t->name, bytes)),
               false;
    t->part = f->part_count - 1;
    f->count++;
    read_entry(h, t);
    return !h->j.status;
}

static int meta_by_key(const void *a, const void *b) {
    return strcmp(((const lb_meta *)a)->key, ((const lb_meta *)b)->key);
}

/* Strings to strings; those of the first part are kept, sorted. */
static void read_metadata(header *h) {
    lb_model_file *f = h->f;
    lb_json_text key, value;
    size_t bytes;
    bool keep = f->part_count == 1;
    if (h->has_meta) lb_json_fail(&h->j, "__metadata__ is there twice");
    h->has_meta = true;
    lb_json_object(&h->j);
    while (lb_json_key(&h->j, &key)) {
        if (!lb_json_string(&h->j, &value) || !keep) continue;
        lb_meta *list = grown(f->metas, f->meta_count, &h->meta_room, sizeof *list);
        if (!list) {
            no_memory(h);
            return;
        }
        f->metas = list;
        lb_meta *m = &list[f->meta_count++];
        m->type = m->item = LB_META_STRING;
        m->count = 1;
        m->key = lb_json_unescape(&key, &f->arena, &bytes);
        if (m->key && strlen(m->key) != bytes) lb_json_fail(&h->j, "a key of __metadata__ has a zero byte in it");
        m->data = (const uint8_t *)lb_json_unescape(&value, &f->arena, &bytes);
        m->bytes = bytes;
        if (!m->key || !m->data) {
            no_memory(h);
            return;
        }
    }
    if (h->j.status) return;
    if (keep && f->meta_count) qsort(f->metas, f->meta_count, sizeof *f->metas, meta_by_key);
    for (uint32_t i = 1; i < f->meta_count && keep; i++)
        if (strcmp(f->metas[i - 1].key, f->metas[i].key) == 0)
            lb_json_fail(&h->j, "__metadata__ has the key %s twice",
                         lb_shown(f->metas[i].key, strlen(f->metas[i].key)));
}

static int by_offset(const void *a, const void *b) {
    const lb_stored *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The data must be covered without holes and overlaps. Sorts the part's tensors by offset. */
static lb_status check_cover(header *h) {
    lb_stored *list = h->f->tensors ? h->f->tensors + h->first : NULL;
    uint32_t n = h->f->count - h->first;
    uint64_t at = h->data;
    if (n) qsort(list, n, sizeof *list, by_offset);
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].offset != at)
            return lb_fail(
                LB_EIO,
                "%s: damaged safetensors file: the data of tensor %s begin at byte %llu, those before it end "
                "at %llu: there must be no holes and no overlaps",
                h->path, lb_shown(list[i].name, strlen(list[i].name)), (unsigned long long)list[i].offset,
                (unsigned long long)at);
        at += list[i].bytes;
    }
    if (at != h->data + h->data_bytes)
        return lb_fail(LB_EIO, "%s: damaged safetensors file: its tensors end at byte %llu, the file at %llu", h->path,
                       (unsigned long long)at, (unsigned long long)(h->data + h->data_bytes));
    return LB_OK;
}

/* Reads a part, which is the next of f. The buffer is taken over. */
static lb_status read_part(lb_model_file *f, const char *path, lb_buffer *b) {
    header h = { .f = f, .path = path, .first = f->count, .room = f->count };
    uint64_t n = 0, file = b->size_bytes;
    const char *p = b->data;
    lb_json_text key;
    f->parts[f->part_count] = b;
    f->part_paths[f->part_count++] = strdup(path);
    if (file >= 8) memcpy(&n, p, 8);
    if (file < 8 || n > LB_SAFETENSORS_HEAD_MAX || n > file - 8)
        return lb_fail(
            LB_EIO,
            "%s: no safetensors file, or damaged: its first 8 bytes claim a header of %llu bytes; the file has "
            "%llu bytes, and %u are the most",
            path, (unsigned long long)n, (unsigned long long)file, LB_SAFETENSORS_HEAD_MAX);
    if (!n || p[8] != '{')
        return lb_fail(LB_EIO, "%s: no safetensors file, or damaged: its header begins with \"%s\", '{' was expected",
                       path, lb_shown(p + 8, n ? 1 : 0));
    h.data = 8 + n;
    h.data_bytes = file - h.data;
    lb_json_begin(&h.j, path, 8, p + 8, n);
    lb_json_object(&h.j);
    while (lb_json_key(&h.j, &key)) {
        if (lb_json_is(&key, "__metadata__")) read_metadata(&h);
        else if (!read_tensor(&h, &key)) break;
    }
    lb_status s = lb_json_end(&h.j);
    return s ? s : check_cover(&h);
}

static lb_status finish(lb_status s, lb_model_file **out) {
    if (!s) s = lb_model_file_index(*out);
    if (!s) s = lb_safetensors_apply_recipes(*out);
    if (!s) return LB_OK;
    lb_model_file_close(*out);
    *out = NULL;
    return s;
}

lb_status lb_safetensors_open_memory(const char *name, lb_buffer *b, lb_model_file **out) {
    lb_status s = lb_model_file_new(name, "safetensors", 1, out);
    if (s) return s;
    return finish(read_part(*out, name, lb_buffer_retain(b)), out);
}

lb_status lb_safetensors_open(const char *path, lb_device *d, lb_model_file **out) {
    lb_buffer *b;
    *out = NULL;
    lb_status s = lb_map_file(path, d, 9, "a safetensors file", &b);
    if (s) return s;
    if ((s = lb_model_file_new(path, "safetensors", 1, out))) {
        lb_buffer_release(b);
        return s;
    }
    return finish(read_part(*out, path, b), out);
}

/* ---- shards ----------------------------------------------------------------------------------------------------- */

lb_status lb_safetensors_read_index(const char *path, const char *text, size_t bytes, lb_arena *arena,
                                    lb_shard_entry **list, uint32_t *count) {
    lb_json j;
    lb_json_text key, name, file;
    size_t room = 0, n;
    bool seen = false;
    *list = NULL;
    *count = 0;
    lb_json_begin(&j, path, 0, text, bytes);
    lb_json_object(&j);
    while (lb_json_key(&j, &key)) {
        if (!lb_json_is(&key, "weight_map")) {
            lb_json_skip(&j);
            continue;
        }
        if (seen) lb_json_fail(&j, "weight_map is there twice");
        seen = true;
        lb_json_object(&j);
        while (lb_json_key(&j, &name)) {
            if (!lb_json_string(&j, &file)) break;
            void *more = grown(*list, *count, &room, sizeof **list);
            if (!more) return lb_fail(LB_ENOMEM, "not enough memory for %s", path);
            *list = more;
            lb_shard_entry *e = &(*list)[*count];
            if (!(e->name = lb_json_unescape(&name, arena, &n))) return LB_ENOMEM;
            if (strlen(e->name) != n) lb_json_fail(&j, "the name of a tensor has a zero byte in it");
            if (!(e->file = lb_json_unescape(&file, arena, &n))) return LB_ENOMEM;
            if (!n || has_control(e->file, n) || strchr(e->file, '/') || strchr(e->file, '\\')
                || strcmp(e->file, "..") == 0 || strcmp(e->file, ".") == 0)
                lb_json_fail(&j, "weight_map names the file \"%s\"; a file in the same folder was expected",
                             lb_shown(e->file, n));
            (*count)++;
        }
    }
    lb_status s = lb_json_end(&j);
    if (!s && !seen) s = lb_fail(LB_EIO, "%s: no index of a sharded model: it has no weight_map", path);
    return s;
}

static int by_file(const void *a, const void *b) {
    const lb_shard_entry *x = a, *y = b;
    int order = strcmp(x->file, y->file);
    return order ? order : strcmp(x->name, y->name);
}

static lb_status open_shards(const char *path, lb_device *d, const lb_shard_entry *list, uint32_t count,
                             lb_model_file **out) {
    int parts = 0;
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    for (uint32_t i = 0; i < count; i++) parts += i == 0 || strcmp(list[i].file, list[i - 1].file) != 0;
    lb_status s = lb_model_file_new(path, "safetensors", parts ? parts : 1, out);
    for (uint32_t i = 0; i < count && !s; i++) {
        if (i && strcmp(list[i].file, list[i - 1].file) == 0) continue;
        lb_buffer *b;
        size_t room = strlen(path) + strlen(list[i].file) + 1;
        char *shard = malloc(room);
        if (!shard) return lb_fail(LB_ENOMEM, "not enough memory to open %s", path);
        snprintf(shard, room, "%.*s%s", folder, path, list[i].file);
        s = lb_map_file(shard, d, 9, "a safetensors file", &b);
        if (s) lb_fail_in(s, "%s: its shard", path);
        else s = read_part(*out, shard, b);
        free(shard);
    }
    return s;
}

/* Every name of the index must be in the file that it says. */
static lb_status check_map(const lb_model_file *f, const lb_shard_entry *list, uint32_t count) {
    int part = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i && strcmp(list[i].file, list[i - 1].file) != 0) part++;
        const lb_stored *t = lb_model_file_find(f, list[i].name);
        if (i && strcmp(list[i].file, list[i - 1].file) == 0 && strcmp(list[i].name, list[i - 1].name) == 0)
            return lb_fail(LB_EIO, "%s: weight_map has tensor %s twice", f->path,
                           lb_shown(list[i].name, strlen(list[i].name)));
        if (!t || t->part != part)
            return lb_fail(LB_EIO, "%s: weight_map says that tensor %s is in %s; it is not", f->path,
                           lb_shown(list[i].name, strlen(list[i].name)), list[i].file);
    }
    return LB_OK;
}

lb_status lb_safetensors_open_index(const char *path, lb_device *d, lb_model_file **out) {
    lb_arena arena = { 0 };
    lb_shard_entry *list = NULL;
    uint32_t count = 0;
    char *text = NULL;
    size_t bytes = 0;
    *out = NULL;
    lb_status s = lb_file_read(path, LB_SAFETENSORS_HEAD_MAX, &text, &bytes);
    if (!s) s = lb_safetensors_read_index(path, text, bytes, &arena, &list, &count);
    if (!s) {
        if (count) qsort(list, count, sizeof *list, by_file);
        s = open_shards(path, d, list, count, out);
        if (!s) s = lb_model_file_index(*out);
        if (!s) s = check_map(*out, list, count);
        if (!s) s = lb_safetensors_apply_recipes(*out);
        if (s) {
            lb_model_file_close(*out);
            *out = NULL;
        }
    }
    free(text);
    free(list);
    lb_arena_done(&arena);
    return s;
}
