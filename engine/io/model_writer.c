/* model_writer.c: writing model files, whatever their format. */
#include "../quantizer.h"
#include "model_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static lb_status no_memory(const char *path) { return lb_fail(LB_ENOMEM, "not enough memory to write %s", path); }

static uint64_t rounded(uint64_t v, uint64_t to) { return (v + to - 1) / to * to; }

/* Bytes of a tensor that is planned, or an error. */
static lb_status measure(const char *path, lb_stored *t) {
    int64_t elements = 1, columns = t->rank ? t->dims[t->rank - 1] : 1;
    const char *name = lb_shown(t->name, strlen(t->name));
    if (!t->name[0]) return lb_fail(LB_EINVAL, "%s: a tensor's name is empty", path);
    for (const char *p = t->name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return lb_fail(LB_EINVAL, "%s: the name %s of a tensor has a control character in it", path, name);
    if (!t->type) return lb_fail(LB_EINVAL, "%s: tensor %s has no type that this format knows", path, name);
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] < 0 || __builtin_mul_overflow(elements, t->dims[i], &elements))
            return lb_fail(LB_EINVAL, "%s: the sizes of tensor %s make no sense", path, name);
    if (columns % t->type->block)
        return lb_fail(LB_EINVAL, "%s: tensor %s: %lld columns are no multiple of the %d elements of a %s block", path,
                       name, (long long)columns, t->type->block, t->type->name);
    if (__builtin_mul_overflow((uint64_t)(elements / t->type->block), (uint64_t)t->type->bytes, &t->bytes)
        || t->bytes > (uint64_t)1 << 60)
        return lb_fail(LB_EINVAL, "%s: tensor %s is too large", path, name);
    return LB_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static lb_status check_names(const lb_model_writer *w) {
    const char **names = malloc(((size_t)w->count + 1) * sizeof *names);
    lb_status s = LB_OK;
    if (!names) return no_memory(w->path);
    for (uint32_t i = 0; i < w->count; i++) names[i] = w->tensors[i].name;
    qsort(names, w->count, sizeof *names, by_name);
    for (uint32_t i = 1; i < w->count && !s; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            s = lb_fail(LB_EINVAL, "%s: two tensors have the name %s", w->path, lb_shown(names[i], strlen(names[i])));
    free(names);
    return s;
}

/* Names of the parts: the path itself, or STEM-00001-of-0000N.ENDING. */
static lb_status name_parts(lb_model_writer *w, const char *ending) {
    size_t n = strlen(w->path), e = strlen(ending), stem = n > e && strcmp(w->path + n - e, ending) == 0 ? n - e : n;
    w->parts = calloc((size_t)w->part_count, sizeof *w->parts);
    w->part_paths = calloc((size_t)w->part_count, sizeof *w->part_paths);
    if (!w->parts || !w->part_paths) return no_memory(w->path);
    for (int i = 0; i < w->part_count; i++) {
        w->parts[i].fd = -1;
        if (!(w->part_paths[i] = malloc(n + e + 24))) return no_memory(w->path);
        if (w->part_count == 1) strcpy(w->part_paths[i], w->path);
        else
            snprintf(w->part_paths[i], n + e + 24, "%.*s-%05d-of-%05d%s", (int)stem, w->path, i + 1, w->part_count,
                     ending);
    }
    return LB_OK;
}

lb_status lb_model_writer_new(const char *path, const char *ending, const lb_stored *tensors, uint32_t count,
                              lb_writer_options o, uint64_t align, lb_model_writer **out) {
    lb_model_writer *w = *out = calloc(1, sizeof *w);
    if (!w) return no_memory(path);
    w->path = strdup(path);
    w->tensors = calloc((size_t)count + 1, sizeof *w->tensors);
    w->done = calloc((size_t)count + 1, sizeof *w->done);
    lb_status s = w->path && w->tensors && w->done ? LB_OK : no_memory(path);
    uint64_t running = 0;
    w->part_count = 1;
    for (uint32_t i = 0; i < count && !s; i++) {
        lb_stored *t = &w->tensors[i];
        *t = tensors[i];
        w->count++;
        if (!(t->name = lb_arena_text(&w->arena, t->name, strlen(t->name)))) s = LB_ENOMEM;
        if (s || (s = measure(path, t))) break;
        if (o.split_bytes && running && running + t->bytes > o.split_bytes) {
            w->part_count++;
            running = 0;
        }
        t->part = w->part_count - 1;
        t->offset = running;
        running = rounded(running + t->bytes, align);
    }
    if (!s && w->part_count > UINT16_MAX)
        s = lb_fail(LB_EINVAL, "%s: %d parts are too many; split less", path, w->part_count);
    if (!s) s = check_names(w);
    if (!s) s = name_parts(w, ending);
    if (!s) return LB_OK;
    w->part_count = w->parts && w->part_paths ? w->part_count : 0;
    lb_model_writer_finish(w, false);
    *out = NULL;
    return s;
}

uint64_t lb_model_writer_data_bytes(const lb_model_writer *w, int p, uint64_t align) {
    uint64_t end = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const lb_stored *t = &w->tensors[i];
        if (t->part == p && t->offset + t->bytes > end) end = t->offset + t->bytes;
    }
    return rounded(end, align);
}

