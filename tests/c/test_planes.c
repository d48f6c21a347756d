/* test_planes.c: gemm kernels whose weights are folded into planes of bytes (kernels/cpu/planes.h), by scales that a
 * quantizer seldom makes: far apart, subnormal, zero, of both signs, all alike, Inf and NaN. Held against f64 on the
 * operands that the kernel saw; a row's bits are the same with other rows of weights beside it, of any number of rows
 * of x and of parts. Weights end where memory ends. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"
#include "tests/c/cpu_device.h"

enum { N = 9 * 32 + 7 /* more panels than go together */, K = 768, M = 99, GROUP = 32,
       M_MOST = 2 * 512 + 6 /* three blocks of columns */ };
static uint32_t state = 1;

static uint32_t next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }

static lb_tensor *tensor(lb_dtype dtype, const lb_quantizer *q, int64_t n, int64_t k) {
    lb_tensor *t = NULL;
    if (lb_tensor_new(device, dtype, q, 2, (int64_t[]){ n, k }, &t)) fail_msg("%s", lb_error());
    return t;
}

/* f16 scales of row r, group g. */
static uint16_t f16(uint32_t exponent, int negative) {
    return (uint16_t)(exponent << 10 | (next() & 0x3ff) | (uint32_t)negative << 15);
}
static uint16_t far_apart(int r, int g) { return f16(next() % 31, (r + g) % 2); }
static uint16_t near_by(int r, int g) { return f16(10 + next() % 4, r % 3 == 0 && g % 2); }
static uint16_t subnormal(int r, int g) { return (uint16_t)((r + g) % 3 ? next() & 0x3ff : next() & 0x80ff); }
static uint16_t zeros(int r, int g) { return (r + g) % 4 ? 0 : (uint16_t)(next() % 0x7c00); }
static uint16_t edges(int r, int g) { return (uint16_t)(g % 8 == r % 8 ? 0x7bff : r % 3 ? 0x0001 : 0x8001); }
static uint16_t powers(int r, int g) { return (uint16_t)((1 + (next() + (uint32_t)(r * g)) % 30) << 10); }
static uint16_t of_all_kinds(int r, int g) {
    return r % 4 == 0 ? far_apart(r, g) : r % 4 == 1 ? near_by(r, g) : r % 4 == 2 ? subnormal(r, g) : edges(r, g);
}
static uint16_t alike(int r, int g) { return (uint16_t)(0x2c00 + 31 * r + 0 * g); }

/* Codes are any bytes, of 0x88 and 0x80 more than their share: the least of four bits and of eight. */
static void fill(lb_tensor *w, uint16_t (*scale)(int, int)) {
    uint8_t *p = lb_tensor_data(w);
    const size_t bytes = lb_tensor_size_bytes(w) / (N * K / GROUP);
    for (int i = 0; i < N * K / GROUP; i++, p += bytes) {
        const uint16_t d = scale(i / (K / GROUP), i % (K / GROUP));
        for (size_t b = 2; b < bytes; b++) {
            const uint32_t v = next();
            p[b] = (uint8_t)(v % 5 == 0 ? 0x88 : v % 5 == 1 ? 0x80 : v >> 8);
        }
        memcpy(p, &d, 2);
    }
}

static double *values(lb_tensor *t) {
    lb_tensor *f = NULL;
    if (lb_tensor_dequantize(t, &f)) fail_msg("%s", lb_error());
    double *v = malloc(sizeof *v * N * K);
    for (int i = 0; i < N * K; i++) v[i] = (double)lb_tensor_f32(f)[i];
    lb_tensor_release(f);
    return v;
}

/* x as whole numbers whose largest in each 256 is 127, so that their codes are they. */
static lb_tensor *whole_numbers(int m) {
    lb_tensor *x = tensor(LB_F32, NULL, m, K);
    float *v = lb_tensor_data(x);
    for (int i = 0; i < m * K; i++) v[i] = i % 256 == 5 ? 127.0f : (float)((int)(next() % 255) - 127);
    return x;
}

