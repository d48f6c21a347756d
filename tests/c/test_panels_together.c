/* test_panels_together.c: products of many rows, for which panels go together, columns in long blocks and their
 * activations side by side, have the bits of lb_panel.run, panel by panel and few columns at a time; run() is held
 * against f64 by test_matrix_kernels.c. And integer formats' columns have the bits that each has by itself where
 * activations are so large that sums leave int16. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"
#include "kernels/cpu/gemm_panel.h"
#include "tests/c/cpu_device.h"

/* 19 panels, the last of two rows: eight, pairs, and some by themselves; with three blocks of columns for one thread, a
 * share that is more than what is left. */
enum { ROWS = 18 * 32 + 2, SOME_COLS = 70, CANARY = 16, PARTS_MOST = 3 };
#ifdef __SANITIZE_ADDRESS__ /* ten times as slow: of several blocks of columns, which are no kernel's own, by turns */
enum { THINNED = 3 };
#else
enum { THINNED = 1 };
#endif

static lb_tensor *floats(int64_t n, int64_t k) {
    static uint32_t state = 12345;
    lb_tensor *t = NULL;
    if (lb_tensor_new(device, LB_F32, NULL, 2, (int64_t[]){ n, k }, &t)) fail_msg("%s", lb_error());
    float *v = lb_tensor_data(t);
    for (int64_t i = 0; i < n * k; i++) {
        state = state * 1664525u + 1013904223u;
        v[i] = (float)(state >> 8) * 0x1p-23f - 0.95f;
    }
    return t;
}

static float *poisoned(int64_t n) {
    float *p = aligned_alloc(64, ((size_t)(n + CANARY) * 4 + 63) / 64 * 64);
    memset(p, 0xff, (size_t)(n + CANARY) * 4); /* a NaN */
    return p;
}

/* want[cols][ROWS], a panel and SOME_COLS columns at a time. */
static void by_panels(const lb_panel *p, const lb_quantizer *q, const char *panels, const lb_tensor *x, float *want) {
    const int64_t k = x->dims[1], cols = x->dims[0];
    const lb_act_place at = { .stride = lb_panel_act_stride(p->act_bytes(q, k)) };
    char *act = aligned_alloc(64, (at.stride * (size_t)cols + 63) / 64 * 64);
    for (int64_t c = 0; c < cols; c++) p->act_prepare(q, lb_tensor_f32(x) + c * k, k, act + (size_t)c * at.stride);
    for (int64_t c = 0, some; c < cols; c += some) {
        some = cols - c < SOME_COLS ? cols - c : SOME_COLS;
        for (int64_t r = 0; r < ROWS; r += p->rows)
            lb_panel_run_any(p, q, panels + (size_t)(r / p->rows) * p->panel_bytes(q, k), act + (size_t)c * at.stride,
                             &at, k, some, (int)(ROWS - r < p->rows ? ROWS - r : p->rows), want + c * ROWS + r, ROWS);
    }
    free(act);
}

typedef struct job { const lb_kernel *kernel; const lb_args *args; lb_launch launch; } job;
static void *run_job(void *p) {
    job *j = p;
    void *scratch = aligned_alloc(64, LB_SCRATCH_BYTES); /* its own, so that no part waits for another's */
    lb_scratch_use(scratch);
    j->kernel->launch(j->args, &j->launch);
    lb_scratch_use(NULL);
    free(scratch);
    return NULL;
}

/* By `parts` threads, which take the work from one another; nothing behind the workspace is written. */
static void launch(const lb_kernel *k, lb_tensor *x, lb_tensor *w, lb_tensor *out, int parts) {
    lb_args a = { 0 };
    a.t[LB_GEMM_X] = (lb_operand){ &x, 1 }, a.t[LB_GEMM_W] = (lb_operand){ &w, 1 },
        a.t[LB_GEMM_OUT] = (lb_operand){ &out, 1 };
    const size_t bytes = k->workspace_bytes(&a, parts);
    uint8_t *space = aligned_alloc(64, (bytes + 127) / 64 * 64);
    memset(space + bytes, 0xa5, 64);
    for (int phase = 0; phase < k->phases(&a); phase++) {
        atomic_llong ticket = 0;
        job jobs[PARTS_MOST];
        pthread_t threads[PARTS_MOST];
        for (int i = 0; i < parts; i++) {
            jobs[i] =
                (job){ k, &a, { .phase = phase, .part = i, .parts = parts, .workspace = space, .ticket = &ticket } };
            if (pthread_create(&threads[i], NULL, run_job, &jobs[i])) fail_msg("no thread");
        }
        for (int i = 0; i < parts; i++) pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < 64; i++) assert_int_equal(space[bytes + (size_t)i], 0xa5);
    free(space);
}

