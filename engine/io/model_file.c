/* model_file.c: what model files have in common: names, views, metadata values. */
#include "model_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../quantizer.h"

static const struct { const char *name; size_t bytes; } meta_types[LB_META_COUNT] = {
    { "u8", 1 }, { "i8", 1 }, { "u16", 2 }, { "i16", 2 }, { "u32", 4 }, { "i32", 4 }, { "f32", 4 }, { "bool", 1 },
    { "string", 0 }, { "array", 0 }, { "u64", 8 }, { "i64", 8 }, { "f64", 8 },
};

const char *lb_meta_type_name(lb_meta_type t) { return (unsigned)t < LB_META_COUNT ? meta_types[t].name : "unknown"; }
size_t lb_meta_type_size(lb_meta_type t) { return (unsigned)t < LB_META_COUNT ? meta_types[t].bytes : 0; }
lb_meta_type lb_meta_type_parse(const char *name) {
    int t = 0;
    while (t < LB_META_COUNT && strcmp(meta_types[t].name, name) != 0) t++;
    return (lb_meta_type)t;
}

lb_status lb_model_file_new(const char *path, const char *format, int parts, lb_model_file **out) {
    lb_model_file *f = *out = calloc(1, sizeof *f);
    if (!f) return lb_fail(LB_ENOMEM, "not enough memory to open %s", path);
    f->format = format;
    f->path = strdup(path);
    f->parts = calloc((size_t)parts, sizeof *f->parts);
    f->part_paths = calloc((size_t)parts, sizeof *f->part_paths);
    if (f->path && f->parts && f->part_paths) return LB_OK;
    lb_model_file_close(f);
    *out = NULL;
    return lb_fail(LB_ENOMEM, "not enough memory to open %s", path);
}

void lb_model_file_close(lb_model_file *f) {
    if (!f) return;
    for (int i = 0; i < f->part_count; i++) {
        lb_buffer_release(f->parts[i]);
        free(f->part_paths[i]);
    }
    free(f->parts);
    free(f->part_paths);
    free(f->tensors);
    free(f->by_name);
    free(f->metas);
    free(f->path);
    lb_arena_done(&f->arena);
    free(f);
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b, void *tensors) {
    const lb_stored *t = tensors;
    return strcmp(t[*(const uint32_t *)a].name, t[*(const uint32_t *)b].name);
}

lb_status lb_model_file_index(lb_model_file *f) {
    f->by_name = malloc(((size_t)f->count + 1) * sizeof *f->by_name);
    if (!f->by_name) return lb_fail(LB_ENOMEM, "not enough memory for the names of %s", f->path);
    for (uint32_t i = 0; i < f->count; i++) f->by_name[i] = i;
    qsort_r(f->by_name, f->count, sizeof *f->by_name, by_name, f->tensors);
    for (uint32_t i = 1; i < f->count; i++) {
        const char *name = f->tensors[f->by_name[i]].name;
        if (strcmp(name, f->tensors[f->by_name[i - 1]].name) == 0)
            return lb_fail(LB_EIO, "%s: damaged file: two of its tensors have the name %s", f->path,
                           lb_shown(name, strlen(name)));
    }
    return LB_OK;
}

