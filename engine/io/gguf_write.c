/* gguf_write.c: writing GGUF. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf.h"
#include "grow.h"
#include "model_writer.h"

static void put_u32(lb_grow *g, uint32_t v) { lb_grow_put(g, &v, 4); }
static void put_u64(lb_grow *g, uint64_t v) { lb_grow_put(g, &v, 8); }
static void put_string(lb_grow *g, const char *text, uint64_t bytes) {
    put_u64(g, bytes);
    lb_grow_put(g, text, bytes);
}

static void put_meta(lb_grow *g, const lb_meta *m) {
    put_string(g, m->key, strlen(m->key));
    put_u32(g, m->type);
    if (m->type == LB_META_ARRAY) {
        put_u32(g, m->item);
        put_u64(g, m->count);
    } else if (m->type == LB_META_STRING) {
        put_u64(g, m->bytes);
    }
    lb_grow_put(g, m->data, m->bytes);
}

/* The parts' own entries, and general.alignment, which goes first. */
static bool is_ours(const char *key) { return strncmp(key, "split.", 6) == 0; }

static int by_key(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static lb_status check_metas(const char *path, const lb_meta *list, uint32_t count, uint32_t *align) {
    const char **keys = malloc(((size_t)count + 1) * sizeof *keys);
    lb_status s = keys ? LB_OK : lb_fail(LB_ENOMEM, "not enough memory to write %s", path);
    *align = LB_GGUF_ALIGNMENT;
    for (uint32_t i = 0; i < count && !s; i++) {
        const lb_meta *m = &list[i];
        keys[i] = m->key;
        if (!m->key[0]) s = lb_fail(LB_EINVAL, "%s: a metadata key is empty", path);
        else if ((unsigned)m->type >= LB_META_COUNT
                 || (m->type == LB_META_ARRAY && ((unsigned)m->item >= LB_META_COUNT || m->item == LB_META_ARRAY)))
            s = lb_fail(LB_EINVAL, "%s: metadata %s has an unknown type", path, m->key);
        else if (strcmp(m->key, "general.alignment") == 0) {
            double v = lb_meta_number(m, 0);
            if (m->type != LB_META_U32 || !(v >= 8) || ((uint32_t)v & ((uint32_t)v - 1)))
                s = lb_fail(LB_EINVAL, "%s: general.alignment must be a power of two from 8 on, of type u32", path);
            else *align = (uint32_t)v;
        }
    }
    if (!s) qsort(keys, count, sizeof *keys, by_key);
    for (uint32_t i = 1; i < count && !s; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0) s = lb_fail(LB_EINVAL, "%s: metadata %s is given twice", path, keys[i]);
    free(keys);
    return s;
}

static uint64_t put_metas(lb_grow *g, const lb_model_writer *w, const lb_meta *list, uint32_t count, int p) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < count && p == 0; i++) {
        if (is_ours(list[i].key)) continue;
        put_meta(g, &list[i]);
        n++;
    }
    if (w->part_count > 1) {
        uint16_t no = (uint16_t)p, of = (uint16_t)w->part_count;
        int32_t total = (int32_t)w->count;
        const lb_meta split[] = {
            { "split.no", LB_META_U16, LB_META_U16, 1, (const uint8_t *)&no, 2 },
            { "split.count", LB_META_U16, LB_META_U16, 1, (const uint8_t *)&of, 2 },
            { "split.tensors.count", LB_META_I32, LB_META_I32, 1, (const uint8_t *)&total, 4 },
        };
        for (int i = 0; i < 3; i++) put_meta(g, &split[i]);
        n += 3;
        for (uint32_t i = 0; i < count && p > 0; i++) {      /* every part is padded alike */
            if (strcmp(list[i].key, "general.alignment") != 0) continue;
            put_meta(g, &list[i]);
            n++;
        }
    }
    return n;
}

static uint64_t put_tensors(lb_grow *g, const lb_model_writer *w, int p) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const lb_stored *t = &w->tensors[i];
        if (t->part != p) continue;
        put_string(g, t->name, strlen(t->name));
        put_u32(g, (uint32_t)t->rank);
        for (int k = t->rank - 1; k >= 0; k--) put_u64(g, (uint64_t)t->dims[k]);
        put_u32(g, (uint32_t)t->type->id);
        put_u64(g, t->offset);
        n++;
    }
    return n;
}

static lb_status write_head(lb_model_writer *w, const lb_meta *metas, uint32_t count, uint32_t version, uint32_t align,
                            int p) {
    lb_grow g = { 0 };
    static const char zeros[64];
    uint64_t counts[2] = { 0, 0 };
    uint64_t data = lb_model_writer_data_bytes(w, p, align);
    lb_grow_text(&g, "GGUF");
    put_u32(&g, version);
    lb_grow_put(&g, counts, 16);
    counts[1] = put_metas(&g, w, metas, count, p);
    counts[0] = put_tensors(&g, w, p);
    while (g.bytes % align && !g.failed) {
        size_t pad = align - g.bytes % align;
        lb_grow_put(&g, zeros, pad < sizeof zeros ? pad : sizeof zeros);
    }
    if (!g.failed) memcpy(g.at + 8, counts, 16);
    lb_status s = g.failed ? lb_fail(LB_ENOMEM, "not enough memory to write %s", w->path)
                           : lb_model_writer_head(w, p, g.at, g.bytes, data);
    free(g.at);
    return s;
}

lb_status lb_gguf_create(const char *path, const lb_meta *metas, uint32_t meta_count, const lb_stored *tensors,
                         uint32_t count, lb_writer_options o, lb_model_writer **out) {
    uint32_t align, version = o.version ? o.version : 3;
    *out = NULL;
    if (version < 2 || version > 3)
        return lb_fail(LB_EINVAL, "%s: GGUF version %u: 2 or 3 can be written", path, version);
    lb_status s = check_metas(path, metas, meta_count, &align);
    for (uint32_t i = 0; i < count && !s; i++) {
        const lb_stored *t = &tensors[i];
        const char *name = lb_shown(t->name, strlen(t->name));
        if (strlen(t->name) > LB_GGUF_NAME_MAX)
            s = lb_fail(LB_EINVAL, "%s: the name %s has more than the 63 bytes that GGUF allows", path, name);
        else if (t->rank > LB_GGUF_MAX_RANK)
            s = lb_fail(LB_EINVAL, "%s: tensor %s has %d dimensions; GGUF allows 4", path, name, t->rank);
        else if (t->type && t->type->id < 0)
            s = lb_fail(LB_EINVAL, "%s: tensor %s: %s is no type of GGUF", path, name, t->type->name);
    }
    if (s || (s = lb_model_writer_new(path, ".gguf", tensors, count, o, align, out))) return s;
    for (int p = 0; p < (*out)->part_count && !s; p++) s = write_head(*out, metas, meta_count, version, align, p);
    if (!s) return LB_OK;
    lb_model_writer_finish(*out, false);
    *out = NULL;
    return s;
}
