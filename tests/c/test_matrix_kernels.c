/* test_matrix_kernels.c: every registered gemm and moe_ffn kernel against f64 on the operands that it saw: odd shapes,
 * tails, splits over parts, and the same bits whatever the batch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

#ifndef TEST_LAUNCH /* tests/gpu/ has another */
#define TEST_LAUNCH(k, a, l) (k)->launch(a, l)
#define TEST_OTHER_ISA
#define NOTHING_TESTED fail_msg("no kernel")
#endif
#ifndef TEST_SKIPS
#define TEST_SKIPS(k, m) false
#endif
#ifndef TEST_BATCHES
#define TEST_BATCHES { 1, 3, 9, TOKENS }
#endif
#ifndef TEST_PLANTED
#define TEST_PLANTED { 1, 9, M_MAX }
#endif
#ifndef TEST_TOKEN_STEP
#define TEST_TOKEN_STEP 7
#endif
#ifndef TEST_NOT_RUN /* a GPU may lack the library that a kernel needs */
#define TEST_NOT_RUN(k, format, why) fail_msg("%s %s: takes none of the shapes: %s", (k)->name, format, why)
#endif
#ifndef TEST_ROWS /* the emulator tries fewer */
#define TEST_ROWS { M_MAX, 33, 17, 16, 13, 8, 5, 3, 2, 1, 0 }
#if defined __SANITIZE_ADDRESS__ /* many times as slow: where memory goes wrong, it does at the tails */
#define TEST_TOO_SLOW(n, k) ((k) > 1000 || ((k) != 256 && (n) != 17 && (n) != 1))
#else
#define TEST_TOO_SLOW(n, k) false
#endif
#endif

enum { M_MAX = 70, CANARY = 16 };
static const uint32_t POISON = 0xffc0dead; /* a NaN */
static lb_device *device;

/* ---- making operands ---- */

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t next_u32(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}

/* Sum of four uniforms, about normal, mean 0 and variance 1/3. */
static float next_value(void) {
    float s = 0;
    for (int i = 0; i < 4; i++) s += (float)next_u32() * 0x1p-32f - 0.5f;
    return s;
}

static lb_tensor *tensor_of(lb_dtype dtype, const lb_quantizer *q, int64_t n, int64_t k) {
    lb_tensor *t = NULL;
    if (lb_tensor_new(device, dtype, q, 2, (int64_t[]){ n, k }, &t)) fail_msg("%s", lb_error());
    return t;
}

static lb_tensor *floats(int64_t n, int64_t k) {
    lb_tensor *t = tensor_of(LB_F32, NULL, n, k);
    float *v = lb_tensor_data(t);
    for (int64_t i = 0; i < n * k; i++) v[i] = next_value() + 0.05f;
    return t;
}

/* Formats of blocks also from random bytes: every scale, minimum and code occurs, not only what quantizers make. */
static void scramble(lb_tensor *t) {
    static const struct { const char *name; int bytes, d, dmin; } blocks[] = {
        { "q2_k", 84, 80, 82 }, { "q3_k", 110, 108, -1 }, { "q4_k", 144, 0, 2 }, { "q5_k", 176, 0, 2 },
        { "q6_k", 210, 208, -1 }, { "iq4_xs", 136, 0, -1 }, { "iq4_nl", 18, 0, -1 }, { "q4_1", 20, 0, 2 },
        { "q5_0", 22, 0, -1 }, { "q5_1", 24, 0, 2 }
    };
    uint8_t *p = lb_tensor_data(t);
    size_t bytes = lb_tensor_size_bytes(t);
    for (size_t f = 0; f < sizeof blocks / sizeof *blocks; f++) {
        if (strcmp(blocks[f].name, t->quantizer->name)) continue;
        for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)next_u32();
        for (uint8_t *b = p; b < p + bytes; b += blocks[f].bytes) {
            uint16_t d = lb_f32_to_f16(0.01f * next_value()), dmin = lb_f32_to_f16(0.01f * next_value());
            memcpy(b + blocks[f].d, &d, 2);
            if (blocks[f].dmin >= 0) memcpy(b + blocks[f].dmin, &dmin, 2);
        }
    }
}

/* Weights [n, k] of a format, or of a float type if q is NULL. */
static lb_tensor *weights(lb_dtype dtype, const lb_quantizer *q, int64_t n, int64_t k, bool raw) {
    lb_tensor *f = floats(n, k), *t = NULL;
    lb_status s = q ? lb_tensor_quantize(f, q, NULL, NULL, &t) : lb_tensor_to_dtype(f, dtype, &t);
    if (s) fail_msg("%s", lb_error());
    lb_tensor_release(f);
    if (q && raw) scramble(t);
    return t;
}