const lb_stored *lb_model_file_find(const lb_model_file *f, const char *name) {
    uint32_t lo = 0, hi = f->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const lb_stored *t = &f->tensors[f->by_name[mid]];
        int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

const lb_meta *lb_model_file_meta(const lb_model_file *f, const char *key) {
    for (uint32_t i = 0; i < f->meta_count; i++)
        if (strcmp(f->metas[i].key, key) == 0) return &f->metas[i];
    return NULL;
}

/* ---- tensors -------------------------------------------------------------------------------------------------- */

bool lb_file_type_takes(const lb_file_type *type, const lb_quantizer *q) {
    return type->dtype == LB_QUANT && strcmp(type->recipe, q->family->name) == 0;
}

lb_status lb_model_file_bytes(const lb_model_file *f, const lb_stored *t, lb_tensor **out) {
    int64_t bytes = (int64_t)t->bytes;
    return lb_tensor_wrap(f->parts[t->part], t->offset, LB_U8, NULL, 1, &bytes, out);
}

/* A tensor of its own with the stored bytes: views need aligned elements, and files do not promise them. */
static lb_status copied(const lb_model_file *f, const lb_stored *t, const lb_quantizer *q, lb_tensor **out) {
    lb_buffer *b = f->parts[t->part];
    lb_status s = lb_tensor_new(b->device, t->type->dtype, q, t->rank, t->dims, out);
    if (!s && lb_tensor_size_bytes(*out) != t->bytes) {
        lb_tensor_release(*out);
        *out = NULL;
        s = lb_fail(LB_EINTERNAL, "its bytes contradict its shape");
    }
    if (!s) memcpy(lb_tensor_data(*out), (const char *)b->data + t->offset, t->bytes);
    return s;
}

lb_status lb_model_file_tensor(const lb_model_file *f, const lb_stored *t, lb_tensor **out) {
    const lb_file_type *type = t->type;
    const lb_quantizer *q = NULL;
    const char *name = lb_shown(t->name, strlen(t->name));
    *out = NULL;
    if (type->dtype == LB_DTYPE_COUNT || (type->dtype == LB_QUANT && lb_quantizer_find(type->recipe, &q)))
        return lb_fail(LB_EUNSUPPORTED,
                       "%s: tensor %s is %s, which this build cannot compute with; its stored bytes can be "
                       "had as u8",
                       f->path, name, type->name);
    if (q && q->size_bytes(q, 1, type->block) != (size_t)type->bytes)
        return lb_fail(LB_EINTERNAL, "%s: format %s does not have the layout of %s", f->path, q->name, type->name);
    /* GGUF's blocks are read from anywhere; the planes of other formats begin at multiples of 64. */
    size_t align = q && strcmp(f->format, "gguf") != 0 ? 64 : lb_dtype_size(type->dtype);
    bool aligned = !align || ((uintptr_t)f->parts[t->part]->data + t->offset) % align == 0;
    int64_t row[2] = { 1, t->rank ? t->dims[0] : 1 };
    bool vector = q && t->rank < 2;               /* quantized tensors are matrices here */
    lb_status s = aligned ? lb_tensor_wrap(f->parts[t->part], t->offset, type->dtype, q, vector ? 2 : t->rank,
                                           vector ? row : t->dims, out)
                          : copied(f, t, q, out);
    if (s) return lb_fail_in(s, "%s: tensor %s", f->path, name);
    if (lb_tensor_size_bytes(*out) == t->bytes) return LB_OK;
    lb_tensor_release(*out);
    *out = NULL;
    return lb_fail(LB_EINTERNAL, "%s: tensor %s: its bytes contradict its shape", f->path, name);
}

/* ---- metadata ------------------------------------------------------------------------------------------------- */

bool lb_meta_next_string(const lb_meta *m, uint64_t *at, const char **text, uint64_t *bytes) {
    if (m->type != LB_META_ARRAY || m->item != LB_META_STRING || m->bytes - *at < 8) return false;
    memcpy(bytes, m->data + *at, 8);
    if (*bytes > m->bytes - *at - 8) return false;
    *text = (const char *)m->data + *at + 8;
    *at += 8 + *bytes;
    return true;
}

double lb_meta_number(const lb_meta *m, uint64_t i) {
    lb_meta_type type = m->type == LB_META_ARRAY ? m->item : m->type;
    size_t n = lb_meta_type_size(type);
    uint64_t u = 0;
    if (!n || i >= m->count) return NAN;
    memcpy(&u, m->data + i * n, n);
    switch (type) {
    case LB_META_I8: return (int8_t)u;
    case LB_META_I16: return (int16_t)u;
    case LB_META_I32: return (int32_t)u;
    case LB_META_I64: return (double)(int64_t)u;
    case LB_META_F32: return lb_f32_from_bits((uint32_t)u);
    case LB_META_F64: {
        double d;
        memcpy(&d, &u, 8);
        return d;
    }
    default: return (double)u;
    }
}