/* `bytes` of memory with nothing behind the last; unmap() gives them back. */
static size_t mapped(size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}
static char *at_the_end(size_t bytes) {
    const size_t all = mapped(bytes);
    char *p = mmap(NULL, all + mapped(1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED && !mprotect(p + all, mapped(1), PROT_NONE));
    return p + all - bytes;
}
static void unmap(char *p, size_t bytes) { munmap(p + bytes - mapped(bytes), mapped(bytes) + mapped(1)); }

/* The first m rows of x. */
static void run(const lb_kernel *k, lb_tensor *x, int m, lb_tensor *w, int parts, float *to) {
    lb_tensor *packed = NULL, *some = NULL, *out = tensor(LB_F32, NULL, m, N);
    if (lb_tensor_in_layout(w, k, &packed, NULL)) fail_msg("%s", lb_error());
    if (lb_tensor_slice(x, 0, 0, m, &some)) fail_msg("%s", lb_error());
    lb_buffer buffer = *packed->buffer;
    lb_tensor there = *packed, *weights = &there;
    buffer.data = at_the_end(packed->layout_bytes), there.buffer = &buffer, there.offset_bytes = 0;
    memcpy(buffer.data, lb_tensor_data(packed), packed->layout_bytes);
    lb_args a = { 0 };
    a.t[LB_GEMM_X] = (lb_operand){ &some, 1 }, a.t[LB_GEMM_W] = (lb_operand){ &weights, 1 };
    a.t[LB_GEMM_OUT] = (lb_operand){ &out, 1 };
    const char *why = "";
    assert_true(k->supports(&a, &why));
    const size_t bytes = (k->workspace_bytes(&a, parts) + 63) / 64 * 64;
    char *space = at_the_end(bytes);
    memset(space, 0xff, bytes); /* NaNs */
    for (int phase = 0; phase < k->phases(&a); phase++) {
        atomic_llong ticket = 0;
        for (int part = 0; part < parts; part++)
            k->launch(&a, &(lb_launch){ .phase = phase, .part = part, .parts = parts, .workspace = space,
                                        .ticket = &ticket });
    }
    memcpy(to, lb_tensor_data(out), sizeof *to * (size_t)m * N);
    unmap(space, bytes), unmap(buffer.data, packed->layout_bytes);
    lb_tensor_release(some), lb_tensor_release(out);
}

static void check(const lb_kernel *k, const lb_quantizer *q, const char *what, uint16_t (*scale)(int, int)) {
    lb_tensor *w = tensor(LB_QUANT, q, N, K), *x = whole_numbers(M);
    fill(w, scale);
    float *got = malloc(sizeof *got * M * N);
    run(k, x, M, w, 1, got);
    double *v = values(w);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double want = 0, most = 0;
            for (int i = 0; i < K; i++) {
                const double p = v[n * K + i] * (double)lb_tensor_f32(x)[m * K + i];
                want += p, most += fabs(p);
            }
            if (!(fabs((double)got[m * N + n] - want) <= 1e-6 * most))
                fail_msg("%s, %s: row %d, column %d is %g, not %g", k->name, what, n, m, (double)got[m * N + n], want);
        }
    free(v), free(got);
    lb_tensor_release(x), lb_tensor_release(w);
}

/* Rows with Inf or NaN give NaN; the others are as they were without them. */
static void check_not_finite(const lb_kernel *k, const lb_quantizer *q) {
    lb_tensor *w = tensor(LB_QUANT, q, N, K), *worse = tensor(LB_QUANT, q, N, K), *x = whole_numbers(M);
    float *without = malloc(sizeof *without * M * N), *with = malloc(sizeof *with * M * N);
    fill(w, near_by);
    const size_t row = lb_tensor_size_bytes(w) / N;
    memcpy(lb_tensor_data(worse), lb_tensor_data(w), row * N);
    const uint16_t bad[] = { 0x7c00, 0xfc00, 0x7e00, 0x7c01 };
    for (int i = 0; i < 4; i++) memcpy((uint8_t *)lb_tensor_data(worse) + row * (size_t)(17 * i + 3), &bad[i], 2);
    run(k, x, M, w, 1, without), run(k, x, M, worse, 1, with);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            const float a = with[m * N + n], b = without[m * N + n];
            if (n % 17 == 3 && n < 68 ? !isnan(a) : memcmp(&a, &b, 4) != 0)
                fail_msg("%s: row %d, column %d is %g, without Inf and NaN %g", k->name, n, m, (double)a, (double)b);
        }
    free(with), free(without);
    lb_tensor_release(x), lb_tensor_release(w), lb_tensor_release(worse);
}

/* Of as many rows of x as there are, and of fewer, in several parts. */
static void check_any_number(const lb_kernel *k, const lb_quantizer *q) {
    static const int numbers[] = { 96, 97, 127, 128, 511, 512, 513 };
    lb_tensor *w = tensor(LB_QUANT, q, N, K), *x = whole_numbers(M_MOST);
    float *all = malloc(sizeof *all * M_MOST * N), *some = malloc(sizeof *some * M_MOST * N);
    fill(w, of_all_kinds);
    run(k, x, M_MOST, w, 1, all);
    for (int i = 0; i < 7; i++) {
        run(k, x, numbers[i], w, 1 + i % 3, some);
        if (memcmp(some, all, sizeof *all * (size_t)numbers[i] * N))
            fail_msg("%s: %d rows of x have other bits than %d", k->name, numbers[i], M_MOST);
    }
    free(all), free(some);
    lb_tensor_release(x), lb_tensor_release(w);
}

static void each_kernel(void **unused) {
    (void)unused;
    for (int i = 0, n = lb_kernel_count(); i < n; i++) {
        const lb_kernel *k = lb_kernel_at(i);
        const lb_quantizer *q = NULL;
        if (strncmp(k->name, "gemm.", 5) || !strstr(k->name, ".planes_")) continue;
        if ((lb_device_caps_of(device)->isa & k->isa) != k->isa) continue;
        if (lb_quantizer_find(k->format, &q)) fail_msg("%s", lb_error());
        check(k, q, "scales far apart", far_apart);
        check(k, q, "scales near by", near_by);
        check(k, q, "subnormal scales", subnormal);
        check(k, q, "zeros between scales", zeros);
        check(k, q, "the largest scale and the least", edges);
        check(k, q, "powers of two", powers);
        check(k, q, "a row's scales alike", alike);
        check(k, q, "rows of all kinds", of_all_kinds);
        check_not_finite(k, q);
        check_any_number(k, q);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_kernel) };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
