/* common.c: what the fuzz targets share. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io/model_file.h"

static void release(lb_buffer *b) { free(b->data); }

lb_buffer *fuzz_buffer(const uint8_t *data, size_t bytes) {
    static lb_device *device;
    lb_buffer *b = NULL;
    if (!device && lb_device_open("cpu", 1, &device)) fuzz_fail(__FILE__, __LINE__, lb_error());
    void *copy = malloc(bytes ? bytes : 1);
    if (!copy) fuzz_fail(__FILE__, __LINE__, "memory");
    if (bytes) memcpy(copy, data, bytes);
    if (lb_buffer_wrap(device, copy, bytes, release, NULL, &b)) fuzz_fail(__FILE__, __LINE__, lb_error());
    return b;
}

void fuzz_touch(const void *data, size_t bytes) {
    static volatile uint8_t sink;
    const uint8_t *p = data;
    uint8_t x = 0;
    for (size_t i = 0; i < bytes; i++) x ^= p[i];
    sink = x;
}

void fuzz_fail(const char *file, int line, const char *condition) {
    fprintf(stderr, "%s:%d: %s\n", file, line, condition);
    abort();
}

void fuzz_model_file(const lb_model_file *f) {
    for (uint32_t i = 0; i < f->count; i++) {
        const lb_stored *t = &f->tensors[i];
        lb_tensor *v = NULL;
        FUZZ_REQUIRE(lb_model_file_find(f, t->name) == t);
        FUZZ_REQUIRE(lb_model_file_bytes(f, t, &v) == LB_OK);
        fuzz_touch(lb_tensor_data(v), lb_tensor_size_bytes(v));
        lb_tensor_release(v);
        lb_status s = lb_model_file_tensor(f, t, &v);
        FUZZ_REQUIRE(s == LB_OK || s == LB_EUNSUPPORTED || s == LB_ENOMEM);
        if (s) continue;
        FUZZ_REQUIRE(lb_tensor_size_bytes(v) == t->bytes);
        int64_t n = lb_tensor_numel(v);
        float first[2];
        if (n) FUZZ_REQUIRE(lb_tensor_read_f32(v, n - 1, 1, first) == LB_OK);
        lb_tensor_release(v);
    }
    for (uint32_t i = 0; i < f->meta_count; i++) {
        const lb_meta *m = &f->metas[i];
        const char *text;
        uint64_t at = 0, bytes, n = 0;
        fuzz_touch(m->data, m->bytes);
        lb_meta_number(m, m->count - 1);
        while (lb_meta_next_string(m, &at, &text, &bytes)) fuzz_touch(text, bytes), n++;
        if (m->type == LB_META_ARRAY && m->item == LB_META_STRING) FUZZ_REQUIRE(n == m->count);
    }
}
