/* test_quantizer_parity.c: GGUF's formats against stored results of the gguf package, integer, sparse and trellis ones
 * against torchao's and those of independent NumPy programs, float formats against torchao's, and every format on
 * several threads and with numbers of rows that no block divides. Data: tests/parity, under $LUABENCH_TREE or ".". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

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
static void *read_from(const char *folder, const char *name, const char *what, size_t bytes) {
    char path[1024];
    const char *tree = getenv("LUABENCH_TREE");
    snprintf(path, sizeof path, "%s/tests/parity/%s/%s.%s", tree ? tree : ".", folder, name, what);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be read: run from the tree's root, or set LUABENCH_TREE to it", path);
    void *p = block_of(bytes + 1);
    size_t got = fread(p, 1, bytes + 1, f);
    fclose(f);
    if (got != bytes) fail_msg("%s has %zu bytes or more, %zu expected", path, got, bytes);
    return p;
}

static void *read_parity(const char *name, const char *what, size_t bytes) {
    return read_from("gguf", name, what, bytes);
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

/* ---- the gguf package ---- */

/* Those before the K formats are also quantized. */
static const struct { const char *name; int bytes; } gguf_types[] = { /* of 4096 weights */
    { "q4_0", 2304 }, { "q8_0", 4352 }, { "q4_1", 2560 }, { "q5_0", 2816 }, { "q5_1", 3072 },
    { "q2_k", 1344 }, { "q3_k", 1760 }, { "q4_k", 2304 }, { "q5_k", 2816 }, { "q6_k", 3360 },
    { "iq4_nl", 2304 }, { "iq4_xs", 2176 }, { "mxfp4", 2176 }, { "nvfp4", 2304 },
};
enum { GGUF_WEIGHTS = 4096, GGUF_QUANTIZED = 5 };

static void test_gguf_dequantize(void **state) {
    (void)state;
    for (size_t t = 0; t < sizeof gguf_types / sizeof *gguf_types; t++) {
        const lb_quantizer *q = named(gguf_types[t].name);
        size_t bytes = (size_t)gguf_types[t].bytes, stored = q->size_bytes(q, 1, GGUF_WEIGHTS);
        uint8_t *blocks = read_parity(q->name, "blocks", bytes), *p = block_of(stored);
        float *want = read_parity(q->name, "values", GGUF_WEIGHTS * sizeof *want);
        float *y = block_of(GGUF_WEIGHTS * sizeof *y);
        memcpy(p, blocks, bytes);
        if (!strcmp(q->name, "nvfp4")) /* gguf has the matrix's scale in a tensor of its own */
            memcpy(p + (bytes + 63) / 64 * 64, &(float){ 1.0f }, sizeof(float));
        else assert_int_equal(stored, bytes);
        q->dequantize(q, p, 1, GGUF_WEIGHTS, 0, 1, y);
        for (int i = 0; i < GGUF_WEIGHTS; i++)
            if (!(y[i] == want[i]))
                fail_msg("%s: element %d: %g, gguf says %g", q->name, i, (double)y[i], (double)want[i]);
        free(blocks), free(p), free(want), free(y);
    }
}

static void test_gguf_quantize(void **state) {
    (void)state;
    for (int t = 0; t < GGUF_QUANTIZED; t++) {
        const lb_quantizer *q = named(gguf_types[t].name);
        size_t bytes = (size_t)gguf_types[t].bytes;
        uint8_t *want = read_parity(q->name, "quantized", bytes), *p = block_of(bytes);
        float *x = read_parity(q->name, "source", GGUF_WEIGHTS * sizeof *x);
        assert_int_equal(q->size_bytes(q, 1, GGUF_WEIGHTS), bytes);
        q->quantize(q, x, 1, GGUF_WEIGHTS, 0, 1, p);
        assert_same_bytes(q->name, "blocks", p, want, bytes);
        free(want), free(x), free(p);
    }
}

/* ---- torchao ---- */

