/* safetensors_quantized.c: quantized tensors in safetensors, which has no types for them: their bytes stand there as
 * U8 [bytes], and metadata say what they are: "luabench.quantized:NAME" = "RECIPE DIM DIM ...". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../quantizer.h"
#include "safetensors.h"

/* "q4_k 64 256", terminated, as a recipe and dims; false if it is something else. */
static bool parse(char *text, lb_stored *t) {
    char *at = strchr(text, ' ');
    t->rank = 0;
    if (!at) return false;
    *at++ = 0;
    for (char *end; *at; at = end) {
        errno = 0;
        long long v = strtoll(at, &end, 10);
        if (end == at || (*end && *end != ' ') || errno || v < 0 || t->rank == LB_MAX_RANK) return false;
        t->dims[t->rank++] = v;
        while (*end == ' ') end++;
    }
    return t->rank >= 2;
}

/* Bytes of a tensor of these dims; false if they make no sense for the format. */
static bool measure(const lb_quantizer *q, const lb_stored *t, uint64_t *bytes) {
    uint64_t elements = 1, matrices = 1, each;
    int64_t n = t->dims[t->rank - 2], k = t->dims[t->rank - 1];
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(elements, (uint64_t)t->dims[i], &elements)) return false;
    if (k % q->k_multiple || elements > (uint64_t)INT64_MAX / 16) return false;
    for (int i = 0; i < t->rank - 2; i++) matrices *= (uint64_t)t->dims[i];
    if (!n || !k || !matrices) return false;
    each = q->size_bytes(q, n, k);
    return !__builtin_mul_overflow(each, matrices, bytes);
}

static lb_status apply(lb_model_file *f, const lb_meta *m, lb_stored *t) {
    const lb_quantizer *q = NULL;
    lb_stored logical = *t;
    uint64_t bytes = 0;
    const char *name = lb_shown(t->name, strlen(t->name)), *value = lb_shown((const char *)m->data, m->bytes);
    char *text = lb_arena_text(&f->arena, m->data, m->bytes);
    lb_file_type *type = lb_arena_take(&f->arena, sizeof *type);
    if (!text || !type) return LB_ENOMEM;
    if (strlen(text) != m->bytes || strcmp(t->type->name, "U8") != 0 || t->rank != 1 || !parse(text, &logical))
        return lb_fail(LB_EIO,
                       "%s: damaged safetensors file: metadata call tensor %s \"%s\"; a U8 tensor of one dim, and a "
                       "recipe with two or more dims, were expected",
                       f->path, name, value);
    if (lb_quantizer_find(text, &q)) return LB_OK; /* of another build: its bytes stay what they are */
    if (!measure(q, &logical, &bytes) || bytes != t->bytes)
        return lb_fail(LB_EIO, "%s: damaged safetensors file: tensor %s has %llu bytes, which are no \"%s\"", f->path,
                       name, (unsigned long long)t->bytes, value);
    *type = (lb_file_type){ .name = q->name, .id = -1, .block = (int)q->k_multiple,
                            .bytes = (int)q->size_bytes(q, 1, q->k_multiple), .dtype = LB_QUANT, .recipe = q->name };
    *t = logical;
    t->type = type;
    return LB_OK;
}

lb_status lb_safetensors_apply_recipes(lb_model_file *f) {
    size_t n = strlen(LB_SAFETENSORS_QUANTIZED);
    for (uint32_t i = 0; i < f->meta_count; i++) {
        const lb_meta *m = &f->metas[i];
        if (strncmp(m->key, LB_SAFETENSORS_QUANTIZED, n) != 0) continue;
        const lb_stored *t = lb_model_file_find(f, m->key + n);
        if (!t)
            return lb_fail(LB_EIO, "%s: damaged safetensors file: metadata speak of a tensor %s, which is not there",
                           f->path, lb_shown(m->key + n, strlen(m->key + n)));
        lb_status s = apply(f, m, &f->tensors[t - f->tensors]);
        if (s) return s;
    }
    return LB_OK;
}