static void check(const lb_kernel *kernel, const lb_quantizer *q, lb_tensor *packed, int64_t k, int64_t cols) {
    lb_tensor *x = floats(cols, k), *out = NULL;
    if (lb_tensor_new(device, LB_F32, NULL, 2, (int64_t[]){ cols, ROWS }, &out)) fail_msg("%s", lb_error());
    float *want = poisoned(cols * ROWS), *got = lb_tensor_data(out);
    by_panels(kernel->panel, q, lb_tensor_data(packed), x, want);
    for (int parts = 1; parts <= PARTS_MOST; parts += PARTS_MOST - 1) {
        memset(got, 0xff, (size_t)(cols * ROWS) * 4);
        launch(kernel, x, packed, out, parts);
        for (int64_t i = 0; i < cols * ROWS; i++)
            if (memcmp(&want[i], &got[i], 4) || want[i] != want[i])
                fail_msg("%s %s K=%d, %d columns, %d parts: row %d, column %d is %g, by itself %g", kernel->name,
                         q->name, (int)k, (int)cols, parts, (int)(i % ROWS), (int)(i / ROWS), (double)got[i],
                         (double)want[i]);
    }
    free(want);
    lb_tensor_release(x), lb_tensor_release(out);
}

/* A family's members differ in what their loops count to: the first is tried with every size, the others with one in
 * THINNED, by turns. */
static void check_member(const lb_kernel *kernel, const lb_quantizer *q, int member) {
    /* K: whole; several blocks; more than 64 groups of 32 and not a multiple of 256; M: 5 is few for some, 513 two
     * blocks of columns, 1040 three, from 17 on activations may lie side by side */
    static const struct { int64_t k, cols[4]; } cases[] = { { 256, { 5, 31, 513, 1040 } }, { 768, { 16, 17, 0, 0 } },
                                                            { 2080, { 13, 33, 0, 0 } } };
    static int turns;
    const int spared = THINNED > 1 && member == 0 ? 2 + turns++ % 2 : -1;
    for (int j = 0; j < 3; j++) {
        if (cases[j].k % q->k_multiple) continue;
        lb_tensor *f = floats(ROWS, cases[j].k), *w, *packed;
        if (lb_tensor_quantize(f, q, NULL, NULL, &w) || lb_tensor_in_layout(w, kernel, &packed, NULL))
            fail_msg("%s", lb_error());
        for (int c = 0; c < 4 && cases[j].cols[c]; c++) {
            if (c == spared || (member && (4 * j + c + member) % THINNED)) continue;
            check(kernel, q, packed, cases[j].k, cases[j].cols[c]);
        }
        lb_tensor_release(f), lb_tensor_release(w);
    }
}

/* ---- activations whose sums are at the edge of int16 ---- */

enum { EDGE_K = 512, EDGE_ROWS = 32, EDGE_COLS = 72 /* tiles of AMX take K-quants from 64 on */ };

/* Codes are the values: each block of 256 has a 127. Column c has in each run of `run` a magnitude of `most` + c % 5 -
 * 2 in all, of one sign, of the other, or of one in even runs and the other in odd ones. */
static void edge_column(float *x, int c, int run, int most) {
    for (int i = 0; i < EDGE_K; i += run) {
        int left = most + c % 5 - 2, odd = i / run % 2, sign = c / 5 % 4;
        float of = sign == 0 || sign == 2 + odd ? 1.0f : -1.0f;
        for (int j = 0; j < run; j++, left -= 127) x[i + j] = of * (float)(left > 127 ? 127 : left > 0 ? left : 0);
    }
}