enum { GRID_ROWS = 128, GRID_COLUMNS = 256, TAKEN = 5, LINE = 128 };

static void quantized(const lb_quantizer *q, const float *x, int64_t n, int64_t k, uint8_t **store, float **y) {
    *store = block_of(q->size_bytes(q, n, k));
    *y = block_of((size_t)(n * k) * sizeof **y);
    lb_quantizer_prepare(q, x, n, k, *store);
    q->quantize(q, x, n, k, 0, n, *store);
    q->dequantize(q, *store, n, k, 0, n, *y);
}

/* The rows of integer.source that are not zero throughout; values to the bit, signs of zeros too. */
static void check_rows(const lb_quantizer *q) {
    float *all = read_parity("integer", "source", ROWS * COLUMNS * sizeof *all), *y, *x = block_of(TAKEN * COLUMNS * 4);
    memcpy(x, all, 3 * COLUMNS * sizeof *x);
    memcpy(x + 3 * COLUMNS, all + 4 * COLUMNS, 2 * COLUMNS * sizeof *x);
    float *want = read_from("torchao", q->name, "values", TAKEN * COLUMNS * sizeof *want);
    uint8_t *store;
    quantized(q, x, TAKEN, COLUMNS, &store, &y);
    for (int i = 0; i < TAKEN * COLUMNS; i++)
        if (memcmp(y + i, want + i, sizeof *y))
            fail_msg("%s: element %d, %g, is %g, torchao says %g", q->name, i, (double)x[i], (double)y[i],
                     (double)want[i]);
    free(all), free(x), free(y), free(want), free(store);
}

static uint32_t crc(const void *p, size_t bytes) { return (uint32_t)crc32(0, p, (uInt)bytes); }

/* A line of grid.txt: format, CRC of the values, perhaps of the codes and of the scales. */
static void check_grid(const char *line, const float *x) {
    char name[48];
    unsigned want[3];
    int fields = sscanf(line, "%47s %x %x %x", name, &want[0], &want[1], &want[2]);
    assert_true(fields == 2 || fields == 4);
    const lb_quantizer *q = named(name);
    size_t count = (size_t)GRID_ROWS * GRID_COLUMNS, codes = count * (size_t)q->bits / 8, scales;
    uint8_t *store;
    float *y;
    quantized(q, x, GRID_ROWS, GRID_COLUMNS, &store, &y);
    if (crc(y, count * sizeof *y) != want[0]) fail_msg("%s: other values than torchao's", name);
    if (fields == 4) {
        scales = q->size_bytes(q, GRID_ROWS, GRID_COLUMNS) - codes;
        if (!strcmp(name, "nf4-dq")) scales = count / 64; /* the plane behind the codes; two more follow */
        if (crc(store, codes) != want[1]) fail_msg("%s: other codes than torchao's", name);
        if (crc(store + codes, scales) != want[2]) fail_msg("%s: other scales than torchao's", name);
    }
    free(store), free(y);
}

static FILE *open_list(const char *name) {
    char path[1024];
    const char *tree = getenv("LUABENCH_TREE");
    snprintf(path, sizeof path, "%s/tests/parity/%s", tree ? tree : ".", name);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s cannot be read: run from the tree's root, or set LUABENCH_TREE to it", path);
    return f;
}

static void test_torchao(void **state) {
    (void)state;
    static const char *const only_grid[] = { "nf4-dq", "float8dq-block" };
    static float x[GRID_ROWS * GRID_COLUMNS];
    for (uint32_t i = 0; i < GRID_ROWS * GRID_COLUMNS; i++) {
        int value = (int)(i * 2654435761u >> 20) - 2048, row = (int)(i / GRID_COLUMNS),
            column = (int)(i % GRID_COLUMNS);
        x[i] = (float)(value * (1 + row % 5) * (1 + column / 32 % 3)) / 1024.0f;
    }
    char line[LINE];
    FILE *f = open_list("torchao/grid.txt");
    int formats = 0;
    for (; fgets(line, sizeof line, f); formats++) {
        char name[48] = "";
        check_grid(line, x);
        sscanf(line, "%47s", name);
        if (strcmp(name, only_grid[0]) && strcmp(name, only_grid[1])) check_rows(named(name));
    }
    fclose(f);
    assert_int_equal(formats, 18);
}