/* One file replaces another at once; of several, a program that is killed on the way would leave some of each. */
static lb_status check_free(const lb_model_writer *w, int p) {
    if (w->part_count == 1 || access(w->part_paths[p], F_OK) != 0) return LB_OK;
    return lb_fail(LB_EIO, "%s is there already; parts of a model are not written over others: remove them, or name "
                   "another file", w->part_paths[p]);
}

lb_status lb_model_writer_head(lb_model_writer *w, int p, const void *head, size_t head_bytes, uint64_t data) {
    lb_status s = check_free(w, p);
    if (!s) s = lb_outfile_open(w->part_paths[p], &w->parts[p]);
    if (!s) s = lb_outfile_write(&w->parts[p], head, head_bytes);
    if (!s) s = lb_outfile_extend(&w->parts[p], head_bytes + data);
    for (uint32_t i = 0; i < w->count; i++)
        if (w->tensors[i].part == p) w->tensors[i].offset += head_bytes;
    return s;
}

static lb_status store(lb_model_writer *w, uint32_t i, const lb_tensor *t, uint64_t bytes) {
    const lb_stored *to = &w->tensors[i];
    const char *name = lb_shown(to->name, strlen(to->name));
    lb_tensor *dense = NULL;
    if (bytes != to->bytes)
        return lb_fail(LB_EINVAL, "%s: tensor %s has %llu bytes, %llu were announced", w->path, name,
                       (unsigned long long)bytes, (unsigned long long)to->bytes);
    lb_status s = lb_tensor_is_dense(t) ? LB_OK : lb_tensor_clone(t, &dense);
    if (!s) s = lb_outfile_patch(&w->parts[to->part], to->offset, lb_tensor_data(dense ? dense : t), bytes);
    if (!s) w->done[i] = true;
    lb_tensor_release(dense);
    return s;
}

static lb_status check_index(const lb_model_writer *w, uint32_t i) {
    if (i < w->count) return LB_OK;
    return lb_fail(LB_EINVAL, "%s: there is no tensor %u; %u were announced", w->path, i, w->count);
}

lb_status lb_model_writer_add(lb_model_writer *w, uint32_t i, const lb_tensor *t) {
    char text[240];
    lb_status s = check_index(w, i);
    if (s) return s;
    const lb_stored *to = &w->tensors[i];
    lb_tensor_describe(t, text, sizeof text);
    bool same = !t->layout && t->dtype == to->type->dtype
                && (t->dtype != LB_QUANT || lb_file_type_takes(to->type, t->quantizer));
    bool row = t->dtype == LB_QUANT && to->rank < 2 && t->rank == 2 && t->dims[0] == 1;
    for (int k = 0; k < to->rank && same && !row; k++) same = k < t->rank && t->dims[k] == to->dims[k];
    if (!same || (t->rank != to->rank && !row))
        return lb_fail(LB_EINVAL, "%s: tensor %s is %s, a %s of rank %d was announced", w->path,
                       lb_shown(to->name, strlen(to->name)), text, to->type->name, to->rank);
    return store(w, i, t, lb_tensor_size_bytes(t));
}

lb_status lb_model_writer_add_bytes(lb_model_writer *w, uint32_t i, const lb_tensor *bytes) {
    lb_status s = check_index(w, i);
    if (s) return s;
    if (bytes->dtype != LB_U8) return lb_fail(LB_EINVAL, "%s: stored bytes are a tensor of u8", w->path);
    return store(w, i, bytes, (uint64_t)lb_tensor_numel(bytes));
}

/* The first part goes into place last, and an index after it: without them the others are no model. */
static lb_status commit(lb_model_writer *w) {
    for (uint32_t i = 0; i < w->count; i++)
        if (!w->done[i])
            return lb_fail(LB_EINVAL, "%s: tensor %s was announced, but not added", w->path,
                           lb_shown(w->tensors[i].name, strlen(w->tensors[i].name)));
    lb_status s = LB_OK;
    for (int p = w->part_count - 1; p >= 0 && !s; p--) s = lb_outfile_commit(&w->parts[p]);
    if (s || !w->index) return s;
    lb_outfile f;
    if ((s = lb_outfile_open(w->index_path, &f))) return s;
    s = lb_outfile_write(&f, w->index, strlen(w->index));
    if (!s) s = lb_outfile_commit(&f);
    lb_outfile_abort(&f);
    return s;
}

lb_status lb_model_writer_finish(lb_model_writer *w, bool keep) {
    if (!w) return LB_OK;
    lb_status s = keep ? commit(w) : LB_OK;
    for (int p = 0; p < w->part_count; p++) {
        lb_outfile_abort(&w->parts[p]);
        free(w->part_paths[p]);
    }
    free(w->parts);
    free(w->part_paths);
    free(w->index);
    free(w->index_path);
    free(w->tensors);
    free(w->done);
    free(w->path);
    lb_arena_done(&w->arena);
    free(w);
    return s;
}
