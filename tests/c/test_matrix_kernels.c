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
#include "engine/wide.h"
#include "tests/c/cpu_device.h"
#include "tests/c/trellis_codes.h"

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
#define TEST_ROWS { M_MAX, MANY, 33, 17, 16, 13, 12, 11, 8, 5, 3, 2, 1, 0 }
#define TEST_LARGE { 1, 2, 3, 16, MANY }
#define TEST_SPREAD { 1, 3, 16, MANY }
#if defined __SANITIZE_ADDRESS__ /* many times as slow: where memory goes wrong, it does at the tails */
#define TEST_TOO_SLOW(n, k) ((k) > 1000 || ((k) != 256 && (n) != 17 && (n) != 1))
#else
#define TEST_TOO_SLOW(n, k) false
#endif
#endif
#ifndef TEST_LARGE
#define TEST_LARGE { 1, 2, 3, 16 }
#define TEST_SPREAD { 1, 3, 16 }
#endif

#ifndef TEST_MOST
#define TEST_MOST 97 /* planes of AMX begin at 96 */
#endif

enum { M_MAX = TEST_MOST, MANY = 49 /* what kernels take that leave fewer to others, TILES_LEAST_BESIDE */ };
enum { CANARY = 16 };
static const uint32_t POISON = 0xffc0dead; /* a NaN */

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

/* Whether it could be done: formats of blocks from random bytes, so that every scale, minimum and code occurs, not only
 * what quantizers make. */
static bool scramble(lb_tensor *t) {
    static const struct { const char *name; int bytes, d, dmin; } blocks[] = {
        { "q2_k", 84, 80, 82 }, { "q3_k", 110, 108, -1 }, { "q4_k", 144, 0, 2 }, { "q5_k", 176, 0, 2 },
        { "q6_k", 210, 208, -1 }, { "iq4_xs", 136, 0, -1 }, { "iq4_nl", 18, 0, -1 }, { "q4_1", 20, 0, 2 },
        { "q5_0", 22, 0, -1 }, { "q5_1", 24, 0, 2 }
    };
    uint8_t *p = lb_tensor_data(t);
    size_t bytes = lb_tensor_size_bytes(t);
    if (is_trellis(t->quantizer)) return trellis_codes(t, next_u32), true;
    for (size_t f = 0; f < sizeof blocks / sizeof *blocks; f++) {
        if (strcmp(blocks[f].name, t->quantizer->name)) continue;
        for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)next_u32();
        for (uint8_t *b = p; b < p + bytes; b += blocks[f].bytes) {
            uint16_t d = lb_f32_to_f16(0.01f * next_value()), dmin = lb_f32_to_f16(0.01f * next_value());
            memcpy(b + blocks[f].d, &d, 2);
            if (blocks[f].dmin >= 0) memcpy(b + blocks[f].dmin, &dmin, 2);
        }
        return true;
    }
    return false;
}