static double *values_of(const lb_tensor *w) {
    lb_tensor *f = NULL;
    lb_status s = w->dtype == LB_QUANT ? lb_tensor_dequantize(w, &f) : lb_tensor_to_dtype(w, LB_F32, &f);
    if (s) fail_msg("%s", lb_error());
    int64_t n = lb_tensor_numel(f);
    double *v = malloc((size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = (double)lb_tensor_f32(f)[i];
    lb_tensor_release(f);
    return v;
}

static double dot(const double *a, const double *b, int64_t k) {
    double s[8] = { 0 }, rest = 0; /* eight chains: most of this test's time is spent here */
    int64_t i = 0;
    for (; i + 8 <= k; i += 8)
        for (int j = 0; j < 8; j++) s[j] += a[i + j] * b[i + j];
    for (; i < k; i++) rest += a[i] * b[i];
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])) + rest;
}

/* `n` floats of poison, with a canary behind them. */
static float *poisoned(int64_t n) {
    float *p = aligned_alloc(64, ((size_t)(n + CANARY) * 4 + 63) / 64 * 64);
    for (int64_t i = 0; i < n + CANARY; i++) memcpy(p + i, &POISON, 4);
    return p;
}

static bool is_poison(const float *p) { return memcmp(p, &POISON, 4) == 0; }

/* A dense f32 or i32 tensor over memory of the test's own. */
typedef struct borrowed { lb_tensor t, *at; lb_buffer b; } borrowed;

static lb_operand borrow(borrowed *s, void *data, int rank, int64_t n, int64_t k) {
    *s = (borrowed){ .t = { .refs = 1, .rank = rank, .dims = { n, k }, .strides = { rank > 1 ? k : 1, 1 } } };
    s->b = (lb_buffer){ .refs = 1, .device = device, .data = data };
    s->t.buffer = &s->b;
    s->at = &s->t;
    return (lb_operand){ &s->at, 1 };
}

/* Launches every part of every phase, one after the other. */
static void launch(const lb_kernel *k, const lb_args *a, int parts) {
    if (k->serial) parts = 1;
    size_t bytes = k->workspace_bytes ? k->workspace_bytes(a, parts) : 0;
    uint8_t *space = aligned_alloc(64, (bytes + 127) / 64 * 64);
    memset(space, 0xa5, bytes + 64);
    for (int phase = 0; phase < (k->phases ? k->phases(a) : 1); phase++) {
        atomic_llong ticket = 0;
        for (int part = 0; part < parts; part++) {
            lb_launch l = { .phase = phase, .part = part, .parts = parts, .workspace = space, .ticket = &ticket };
            TEST_LAUNCH(k, a, &l);
        }
    }
    for (int i = 0; i < 64; i++)
        if (space[bytes + (size_t)i] != 0xa5) fail_msg("%s: writes behind its workspace", k->name);
    free(space);
}

/* ---- gemm ---- */

typedef struct gemm_case { const lb_kernel *kernel; const char *format; lb_tensor *w; int64_t n, k; } gemm_case;
static int launched;
static const char *refused; /* why a kernel without a panel was not launched: fused kernels need the others anyhow */
static bool refuses(const lb_kernel *k, const lb_args *a) {
    return !k->panel && k->supports && !k->supports(a, &refused);
}

/* want[m][n] for the first `rows` rows of x. */
static void expect_gemm(const gemm_case *c, const lb_tensor *x, const double *w, int rows, double *want) {
    double *xs = malloc(((size_t)rows * (size_t)c->k + 1) * sizeof *xs);
    lb_act_values(c->kernel->act, lb_tensor_f32(x), rows, c->k, xs);
    for (int m = 0; m < rows; m++)
        for (int64_t n = 0; n < c->n; n++) want[m * c->n + n] = dot(w + n * c->k, xs + m * c->k, c->k);
    free(xs);
}

