/* safetensors_write.c: writing safetensors, in one file or in shards with an index. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "json.h"
#include "model_writer.h"
#include "safetensors.h"

/* Elements are written at multiples of their size where the order of the tensors allows it: the data begin at one
 * of 64. */
#define HEAD_ALIGNMENT 64u

LB_PRINTF(2, 3) static void put_format(lb_grow *g, const char *fmt, ...) {
    char text[128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    lb_grow_text(g, text);
}

static void put_quoted(lb_grow *g, const char *text, size_t bytes) {
    lb_grow_text(g, "\"");
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') put_format(g, "\\%c", c);
        else if (c < 0x20) put_format(g, "\\u%04x", c);
        else lb_grow_put(g, text + i, 1);
    }
    lb_grow_text(g, "\"");
}

static void put_metadata(lb_grow *g, const lb_meta *metas, uint32_t count) {
    if (!count) return;
    lb_grow_text(g, "\"__metadata__\":{");
    for (uint32_t i = 0; i < count; i++) {
        if (i) lb_grow_text(g, ",");
        put_quoted(g, metas[i].key, strlen(metas[i].key));
        lb_grow_text(g, ":");
        put_quoted(g, (const char *)metas[i].data, metas[i].bytes);
    }
    lb_grow_text(g, "}");
}

static void put_entry(lb_grow *g, const lb_stored *t) {
    put_quoted(g, t->name, strlen(t->name));
    put_format(g, ":{\"dtype\":\"%s\",\"shape\":[", t->type->name);
    for (int i = 0; i < t->rank; i++) put_format(g, "%s%lld", i ? "," : "", (long long)t->dims[i]);
    put_format(g, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)t->offset,
               (unsigned long long)(t->offset + t->bytes));
}

static lb_status write_head(lb_model_writer *w, const lb_meta *metas, uint32_t count, int p) {
    lb_grow g = { 0 };
    uint64_t n = 0, data = lb_model_writer_data_bytes(w, p, 1);
    lb_grow_put(&g, &n, 8);
    lb_grow_text(&g, "{");
    put_metadata(&g, metas, count);
    bool first = count == 0;
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->tensors[i].part != p) continue;
        if (!first) lb_grow_text(&g, ",");
        put_entry(&g, &w->tensors[i]);
        first = false;
    }
    lb_grow_text(&g, "}");
    while (g.bytes % HEAD_ALIGNMENT && !g.failed) lb_grow_text(&g, " ");
    n = g.bytes - 8;
    if (!g.failed) memcpy(g.at, &n, 8);
    lb_status s = LB_OK;
    if (g.failed) s = lb_fail(LB_ENOMEM, "not enough memory to write %s", w->path);
    else if (n > LB_SAFETENSORS_HEAD_MAX)
        s = lb_fail(LB_EINVAL, "%s: its header would have more than the 100 MB that are allowed", w->path);
    else s = lb_json_check(w->path, g.at + 8, n, UINT64_MAX);
    if (!s) s = lb_model_writer_head(w, p, g.at, g.bytes, data);
    free(g.at);
    return s;
}

/* The index of the shards, for lb_model_writer_finish. */
static lb_status make_index(lb_model_writer *w) {
    lb_grow g = { 0 };
    uint64_t total = 0;
    size_t n = strlen(w->path), e = strlen(".safetensors");
    bool has = n > e && strcmp(w->path + n - e, ".safetensors") == 0;
    for (uint32_t i = 0; i < w->count; i++) total += w->tensors[i].bytes;
    put_format(&g, "{\"metadata\":{\"total_size\":%llu},\"weight_map\":{", (unsigned long long)total);
    for (uint32_t i = 0; i < w->count; i++) {
        const char *path = w->part_paths[w->tensors[i].part], *slash = strrchr(path, '/');
        lb_grow_text(&g, i ? ",\n" : "\n");
        put_quoted(&g, w->tensors[i].name, strlen(w->tensors[i].name));
        lb_grow_text(&g, ":");
        put_quoted(&g, slash ? slash + 1 : path, strlen(slash ? slash + 1 : path));
    }
    lb_grow_put(&g, "}}\n", 4);                /* with its end */
    w->index = g.at;
    w->index_path = malloc(n + 32);
    if (g.failed || !w->index_path) return lb_fail(LB_ENOMEM, "not enough memory to write %s", w->path);
    snprintf(w->index_path, n + 32, "%.*s.safetensors.index.json", (int)(has ? n - e : n), w->path);
    return LB_OK;
}

static lb_status check_metas(const char *path, const lb_meta *metas, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (metas[i].type != LB_META_STRING)
            return lb_fail(LB_EINVAL, "%s: metadata %s is %s; safetensors holds strings only", path, metas[i].key,
                           lb_meta_type_name(metas[i].type));
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(metas[k].key, metas[i].key) == 0)
                return lb_fail(LB_EINVAL, "%s: metadata %s is given twice", path, metas[i].key);
    }
    return LB_OK;
}

lb_status lb_safetensors_create(const char *path, const lb_meta *metas, uint32_t meta_count, const lb_stored *tensors,
                                uint32_t count, lb_writer_options o, lb_model_writer **out) {
    *out = NULL;
    if (o.version) return lb_fail(LB_EINVAL, "%s: safetensors has no versions", path);
    lb_status s = check_metas(path, metas, meta_count);
    for (uint32_t i = 0; i < count && !s; i++) {
        if (tensors[i].type && tensors[i].type->id >= 0)
            s = lb_fail(LB_EINVAL, "%s: %s is no type of safetensors", path, tensors[i].type->name);
        if (strcmp(tensors[i].name, "__metadata__") == 0)
            s = lb_fail(LB_EINVAL, "%s: a tensor cannot be named __metadata__", path);
    }
    if (s || (s = lb_model_writer_new(path, ".safetensors", tensors, count, o, 1, out))) return s;
    for (int p = 0; p < (*out)->part_count && !s; p++) s = write_head(*out, metas, meta_count, p);
    if (!s && (*out)->part_count > 1) s = make_index(*out);
    if (!s) return LB_OK;
    lb_model_writer_finish(*out, false);
    *out = NULL;
    return s;
}