/* Weights [n, k] of a format, or of a float type if q is NULL. */
static lb_tensor *weights(lb_dtype dtype, const lb_quantizer *q, int64_t n, int64_t k, bool raw) {
    lb_tensor *f, *t = NULL;
    if (q && (raw || is_trellis(q))) {
        t = tensor_of(LB_QUANT, q, n, k);
        if (scramble(t)) return t;
        lb_tensor_release(t);
    }
    f = floats(n, k);
    lb_status s = q ? lb_tensor_quantize(f, q, NULL, NULL, &t) : lb_tensor_to_dtype(f, dtype, &t);
    if (s) fail_msg("%s", lb_error());
    lb_tensor_release(f);
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

/* Most of this test's time is spent here, and what is to be sanitized are the kernels. */
#if defined __SANITIZE_ADDRESS__ && !defined __clang__
#define REFERENCE __attribute__((no_sanitize("address", "undefined"), optimize("O3")))
#else
#define REFERENCE
#endif

REFERENCE LB_WIDE static double dot(const double *restrict a, const double *restrict b, int64_t k) {
    double s[8] = { 0 }, rest = 0;
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

/* What all kernels of a format have in common at one size: weights, and by the most rows of the usual and of the wide
 * batches, activations and what f64 makes of them, as each activation format has them. */
enum { WANTS = 2 };
typedef struct gemm_case {
    const char *format;
    int64_t n, k;
    lb_tensor *w, *x[WANTS];
    double *values, *want[WANTS][LB_ACT_COUNT];
} gemm_case;
static int launched;
static const char *refused; /* why a kernel without a panel was not launched: fused kernels need the others anyhow */
static bool refuses(const lb_kernel *k, const lb_args *a) {
    return !k->panel && k->supports && !k->supports(a, &refused);
}

static void gemm_case_done(gemm_case *c) {
    for (int i = 0; i < WANTS; i++) {
        lb_tensor_release(c->x[i]);
        for (int a = 0; a < LB_ACT_COUNT; a++) free(c->want[i][a]);
    }
    free(c->values);
    lb_tensor_release(c->w);
}

/* want[m][n] for the first `rows` rows of x. */
static void expect_gemm(const gemm_case *c, lb_act act, const lb_tensor *x, int rows, double *want) {
    double *xs = malloc(((size_t)rows * (size_t)c->k + 1) * sizeof *xs);
    lb_act_values(act, lb_tensor_f32(x), rows, c->k, xs);
    for (int m = 0; m < rows; m++)
        for (int64_t n = 0; n < c->n; n++) want[m * c->n + n] = dot(c->values + n * c->k, xs + m * c->k, c->k);
    free(xs);
}

/* The case's activations of `most` rows, and what they give. */
static double *expected(gemm_case *c, lb_act act, int which, int most) {
    if (!c->x[which]) c->x[which] = floats(most, c->k);
    double **want = &c->want[which][act];
    if (*want) return *want;
    *want = malloc(((size_t)most * (size_t)c->n + 1) * sizeof **want);
    expect_gemm(c, act, c->x[which], most, *want);
    return *want;
}

/* All these M, the first of which is the most, by one reference; results must not depend on M or on the parts. */
static void check_gemm(gemm_case *c, const lb_kernel *k, lb_tensor *packed, const int *rows, size_t count_of_rows,
                       int which) {
    const int most = rows[0];
    double *want = expected(c, k->act, which, most), mean = 0;
    lb_tensor *x = c->x[which], *before;
    if (lb_tensor_clone(x, &before)) fail_msg("%s", lb_error());
    /* A single output may cancel to nothing: then all rows' are the measure. */
    for (int64_t j = 0; j < most * c->n; j++)
        mean += want[j] * want[j] / (double)(most * c->n);
    float *first = NULL; /* what the most rows that the kernel takes gave */
    for (size_t i = 0; i < count_of_rows; i++)
        for (int parts = 1; parts <= 3; parts += 2) {
            int64_t count = rows[i] * c->n;
            float *out = poisoned(count);
            borrowed bx, bo;
            lb_args a = { 0 };
            a.t[LB_GEMM_X] = borrow(&bx, lb_tensor_data(x), 2, rows[i], c->k);
            a.t[LB_GEMM_W] = (lb_operand){ &packed, 1 };
            a.t[LB_GEMM_OUT] = borrow(&bo, out, 2, rows[i], c->n);
            bool whole = k->serial && parts > 1; /* only ever launched so */
            if (whole || TEST_SKIPS(k, rows[i]) || refuses(k, &a)) {
                free(out);
                continue;
            }
            launched++;
            if (!first) first = out;
            launch(k, &a, parts);
            if (k->act == LB_ACT_F8_TENSOR) expect_gemm(c, k->act, x, rows[i], want); /* depends on all rows */
            double error = 0, size = 0;
            for (int64_t j = 0; j < count; j++) {
                error += (out[j] - want[j]) * (out[j] - want[j]);
                size += want[j] * want[j];
            }
            size = fmax(size, mean * (double)count);
            if (!(error <= k->tolerance * size))
                fail_msg("%s %s M=%d N=%d K=%d parts=%d: NMSE %g, allowed %g", k->name, c->format, rows[i],
                         (int)c->n, (int)c->k, parts, error / size, k->tolerance);
            for (int j = 0; j < CANARY; j++)
                if (!is_poison(out + count + j)) fail_msg("%s %s: writes behind its output", k->name, c->format);
            bool same = (k->panel && k->panel->run) || k->isa & (LB_ISA_AMX_BF16 | LB_ISA_AMX_INT8);
            same = same && k->act != LB_ACT_F8_TENSOR; /* whose scale is that of all rows */
            if (same && memcmp(out, first, (size_t)count * 4))
                fail_msg("%s %s M=%d N=%d K=%d parts=%d: other bits than with more rows or one part", k->name,
                         c->format, rows[i], (int)c->n, (int)c->k, parts);
            if (out != first) free(out);
        }
    if (memcmp(lb_tensor_data(x), lb_tensor_data(before), lb_tensor_size_bytes(x)))
        fail_msg("%s %s: writes to x, which it only reads", k->name, c->format);
    if (k->act == LB_ACT_F8_TENSOR) { /* it is of the last batch */
        free(want);
        c->want[which][k->act] = NULL;
    }
    free(first);
    lb_tensor_release(before);
}

/* NaN, Inf or -Inf in one place of x: nothing of its row passes for a number, unless the weight there is 0 (left out by
 * a sparse format, say) and x has no scales; other rows keep their bits, unless all rows have one scale. */
static void check_planted(const gemm_case *c, const lb_kernel *k, lb_tensor *packed) {
    static const float values[] = { NAN, INFINITY, -INFINITY };
    static const int batches[] = TEST_PLANTED;
    bool scales = k->act != LB_ACT_F32 && k->act != LB_ACT_BF16;
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        int m = batches[i], row = m / 2;
        lb_tensor *x = floats(m, c->k);
        float *clean = poisoned(m * c->n), *out = poisoned(m * c->n), *xs = lb_tensor_data(x);
        borrowed bx, bo;
        lb_args a = { 0 };
        a.t[LB_GEMM_X] = borrow(&bx, xs, 2, m, c->k);
        a.t[LB_GEMM_W] = (lb_operand){ &packed, 1 };
        a.t[LB_GEMM_OUT] = borrow(&bo, clean, 2, m, c->n);
        bool taken = !TEST_SKIPS(k, m) && !refuses(k, &a);
        if (taken) launch(k, &a, 1);
        for (int v = 0; taken && v < 3; v++) {
            int64_t at = row * c->k + (c->k - 1) * v / 2;
            float kept = xs[at];
            xs[at] = values[v];
            a.t[LB_GEMM_OUT] = borrow(&bo, out, 2, m, c->n);
            launch(k, &a, 1);
            xs[at] = kept;
            for (int64_t j = 0; j < m * c->n; j++) {
                bool meets = j / c->n == row && (scales || c->values[j % c->n * c->k + (c->k - 1) * v / 2] != 0);
                if ((meets || k->act == LB_ACT_F8_TENSOR) && isfinite(out[j]))
                    fail_msg("%s %s M=%d: %g of x makes %g", k->name, c->format, m, (double)values[v], (double)out[j]);
                if (j / c->n != row && k->act != LB_ACT_F8_TENSOR && memcmp(out + j, clean + j, 4))
                    fail_msg("%s %s M=%d: %g in one row changes another", k->name, c->format, m, (double)values[v]);
            }
        }
        free(clean), free(out);
        lb_tensor_release(x);
    }
}

/* Activations 2^100 times as large give the same bits 2^100 times as large: no step on the way leaves f32's range. */
static void check_large(const gemm_case *c, const lb_kernel *k, lb_tensor *packed) {
    static const int ms[] = TEST_LARGE;
    for (size_t i = 0; i < sizeof ms / sizeof *ms; i++) {
        const int m = ms[i];
        lb_tensor *x = floats(m, c->k);
        float *plain = poisoned(m * c->n), *large = poisoned(m * c->n), *xs = lb_tensor_data(x);
        borrowed bx, bo;
        lb_args a = { 0 };
        a.t[LB_GEMM_X] = borrow(&bx, xs, 2, m, c->k);
        a.t[LB_GEMM_W] = (lb_operand){ &packed, 1 };
        a.t[LB_GEMM_OUT] = borrow(&bo, plain, 2, m, c->n);
        bool taken = !TEST_SKIPS(k, m) && !refuses(k, &a);
        if (taken) launch(k, &a, 1);
        for (int64_t j = 0; j < m * c->k; j++) xs[j] *= 0x1p100f;
        a.t[LB_GEMM_OUT] = borrow(&bo, large, 2, m, c->n);
        if (taken) launch(k, &a, 1);
        for (int64_t j = 0; taken && j < m * c->n; j++)
            if (large[j] != plain[j] * 0x1p100f)
                fail_msg("%s %s M=%d: %g of activations 2^100 times as large, %g without", k->name, c->format, m,
                         (double)large[j], (double)plain[j]);
        free(plain), free(large);
        lb_tensor_release(x);
    }
}

/* Weights of the case's format whose column 0 is zero, in the kernel's layout; `*w` is to be released. */
static lb_tensor *without_first_column(const gemm_case *c, const lb_kernel *k, lb_tensor **w) {
    lb_tensor *f = floats(c->n, c->k), *packed;
    float *v = lb_tensor_data(f);
    for (int64_t n = 0; n < c->n; n++) v[n * c->k] = 0;
    const lb_tensor *like = c->w;
    lb_status s = like->dtype == LB_QUANT ? lb_tensor_quantize(f, like->quantizer, NULL, NULL, w)
                                          : lb_tensor_to_dtype(f, like->dtype, w);
    if (s) fail_msg("%s", lb_error());
    lb_tensor_release(f);
    packed = *w;
    if (k->layout && lb_tensor_in_layout(*w, k, &packed, NULL)) fail_msg("%s", lb_error());
    return packed;
}

/* A format whose codes are multiplied before their zero or minimum is taken off: f32 cannot hold what is left. */
static bool takes_zero_off(const gemm_case *c) {
    static const char *const names[] = { "int4wo", "awq", "gptq" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(c->format, names[i], strlen(names[i]))) return true;
    return false;
}

/* Activations of very different sizes: a large one where weights are zero, so that the small ones are the result, and
 * ever smaller ones. */
static void check_spread(const gemm_case *c, const lb_kernel *k) {
    static const int ms[] = TEST_SPREAD;
    if (k->act != LB_ACT_F32 && k->act != LB_ACT_BF16) return; /* with scales the small ones are zero */
    if (!strncmp(c->format, "uintx", 5)) return; /* of one bit: what few activations give cancels, 1e-6 was seen */
    lb_tensor *w, *packed = without_first_column(c, k, &w);
    gemm_case mine = { .format = c->format, .n = c->n, .k = c->k, .w = w, .values = values_of(w) };
    bool zeros = k->act == LB_ACT_BF16 && !takes_zero_off(c); /* kernels of f32 may take off an offset, too */
    for (int64_t n = 0; n < c->n; n++) zeros = zeros && mine.values[n * c->k] == 0;
    for (size_t i = 0; i < 2 * sizeof ms / sizeof *ms; i++) {
        const int m = ms[i / 2], falling = i % 2;
        lb_tensor *x = floats(m, c->k);
        float *out = poisoned(m * c->n), *xs = lb_tensor_data(x);
        double *want = malloc((size_t)(m * c->n) * sizeof *want), error = 0, size = 0;
        for (int64_t j = 0; j < m * c->k; j++)
            xs[j] = falling ? ldexpf(xs[j], (int)(-90 * (j % c->k) / c->k)) : j % c->k ? xs[j] : 0x1p64f;
        borrowed bx, bo;
        lb_args a = { 0 };
        a.t[LB_GEMM_X] = borrow(&bx, xs, 2, m, c->k);
        a.t[LB_GEMM_W] = (lb_operand){ &packed, 1 };
        a.t[LB_GEMM_OUT] = borrow(&bo, out, 2, m, c->n);
        if ((falling || zeros) && !TEST_SKIPS(k, m) && !refuses(k, &a)) {
            launch(k, &a, 1);
            expect_gemm(&mine, k->act, x, m, want);
            for (int64_t j = 0; j < m * c->n; j++) {
                error += (out[j] - want[j]) * (out[j] - want[j]);
                size += want[j] * want[j];
            }
            if (!(error <= k->tolerance * size))
                fail_msg("%s %s M=%d: activations %s: NMSE %g, allowed %g", k->name, c->format, m,
                         falling ? "from 1 to 2^-90" : "of 1 and, by weights of 0, 2^64", error / size, k->tolerance);
        }
        free(out), free(want);
        lb_tensor_release(x);
    }
    free(mine.values);
    lb_tensor_release(w);
}

/* Where whole numbers of 31 and 63 bits end that kernels make of activations: a large one where weights are zero, so
 * many powers of two above the others, which are the result, each with all of a bf16's bits. And what is so small, but
 * meets zero weights, changes no bit of what the others give. */
static void check_borders(const gemm_case *c, const lb_kernel *k) {
    static const int above[] = { 21, 22, 23, 24, 53, 54, 55, 56 };
    if (k->act != LB_ACT_BF16) return;
    lb_tensor *w, *packed = without_first_column(c, k, &w), *x = floats(1, c->k);
    gemm_case mine = { .format = c->format, .n = c->n, .k = c->k, .w = w, .values = values_of(w) };
    bool zeros = !takes_zero_off(c) && strncmp(c->format, "uintx", 5); /* as in check_spread */
    for (int64_t n = 0; n < c->n; n++) zeros = zeros && mine.values[n * c->k] == 0;
    float *out = poisoned(c->n), *clean = poisoned(c->n), *xs = lb_tensor_data(x);
    double *want = malloc((size_t)c->n * sizeof *want);
    borrowed bx, bo;
    lb_args a = { 0 };
    a.t[LB_GEMM_X] = borrow(&bx, xs, 2, 1, c->k);
    a.t[LB_GEMM_W] = (lb_operand){ &packed, 1 };
    a.t[LB_GEMM_OUT] = borrow(&bo, out, 2, 1, c->n);
    bool taken = zeros && !TEST_SKIPS(k, 1) && !refuses(k, &a);
    for (int64_t j = 1; j < c->k; j++) xs[j] = (float)((int)(next_u32() % 128) + 128) * (j % 3 ? 0x1p-7f : -0x1p-7f);
    for (size_t i = 0; taken && i < sizeof above / sizeof *above; i++) {
        double error = 0, size = 0;
        xs[0] = ldexpf(1, above[i]);
        launch(k, &a, 1);
        expect_gemm(&mine, k->act, x, 1, want);
        for (int64_t j = 0; j < c->n; j++) error += (out[j] - want[j]) * (out[j] - want[j]), size += want[j] * want[j];
        if (!(error <= k->tolerance * size))
            fail_msg("%s %s: a value 2^%d times the others: NMSE %g, allowed %g", k->name, c->format, above[i],
                     error / size, k->tolerance);
    }
    for (int i = 0; taken && i < 5; i++) {
        xs[0] = i ? ldexpf(1, -(i < 4 ? 20 + i : 54)) : 0;
        a.t[LB_GEMM_OUT] = borrow(&bo, i ? out : clean, 2, 1, c->n);
        launch(k, &a, 1);
        if (i && memcmp(out, clean, (size_t)c->n * 4))
            fail_msg("%s %s: %g of x where weights are zero changes what comes out", k->name, c->format, (double)xs[0]);
    }
    free(out), free(clean), free(want), free(mine.values);
    lb_tensor_release(x), lb_tensor_release(w);
}

/* One value so far below the others that it counts for nothing, at a weight that is not zero: whole numbers that hold
 * the row, where a kernel makes them of it, have twice as many bits, or there are none. Of every format, also those
 * that take a zero off. */
static void check_small(const gemm_case *c, const lb_kernel *k, lb_tensor *packed) {
    static const int below[] = { 30, 100 };
    if (k->act != LB_ACT_BF16) return;
    lb_tensor *x = floats(1, c->k);
    float *out = poisoned(c->n), *xs = lb_tensor_data(x);
    double *want = malloc((size_t)c->n * sizeof *want);
    borrowed bx, bo;
    lb_args a = { 0 };
    a.t[LB_GEMM_X] = borrow(&bx, xs, 2, 1, c->k);
    a.t[LB_GEMM_W] = (lb_operand){ &packed, 1 };
    a.t[LB_GEMM_OUT] = borrow(&bo, out, 2, 1, c->n);
    bool taken = !TEST_SKIPS(k, 1) && !refuses(k, &a);
    for (size_t i = 0; taken && i < sizeof below / sizeof *below; i++) {
        double error = 0, size = 0;
        xs[0] = ldexpf(1, -below[i]);
        launch(k, &a, 1);
        expect_gemm(c, k->act, x, 1, want);
        for (int64_t j = 0; j < c->n; j++) error += (out[j] - want[j]) * (out[j] - want[j]), size += want[j] * want[j];
        if (!(error <= k->tolerance * size))
            fail_msg("%s %s: a value 2^-%d times the others: NMSE %g, allowed %g", k->name, c->format, below[i],
                     error / size, k->tolerance);
    }
    free(out), free(want);
    lb_tensor_release(x);
}

/* One kernel at one size, by weights of its own: layouts stay with the tensor that they were made from. */
static void gemm_at(gemm_case *c, const lb_kernel *k) {
    static const int rows[] = TEST_ROWS;
    lb_tensor *w, *packed;
    if (lb_tensor_clone(c->w, &w)) fail_msg("%s", lb_error());
    packed = w;
    if (k->layout && lb_tensor_in_layout(w, k, &packed, NULL)) fail_msg("%s", lb_error());
    check_gemm(c, k, packed, rows, sizeof rows / sizeof *rows, 0);
    if ((c->k == 256 || c->k == 512) && c->n == 17) {
        check_planted(c, k, packed);
        check_large(c, k, packed);
        check_spread(c, k);
        check_borders(c, k);
        check_small(c, k, packed);
    }
#ifdef TEST_WIDE /* kernels for many rows only: more than one tile of them */
    static const int wide[] = TEST_WIDE;
    if (!k->panel && c->k == 256 && c->n == 17) check_gemm(c, k, packed, wide, sizeof wide / sizeof *wide, 1);
#endif
    lb_tensor_release(w);
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

/* Whether the kernel multiplies weights of this format: `family` NULL, a float type. */
static bool reads(const lb_kernel *k, const char *family, const char *format) {
    if (!runs_here(k, "gemm")) return false;
    if (family && (!k->format || !strcmp(k->format, "any"))) return true;
    return k->format && !strcmp(k->format, family ? family : format);
}

static bool size_wanted(const lb_kernel *k, int64_t n, int64_t size) {
    if (TEST_TOO_SLOW(n, size)) return false;
    /* 33 blocks of 64, of which 17 are kept: one more than are multiplied at a time */
    bool sparse = k->format && !strncmp(k->format, "block-sparse", 12);
    if (size == 2112 && (n != 17 || !sparse)) return false;
#ifdef TEST_ANY_ONCE /* what expands weights of any format is tried with each, not each with everything */
    if (k->format && !strcmp(k->format, "any") && (n != 17 || size != 256)) return false;
#endif
    return true;
}

/* Every kernel that reads the format, at every size. */
static void gemm_format(const lb_quantizer *q, lb_dtype dtype, const char *family, const char *format) {
    static const int64_t ks[] = { 256, 512, 2048, 96, 333, 2112, 0 }, ns[] = { 1, 15, 16, 17, 100 };
    int kernels = lb_kernel_count(), *launches = calloc((size_t)kernels, sizeof *launches);
    const char **reasons = calloc((size_t)kernels, sizeof *reasons);
    assert_true(launches && reasons);
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
        for (size_t j = 0; j < sizeof ns / sizeof *ns; j++) {
            gemm_case c = { .format = format, .n = ns[j], .k = ks[i] };
            for (int n = 0; n < kernels; n++) {
                const lb_kernel *k = lb_kernel_at(n);
                if (!reads(k, family, format) || (q && ks[i] % q->k_multiple) || !size_wanted(k, ns[j], ks[i]))
                    continue;
                if (!c.w) c.w = weights(dtype, q, ns[j], ks[i], j % 2);
                if (!c.values) c.values = values_of(c.w);
                launched = 0, refused = NULL;
                gemm_at(&c, k);
                launches[n] += launched;
                if (refused) reasons[n] = refused;
            }
            gemm_case_done(&c);
        }
    for (int n = 0; n < kernels; n++) {
        if (reasons[n] && strstr(reasons[n], "LUABENCH_ISA")) continue; /* a library, which cannot be limited */
        if (reasons[n] && strstr(reasons[n], "codes of")) continue; /* other members of the family */
        if (reads(lb_kernel_at(n), family, format) && !launches[n])
            TEST_NOT_RUN(lb_kernel_at(n), format, reasons[n] ? reasons[n] : "none was tried");
    }
    free(launches), free(reasons);
}

static bool read_by_any(const char *family, const char *format) {
    for (int n = 0; n < lb_kernel_count(); n++)
        if (reads(lb_kernel_at(n), family, format)) return true;
    return false;
}

static void test_gemm_kernels(void **unused) {
    (void)unused;
    int tested = 0;
    for (int n = 0; n < lb_kernel_count(); n++) tested += runs_here(lb_kernel_at(n), "gemm");
    for (int f = 0; lb_quantizer_families[f]; f++) {
        const char *family = lb_quantizer_families[f]->name;
        for (const char *const *m = lb_quantizer_families[f]->members; m && *m; m++) {
            const lb_quantizer *q;
            if (!read_by_any(family, *m) || !format_wanted(*m)) continue;
            if (lb_quantizer_find(*m, &q)) fail_msg("%s", lb_error());
            gemm_format(q, LB_QUANT, family, *m);
        }
    }
    static const lb_dtype floating[] = { LB_F32, LB_F16, LB_BF16 };
    for (int d = 0; d < 3; d++) {
        const char *name = lb_dtype_name(floating[d]);
        if (read_by_any(NULL, name) && format_wanted(name)) gemm_format(NULL, floating[d], NULL, name);
    }
    if (!tested && !getenv("LUABENCH_TEST_KERNEL")) NOTHING_TESTED;
    if (tested && !formats_wanted) fail_msg("no format's name begins with \"%s\"", getenv("LUABENCH_TEST_FORMAT"));
}

#include "moe_kernels.h"

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_kernels),
        cmocka_unit_test(test_moe_ffn_kernels),
#ifdef TEST_OTHER_ISA
        cmocka_unit_test(test_moe_ffn_panels_avx2),
        cmocka_unit_test(test_moe_ffn_panels_avx512),
#endif
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