/* What torchao's codes, scales and zeros stand for; what codes it takes, make.py says. */
static void test_torchao_int4wo(void **state) {
    (void)state;
    uint8_t *stores = read_from("torchao", "int4wo", "store", 5824), *at = stores;
    char name[48];
    unsigned want;
    FILE *f = open_list("torchao/int4wo.txt");
    int formats = 0;
    for (; fscanf(f, "%47s %x", name, &want) == 2; formats++) {
        const lb_quantizer *q = named(name);
        size_t bytes = (q->size_bytes(q, TAKEN, COLUMNS) + 63) / 64 * 64;
        static float y[TAKEN * COLUMNS];
        uint8_t *store = block_of(bytes);
        memcpy(store, at, bytes), at += bytes;
        q->dequantize(q, store, TAKEN, COLUMNS, 0, TAKEN, y);
        if (crc(y, sizeof y) != want) fail_msg("%s: other values than torchao's of its codes", name);
        free(store);
    }
    fclose(f);
    free(stores);
    assert_int_equal(formats, 4);
}

/* ---- integer, sparse and trellis formats ---- */

/* Every byte stored and every value, by their CRC. */
static void test_groups(void **state) {
    (void)state;
    static float x[GRID_ROWS * GRID_COLUMNS];
    for (uint32_t i = 0; i < GRID_ROWS * GRID_COLUMNS; i++) {
        int value = (int)(i * 2654435761u >> 20) - 2048, row = (int)(i / GRID_COLUMNS),
            column = (int)(i % GRID_COLUMNS);
        x[i] = (float)(value * (1 + row % 5) * (1 + column / 32 % 3)) / 1024.0f;
    }
    char line[LINE], name[48];
    unsigned store_crc, values_crc;
    FILE *f = open_list("groups/grid.txt");
    int formats = 0;
    for (; fgets(line, sizeof line, f); formats++) {
        assert_int_equal(sscanf(line, "%47s %x %x", name, &store_crc, &values_crc), 3);
        const lb_quantizer *q = named(name);
        size_t bytes = q->size_bytes(q, GRID_ROWS, GRID_COLUMNS);
        float *y = block_of(sizeof x);
        uint8_t *aligned = block_of(bytes);
        memset(aligned, 0, bytes); /* gaps between planes are zero in the data */
        lb_quantizer_prepare(q, x, GRID_ROWS, GRID_COLUMNS, aligned);
        q->quantize(q, x, GRID_ROWS, GRID_COLUMNS, 0, GRID_ROWS, aligned);
        q->dequantize(q, aligned, GRID_ROWS, GRID_COLUMNS, 0, GRID_ROWS, y);
        for (size_t i = 0; i < GRID_ROWS * GRID_COLUMNS; i++) y[i] += 0.0f; /* no signs of zeros */
        if (crc(y, sizeof x) != values_crc) fail_msg("%s: other values than the reference's", name);
        if (crc(aligned, bytes) != store_crc) fail_msg("%s: other bytes than the reference's", name);
        free(y), free(aligned);
    }
    fclose(f);
    assert_int_equal(formats, 88);
}