/* All these M, the first of which is the most, by one reference; results must not depend on M or on the parts. */
static void check_gemm(const gemm_case *c, lb_tensor *packed, const int *rows, size_t count_of_rows) {
    const int most = rows[0];
    lb_tensor *x = floats(most, c->k);
    double *w = values_of(c->w), *want = malloc((size_t)most * (size_t)c->n * 8);
    expect_gemm(c, x, w, most, want);
    double mean = 0; /* a single output may cancel to nothing: then all rows' are the measure */
    for (int64_t j = 0; j < most * c->n; j++) mean += want[j] * want[j] / (double)(most * c->n);
    float *first = poisoned(most * c->n);
    for (size_t i = 0; i < count_of_rows; i++)
        for (int parts = 1; parts <= 3; parts += 2) {
            int64_t count = rows[i] * c->n;
            float *out = i == 0 && parts == 1 ? first : poisoned(count);
            borrowed bx, bo;
            lb_args a = { 0 };
            a.t[LB_GEMM_X] = borrow(&bx, lb_tensor_data(x), 2, rows[i], c->k);
            a.t[LB_GEMM_W] = (lb_operand){ &packed, 1 };
            a.t[LB_GEMM_OUT] = borrow(&bo, out, 2, rows[i], c->n);
            bool whole = c->kernel->serial && parts > 1; /* only ever launched so */
            if (whole || TEST_SKIPS(c->kernel, rows[i]) || refuses(c->kernel, &a)) {
                if (out != first) free(out);
                continue;
            }
            launched++;
            launch(c->kernel, &a, parts);
            if (c->kernel->act == LB_ACT_F8_TENSOR) expect_gemm(c, x, w, rows[i], want); /* depends on all rows */
            double error = 0, size = 0;
            for (int64_t j = 0; j < count; j++) {
                error += (out[j] - want[j]) * (out[j] - want[j]);
                size += want[j] * want[j];
            }
            size = fmax(size, mean * (double)count);
            if (!(error <= c->kernel->tolerance * size))
                fail_msg("%s %s M=%d N=%d K=%d parts=%d: NMSE %g, allowed %g", c->kernel->name, c->format, rows[i],
                         (int)c->n, (int)c->k, parts, error / size, c->kernel->tolerance);
            for (int j = 0; j < CANARY; j++)
                if (!is_poison(out + count + j))
                    fail_msg("%s %s: writes behind its output", c->kernel->name, c->format);
            if (c->kernel->panel && c->kernel->panel->run && memcmp(out, first, (size_t)count * 4))
                fail_msg("%s %s M=%d N=%d K=%d parts=%d: other bits than with M=%d", c->kernel->name, c->format,
                         rows[i], (int)c->n, (int)c->k, parts, most);
            if (out != first) free(out);
        }
    free(first), free(want), free(w);
    lb_tensor_release(x);
}

/* NaN, Inf or -Inf in one place of x: nothing of its row passes for a number, unless the weight there is 0 (left out by
 * a sparse format, say) and x has no scales; other rows keep their bits, unless all rows have one scale. */
static void check_planted(const gemm_case *c, lb_tensor *packed) {
    static const float values[] = { NAN, INFINITY, -INFINITY };
    static const int batches[] = TEST_PLANTED;
    double *w = values_of(c->w);
    bool scales = c->kernel->act != LB_ACT_F32 && c->kernel->act != LB_ACT_BF16;
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        int m = batches[i], row = m / 2;
        lb_tensor *x = floats(m, c->k);
        float *clean = poisoned(m * c->n), *out = poisoned(m * c->n), *xs = lb_tensor_data(x);
        borrowed bx, bo;
        lb_args a = { 0 };
        a.t[LB_GEMM_X] = borrow(&bx, xs, 2, m, c->k);
        a.t[LB_GEMM_W] = (lb_operand){ &packed, 1 };
        a.t[LB_GEMM_OUT] = borrow(&bo, clean, 2, m, c->n);
        bool taken = !TEST_SKIPS(c->kernel, m) && !refuses(c->kernel, &a);
        if (taken) launch(c->kernel, &a, 1);
        for (int v = 0; taken && v < 3; v++) {
            int64_t at = row * c->k + (c->k - 1) * v / 2;
            float kept = xs[at];
            xs[at] = values[v];
            a.t[LB_GEMM_OUT] = borrow(&bo, out, 2, m, c->n);
            launch(c->kernel, &a, 1);
            xs[at] = kept;
            for (int64_t j = 0; j < m * c->n; j++) {
                bool meets = j / c->n == row && (scales || w[j % c->n * c->k + (c->k - 1) * v / 2] != 0);
                if ((meets || c->kernel->act == LB_ACT_F8_TENSOR) && isfinite(out[j]))
                    fail_msg("%s %s M=%d: %g of x makes %g", c->kernel->name, c->format, m, (double)values[v],
                             (double)out[j]);
                if (j / c->n != row && c->kernel->act != LB_ACT_F8_TENSOR && memcmp(out + j, clean + j, 4))
                    fail_msg("%s %s M=%d: %g in one row changes another", c->kernel->name, c->format, m,
                             (double)values[v]);
            }
        }
        free(clean), free(out);
        lb_tensor_release(x);
    }
    free(w);
}

