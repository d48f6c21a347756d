/* test_quantizer_parity.c: int8wo and int4wo against stored results of an independent NumPy program, and every format
 * on several threads and with numbers of rows that no block divides. Data: tests/parity/gguf, under $LUABENCH_TREE
 * or ".". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/quantizer.h"
#include "engine/rng.h"

enum { ROWS = 6, COLUMNS = 512, CANARY = 64, MOST_THREADS = 5 };

static void *block_of(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    assert_non_null(p);
    return p;
}

static const lb_quantizer *named(const char *name) {
    const lb_quantizer *q = NULL;
    if (lb_quantizer_find(name, &q)) fail_msg("%s", lb_error());
    return q;
}

/* The file's bytes; it must have exactly `bytes`. */
static void *read_parity(const char *name, const char *what, size_t bytes) {
    char path[1024];
    const char *tree = getenv("LUABENCH_TREE");
    snprintf(path, sizeof path, "%s/tests/parity/gguf/%s.%s", tree ? tree : ".", name, what);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be read: run from the tree's root, or set LUABENCH_TREE to it", path);
    void *p = block_of(bytes + 1);
    size_t got = fread(p, 1, bytes + 1, f);
    fclose(f);
    if (got != bytes) fail_msg("%s has %zu bytes or more, %zu expected", path, got, bytes);
    return p;
}

static void assert_same_bytes(const char *format, const char *what, const void *got, const void *want, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        int a = ((const uint8_t *)got)[i], b = ((const uint8_t *)want)[i];
        if (a != b) fail_msg("%s: byte %zu of the %s is %02x, %02x expected", format, i, what, a, b);
    }
}

static void test_integer_formats(void **state) {
    (void)state;
    static const char *const formats[] = { "int8wo", "int4wo-32", "int4wo-64", "int4wo-128", "int4wo-256" };
    float *x = read_parity("integer", "source", ROWS * COLUMNS * sizeof *x);
    float *y = block_of(ROWS * COLUMNS * sizeof *y);
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        const lb_quantizer *q = named(formats[f]);
        size_t codes_size = (size_t)(ROWS * COLUMNS * q->bits / 8);
        size_t scales_size = q->group ? (size_t)(ROWS * COLUMNS / q->group * 4) : ROWS * sizeof(float);
        size_t scales_at = (codes_size + 63) / 64 * 64;
        assert_int_equal(q->size_bytes(q, ROWS, COLUMNS), scales_at + scales_size);
        uint8_t *codes = read_parity(q->name, "codes", codes_size);
        uint8_t *scales = read_parity(q->name, "scales", scales_size);
        float *values = read_parity(q->name, "dequantized", ROWS * COLUMNS * sizeof *values);
        uint8_t *p = block_of(scales_at + scales_size);
        q->quantize(q, x, ROWS, COLUMNS, 0, ROWS, p);
        assert_same_bytes(q->name, "scales", p + scales_at, scales, scales_size);
        assert_same_bytes(q->name, "codes", p, codes, codes_size);
        q->dequantize(q, p, ROWS, COLUMNS, 0, ROWS, y);
        for (int i = 0; i < ROWS * COLUMNS; i++)
            if (!(y[i] == values[i]))
                fail_msg("%s: element %d is %g, %g expected", q->name, i, (double)y[i], (double)values[i]);
        free(codes), free(scales), free(values), free(p);
    }
    free(x), free(y);
}

/* ---- threads and tails ---- */

typedef struct job {
    const lb_quantizer *q;
    const float *x;
    int64_t n, k, row0, row1;
    uint8_t *store;
    float *y;
} job;

static void *quantize_part(void *p) {
    job *j = p;
    j->q->quantize(j->q, j->x, j->n, j->k, j->row0, j->row1, j->store);
    return NULL;
}
static void *dequantize_part(void *p) {
    job *j = p;
    j->q->dequantize(j->q, j->store, j->n, j->k, j->row0, j->row1, j->y + j->row0 * j->k);
    return NULL;
}

static void on_threads(job whole, int threads, void *(*part)(void *)) {
    pthread_t id[MOST_THREADS];
    job jobs[MOST_THREADS];
    for (int t = 0; t < threads; t++) {
        jobs[t] = whole;
        jobs[t].row0 = whole.n * t / threads, jobs[t].row1 = whole.n * (t + 1) / threads;
        assert_int_equal(pthread_create(&id[t], NULL, part, &jobs[t]), 0);
    }
    for (int t = 0; t < threads; t++) assert_int_equal(pthread_join(id[t], NULL), 0);
}

static void check_threads(const lb_quantizer *q, int64_t n, int64_t k) {
    size_t bytes = q->size_bytes(q, n, k);
    float *x = block_of((size_t)(n * k) * sizeof *x), *y[2];
    uint8_t *store[2];
    lb_rng_normal_f32(31, 0, n * k, 0.0f, 1.0f, x);
    for (int i = 0; i < 2; i++) {
        store[i] = block_of(bytes + CANARY), y[i] = block_of((size_t)(n * k) * sizeof *x);
        memset(store[i], 0xa5, bytes + CANARY);
    }
    quantize_part(&(job){ .q = q, .x = x, .n = n, .k = k, .row1 = n, .store = store[0] });
    dequantize_part(&(job){ .q = q, .n = n, .k = k, .row1 = n, .store = store[0], .y = y[0] });
    for (int threads = 2; threads <= MOST_THREADS; threads++) {
        memset(store[1], 0xa5, bytes);
        memset(y[1], 0xff, (size_t)(n * k) * sizeof *x);
        on_threads((job){ .q = q, .x = x, .n = n, .k = k, .store = store[1] }, threads, quantize_part);
        assert_same_bytes(q->name, "matrix from several threads", store[1], store[0], bytes + CANARY);
        on_threads((job){ .q = q, .n = n, .k = k, .store = store[1], .y = y[1] }, threads, dequantize_part);
        assert_memory_equal(y[1], y[0], (size_t)(n * k) * sizeof *x);
    }
    for (int i = 0; i < CANARY; i++) assert_int_equal(store[0][bytes + i], 0xa5);
    for (int i = 0; i < 2; i++) free(store[i]), free(y[i]);
    free(x);
}

static void test_threads_and_tails(void **state) {
    (void)state;
    static const int64_t rows[] = { 1, 2, 15, 17 }, blocks[] = { 1, 2, 3, 17 };
    int formats = 0;
    for (int f = 0; lb_quantizer_families[f]; f++)
        for (const char *const *m = lb_quantizer_families[f]->members; *m; m++, formats++)
            for (int i = 0; i < 4; i++)
                for (int b = 0; b < 4; b++)
                    check_threads(named(*m), rows[i], blocks[b] * named(*m)->k_multiple);
    assert_true(formats > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_formats),
        cmocka_unit_test(test_threads_and_tails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