/* A list's formats against stored values, within `share` of the largest of each, but for `odd` of a format. */
static void check_list(const char *list, const char *values_name, float share, int odd, const float *x,
                       const uint8_t *stores, int want_formats) {
    enum { n = 2, k = 512 };
    FILE *f = open_list(list);
    char name[48];
    int formats = 0;
    float *want = read_from("groups", values_name, "values", (size_t)(want_formats * n * k) * sizeof *want), *y;
    for (; fscanf(f, "%47s", name) == 1; formats++) {
        const lb_quantizer *q = named(name);
        uint8_t *store = block_of(q->size_bytes(q, n, k));
        int left = odd;
        y = block_of((size_t)(n * k) * sizeof *y);
        if (x) q->quantize(q, x, n, k, 0, n, store);
        else memcpy(store, stores, q->size_bytes(q, n, k)), stores += q->size_bytes(q, n, k);
        q->dequantize(q, store, n, k, 0, n, y);
        for (int64_t r = 0; r < n; r++) {
            const float *row = want + (formats * n + r) * k;
            float largest = 0;
            for (int64_t i = 0; i < k; i++) largest = fabsf(row[i]) > largest ? fabsf(row[i]) : largest;
            for (int64_t i = 0; i < k; i++)
                if (!(fabsf(y[r * k + i] - row[i]) <= share * largest) && --left < 0)
                    fail_msg("%s: row %d element %d is %g, %g expected", name, (int)r, (int)i, (double)y[r * k + i],
                             (double)row[i]);
        }
        free(store), free(y);
    }
    fclose(f);
    free(want);
    assert_int_equal(formats, want_formats);
}

/* The zeros are means, which torch sums in another order: a few units in the last place (a code more or less would be
 * 1/256 of the range or more). They decide when the rounds end: one group of 64 may end a round earlier or later. */
static void test_hqq(void **state) {
    (void)state;
    float *x = read_from("groups", "hqq", "source", 2 * 512 * sizeof *x);
    check_list("groups/hqq.txt", "hqq", 2e-5f, 64, x, NULL, 11);
    free(x);
}

/* int4wo-*-hqq is uintx-4-*-hqq with scale and zero in bf16: half a step in each, of 8 codes at most. */
static void test_int4wo_hqq(void **state) {
    (void)state;
    enum { n = 2, k = 512, LISTED = 11 };
    static float y[n * k];
    float *x = read_from("groups", "hqq", "source", sizeof y);
    float *want = read_from("groups", "hqq", "values", LISTED * sizeof y);
    FILE *f = open_list("groups/hqq.txt");
    char name[48], ours[64];
    int formats = 0;
    for (int i = 0; i < LISTED; i++) {
        assert_int_equal(fscanf(f, "%47s", name), 1);
        if (strncmp(name, "uintx-4-", 8)) continue;
        snprintf(ours, sizeof ours, "int4wo-%s", name + 8);
        const lb_quantizer *q = named(ours);
        uint8_t *store = block_of(q->size_bytes(q, n, k));
        q->quantize(q, x, n, k, 0, n, store);
        q->dequantize(q, store, n, k, 0, n, y);
        for (int j = 0; j < n * k; j++) {
            const float largest = j < k ? 4.0f : 0.08f; /* of a row's weights */
            if (!(fabsf(y[j] - want[i * n * k + j]) <= 0x1p-8f * largest))
                fail_msg("%s: element %d is %g, %g expected", ours, j, (double)y[j], (double)want[i * n * k + j]);
        }
        formats++;
        free(store);
    }
    fclose(f);
    free(x), free(want);
    assert_int_equal(formats, 4);
}

/* sum over rows and samples of ((y - w) x)^2 */
static double output_error(const float *w, const float *y, int64_t n, int64_t k, const float *x, int64_t m) {
    double total = 0;
    for (int64_t r = 0; r < n; r++)
        for (int64_t s = 0; s < m; s++) {
            double e = 0;
            for (int64_t i = 0; i < k; i++) e += ((double)y[r * k + i] - (double)w[r * k + i]) * (double)x[s * k + i];
            total += e * e;
        }
    return total;
}