static void gemm_format(const lb_kernel *kernel, const char *format, lb_dtype dtype, const lb_quantizer *q) {
    static const int64_t ks[] = { 256, 512, 2048, 96, 333, 2112 }, ns[] = { 1, 15, 16, 17, 100 };
    static const int rows[] = TEST_ROWS;
    launched = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 5; j++) {
            if (q && ks[i] % q->k_multiple) continue;
            if (TEST_TOO_SLOW(ns[j], ks[i])) continue;
            /* 33 blocks of 64, of which 17 are kept: one more than are multiplied at a time */
            bool sparse = kernel->format && !strncmp(kernel->format, "block-sparse", 12);
            if (ks[i] == 2112 && (ns[j] != 17 || !sparse)) continue;
#ifdef TEST_ANY_ONCE /* what expands weights of any format is tried with each, not each with everything */
            if (kernel->format && !strcmp(kernel->format, "any") && (ns[j] != 17 || ks[i] != 256)) continue;
#endif
            gemm_case c = { kernel, format, weights(dtype, q, ns[j], ks[i], j % 2), ns[j], ks[i] };
            lb_tensor *packed = c.w;
            if (kernel->layout && lb_tensor_in_layout(c.w, kernel, &packed, NULL)) fail_msg("%s", lb_error());
            check_gemm(&c, packed, rows, sizeof rows / sizeof *rows);
            if (ks[i] == 256 && ns[j] == 17) check_planted(&c, packed);
#ifdef TEST_WIDE /* kernels for many rows only: more than one tile of them */
            static const int wide[] = TEST_WIDE;
            if (!kernel->panel && ks[i] == 256 && ns[j] == 17) check_gemm(&c, packed, wide, sizeof wide / sizeof *wide);
#endif
            lb_tensor_release(c.w);
        }
    if (!launched) TEST_NOT_RUN(kernel, format, refused);
}

/* LUABENCH_TEST_KERNEL=gemm.q4_0 tests only kernels whose names begin so. */
static bool runs_here(const lb_kernel *k, const char *op) {
    const char *only = getenv("LUABENCH_TEST_KERNEL");
    if (only && strncmp(k->name, only, strlen(only))) return false;
    return !strcmp(k->op, op) && !strcmp(k->device, "cpu") && (lb_device_caps_of(device)->isa & k->isa) == k->isa;
}

/* LUABENCH_TEST_FORMAT=q4_0 tests only weight formats whose names begin so. */
static int formats_wanted;
static bool format_wanted(const char *name) {
    const char *only = getenv("LUABENCH_TEST_FORMAT");
    bool wanted = !only || !strncmp(name, only, strlen(only));
    formats_wanted += wanted;
    return wanted;
}

static void each_member(const lb_kernel *kernel, const lb_quantizer_family *f) {
    for (const char *const *m = f->members; m && *m; m++) {
        const lb_quantizer *q;
        if (!format_wanted(*m)) continue;
        if (lb_quantizer_find(*m, &q)) fail_msg("%s", lb_error());
        gemm_format(kernel, *m, LB_QUANT, q);
    }
}

static void test_gemm_kernels(void **unused) {
    (void)unused;
    int tested = 0;
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (!runs_here(k, "gemm")) continue;
        tested++;
        bool any = !k->format || !strcmp(k->format, "any");
        for (int f = 0; lb_quantizer_families[f]; f++)
            if (any || !strcmp(k->format, lb_quantizer_families[f]->name)) each_member(k, lb_quantizer_families[f]);
        static const lb_dtype floating[] = { LB_F32, LB_F16, LB_BF16 };
        for (int d = 0; d < 3; d++)
            if (k->format && !strcmp(k->format, lb_dtype_name(floating[d])) && format_wanted(k->format))
                gemm_format(k, k->format, floating[d], NULL);
    }
    if (!tested && !getenv("LUABENCH_TEST_KERNEL")) NOTHING_TESTED;
    if (tested && !formats_wanted) fail_msg("no format's name begins with \"%s\"", getenv("LUABENCH_TEST_FORMAT"));
}

#include "moe_kernels.h"

static int open_device(void **unused) {
    (void)unused;
    return lb_device_open("cpu", 1, &device) ? -1 : 0;
}

static int close_device(void **unused) {
    (void)unused;
    lb_device_release(device);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_kernels),
        cmocka_unit_test(test_moe_ffn_kernels),
#ifdef TEST_OTHER_ISA
        cmocka_unit_test(test_moe_ffn_panels_avx2),
#endif
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