/* All codes at their least, at their most, by turns, and whatever. */
static lb_tensor *edge_weights(void) {
    lb_tensor *f = floats(EDGE_ROWS, EDGE_K);
    float *w = lb_tensor_data(f);
    for (int r = 0; r < 24; r++)
        for (int i = 0; i < EDGE_K; i++) {
            float turns = i / 16 / (1 + r / 6 % 2) % 2 ? 1.0f : -1.0f;
            w[r * EDGE_K + i] = r % 3 == 0 ? 1.0f : r % 3 == 1 ? -1.0f : turns;
        }
    return f;
}

/* Many columns against each by itself. */
static void check_edge(const lb_kernel *kernel, const lb_quantizer *q, const lb_tensor *packed, int run, int most) {
    const lb_panel *p = kernel->panel;
    const lb_act_place at = { .stride = lb_panel_act_stride(p->act_bytes(q, EDGE_K)) };
    char *act = aligned_alloc(64, (at.stride * EDGE_COLS + 63) / 64 * 64);
    float x[EDGE_K], *many = poisoned(EDGE_COLS * EDGE_ROWS), *one = poisoned(EDGE_ROWS);
    for (int c = 0; c < EDGE_COLS; c++) {
        edge_column(x, c, run, most);
        p->act_prepare(q, x, EDGE_K, act + (size_t)c * at.stride);
    }
    lb_panel_run_any(p, q, lb_tensor_data(packed), act, &at, EDGE_K, EDGE_COLS, EDGE_ROWS, many, EDGE_ROWS);
    for (int c = 0; c < EDGE_COLS; c++) {
        lb_panel_run_any(p, q, lb_tensor_data(packed), act + (size_t)c * at.stride, &at, EDGE_K, 1, EDGE_ROWS, one,
                         EDGE_ROWS);
        for (int r = 0; r < EDGE_ROWS; r++)
            if (memcmp(&one[r], &many[c * EDGE_ROWS + r], 4) || one[r] != one[r])
                fail_msg("%s %s, runs of %d that amount to %d: row %d, column %d is %g, by itself %g", kernel->name,
                         q->name,
                         run, most + c % 5 - 2, r, c, (double)many[c * EDGE_ROWS + r], (double)one[r]);
    }
    free(act), free(many), free(one);
}

static void check_edges(const lb_kernel *kernel, const lb_quantizer *q, int member) {
    (void)member;
    static const struct { int run, most; } edges[] = { { 32, 32767 / 15 }, { 32, 32767 / 31 }, { 16, 32767 / 32 },
                                                       { 16, 32767 / 15 }, { 16, 32767 / 31 }, { 32, 32 * 127 } };
    lb_tensor *f = edge_weights(), *w, *packed;
    if (lb_tensor_quantize(f, q, NULL, NULL, &w) || lb_tensor_in_layout(w, kernel, &packed, NULL))
        fail_msg("%s", lb_error());
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        check_edge(kernel, q, packed, edges[i].run, edges[i].most);
    lb_tensor_release(f), lb_tensor_release(w);
}

/* Formats that take their time to quantize (and have no panels that go together) are left out. */
static bool slow_to_make(const char *name) { return !strncmp(name, "trellis", 7) || strstr(name, "hqq"); }

static void each_format(void (*check_one)(const lb_kernel *, const lb_quantizer *, int), bool integers) {
    int tested = 0;
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, "gemm") || !k->panel || !k->layout || !k->phases || k->act == LB_ACT_F8_TENSOR) continue;
        if (strcmp(k->device, "cpu") || (lb_device_caps_of(device)->isa & k->isa) != k->isa) continue;
        if (integers && k->compute != LB_COMPUTE_INT8) continue;
        for (int f = 0; lb_quantizer_families[f]; f++) {
            if (strcmp(k->format, lb_quantizer_families[f]->name)) continue;
            const char *const *members = lb_quantizer_families[f]->members;
            for (int m = 0; members && members[m]; m++, tested++) {
                const lb_quantizer *q;
                if (lb_quantizer_find(members[m], &q)) fail_msg("%s", lb_error());
                if (!slow_to_make(members[m])) check_one(k, q, m);
            }
        }
    }
    assert_true(tested > 0);
}

static void test_all_formats(void **unused) {
    (void)unused;
    each_format(check_member, false);
}

static void test_edges(void **unused) {
    (void)unused;
    each_format(check_edges, true);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_formats), cmocka_unit_test(test_edges) };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