/* GPTQ: every value, and an output error well below that of rounding to nearest. */
static void test_gptq(void **state) {
    (void)state;
    enum { N = 8, K = 160, M = 96 };
    float *w = read_from("groups", "gptq", "source", N * K * sizeof *w);
    float *x = read_from("groups", "gptq", "samples", M * K * sizeof *x);
    float *want = read_from("groups", "gptq", "values", 3 * N * K * sizeof *want), y[2][N * K];
    static const char *const names[] = { "gptq-3-32", "gptq-4-32", "gptq-8-32" };
    for (int f = 0; f < 3; f++) {
        const lb_quantizer *q = named(names[f]);
        uint8_t *store = block_of(q->size_bytes(q, N, K));
        void *learned = q->learn(q, x, M, K);
        assert_non_null(learned);
        for (int64_t r = 0; r < N; r += 3) /* any split of the rows */
            assert_true(q->quantize_learned(q, learned, w, N, K, r, r + 3 < N ? r + 3 : N, store));
        q->dequantize(q, store, N, K, 0, N, y[0]);
        for (int i = 0; i < N * K; i++)
            if (!(y[0][i] == want[f * N * K + i]))
                fail_msg("%s: element %d is %g, %g expected", q->name, i, (double)y[0][i], (double)want[f * N * K + i]);
        q->quantize(q, w, N, K, 0, N, store);
        q->dequantize(q, store, N, K, 0, N, y[1]);
        double learned_error = output_error(w, y[0], N, K, x, M), nearest_error = output_error(w, y[1], N, K, x, M);
        if (!(learned_error < 0.5 * nearest_error))
            fail_msg("%s: output error %g, %g to nearest", q->name, learned_error, nearest_error);
        free(store), free(learned);
    }
    x[5] = INFINITY;
    const lb_quantizer *q = named(names[0]);
    void *learned = q->learn(q, x, M, K); /* clipped, still finite */
    assert_non_null(learned);
    free(learned), free(w), free(x), free(want);
}

static void test_trellis(void **state) {
    (void)state;
    size_t bytes = 2 * 2 * 32 * (2 + 3 + 4 + 3 + 2) + 5 * 8;
    uint8_t *stores = read_from("groups", "trellis", "store", bytes);
    check_list("groups/trellis.txt", "trellis", 1e-6f, 0, NULL, stores, 5);
    free(stores);
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
static void *survey_part(void *p) {
    job *j = p;
    j->q->survey(j->q, j->x, j->n, j->k, j->row0, j->row1, j->store);
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
    lb_quantizer_prepare(q, x, n, k, store[0]);
    quantize_part(&(job){ .q = q, .x = x, .n = n, .k = k, .row1 = n, .store = store[0] });
    dequantize_part(&(job){ .q = q, .n = n, .k = k, .row1 = n, .store = store[0], .y = y[0] });
    for (int threads = 2; threads <= MOST_THREADS; threads++) {
        memset(store[1], 0xa5, bytes);
        memset(y[1], 0xff, (size_t)(n * k) * sizeof *x);
        job whole = { .q = q, .x = x, .n = n, .k = k, .store = store[1] };
        if (q->survey) {
            on_threads(whole, threads, survey_part);
            q->settle(q, n, k, store[1]);
        }
        on_threads(whole, threads, quantize_part);
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
                for (int b = 0; b < 4; b++) {
                    /* milliseconds a block: rows of one, and two rows of more, but not of 17 */
                    if (strstr(*m, "trellis") && b && (rows[i] != 2 || b == 3)) continue;
#ifdef __SANITIZE_ADDRESS__ /* many times that: several rows a thread once, not twice */
                    if (strstr(*m, "trellis") && rows[i] == 15) continue;
#endif
                    check_threads(named(*m), rows[i], blocks[b] * named(*m)->k_multiple);
                }
    assert_true(formats > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_formats),
        cmocka_unit_test(test_gguf_dequantize),
        cmocka_unit_test(test_gguf_quantize),
        cmocka_unit_test(test_torchao),
        cmocka_unit_test(test_torchao_int4wo),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_hqq),
        cmocka_unit_test(test_int4wo_hqq),
        cmocka_unit_test(test_gptq),
        cmocka_unit_test(test_trellis),
        cmocka_unit_test(test_threads_and_tails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
