/* test_rng.c: Philox against its published vectors; the same bits from every instruction set and every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/device.h"
#include "engine/rng.h"
#include "engine/rng_block.h"

static uint64_t hash_of(const void *p, size_t bytes) { /* FNV-1a */
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ ((const unsigned char *)p)[i]) * 1099511628211u;
    return h;
}

/* Known answers of philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (Random123). */
static void test_published_vectors(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } known[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    uint32_t got[4];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        lb_philox4x32_full(known[i].counter, known[i].key, got);
        assert_memory_equal(got, known[i].want, sizeof got);
    }
    lb_philox4x32(0, 0, got);
    assert_memory_equal(got, known[0].want, sizeof got);
    assert_true(lb_rng_u64(0, 0) == 0xe169c58d6627e8d5u && lb_rng_u64(0, 1) == 0x9b00dbd8bc57ac4cu);
}

static int implementations(const lb_rng_impl **out) {
    int n = 0;
    out[n++] = &lb_rng_portable;
#if defined(__x86_64__)
    uint32_t isa = lb_isa_detect();
    if ((isa & lb_rng_avx2.isa) == lb_rng_avx2.isa) out[n++] = &lb_rng_avx2;
    if ((isa & lb_rng_avx512.isa) == lb_rng_avx512.isa) out[n++] = &lb_rng_avx512;
#endif
    return n;
}

static void test_same_bits_on_every_isa(void **state) {
    (void)state;
    const lb_rng_impl *impl[3];
    int n = implementations(impl);
    static const uint64_t seeds[] = { 0, 1, 0xffffffffffffffffu, 0x123456789abcdef0u };
    for (size_t s = 0; s < 4; s++)
        for (uint64_t b = 0; b < 200; b++) {
            uint64_t block = b < 100 ? b : ((uint64_t)1 << 56) + b * 0x1000003; /* also where the upper word counts */
            uint32_t w[2][LB_RNG_BLOCK];
            float f[4][LB_RNG_BLOCK];
            impl[0]->words(seeds[s], block, w[0]);
            impl[0]->uniform(seeds[s], block, -0.3f, 7.1f, f[0]);
            impl[0]->normal(seeds[s], block, 0.5f, 0.02f, f[1]);
            for (int i = 0; i < LB_RNG_BLOCK; i++) {
                uint32_t one[4];
                lb_philox4x32(seeds[s], block * LB_RNG_COUNTERS + (uint64_t)i % 64, one);
                assert_int_equal(w[0][i], one[i / 64]);
            }
            for (int k = 1; k < n; k++) {
                impl[k]->words(seeds[s], block, w[1]);
                impl[k]->uniform(seeds[s], block, -0.3f, 7.1f, f[2]);
                impl[k]->normal(seeds[s], block, 0.5f, 0.02f, f[3]);
                assert_memory_equal(w[0], w[1], sizeof w[0]);
                assert_memory_equal(f[0], f[2], sizeof f[0]);
                assert_memory_equal(f[1], f[3], sizeof f[1]);
            }
        }
}

enum { N = 5000 };

static void test_any_split_gives_the_same_bits(void **state) {
    (void)state;
    static float whole[N], parts[N];
    static const int64_t steps[] = { 1, 3, 64, 255, 256, 257, 1000 };
    for (int normal = 0; normal < 2; normal++) {
        const uint64_t first = 1000003;
        if (normal)
            lb_rng_normal_f32(42, first, N, 1.0f, 2.0f, whole);
        else
            lb_rng_uniform_f32(42, first, N, -1.0f, 1.0f, whole);
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            memset(parts, 0xff, sizeof parts);
            for (int64_t at = 0; at < N; at += steps[s]) {
                int64_t n = N - at < steps[s] ? N - at : steps[s];
                if (normal)
                    lb_rng_normal_f32(42, first + (uint64_t)at, n, 1.0f, 2.0f, parts + at);
                else
                    lb_rng_uniform_f32(42, first + (uint64_t)at, n, -1.0f, 1.0f, parts + at);
            }
            assert_memory_equal(whole, parts, sizeof whole);
        }
    }
}

/* These hashes may never change: results name a seed, and a seed names these bits. */
static void test_golden_bits(void **state) {
    (void)state;
    static float x[4096];
    lb_rng_normal_f32(1, 0, 4096, 0.0f, 1.0f, x);
    assert_true(hash_of(x, sizeof x) == 0x13fc6cd8b544e757u);
    lb_rng_uniform_f32(1, 0, 4096, 0.0f, 1.0f, x);
    assert_true(hash_of(x, sizeof x) == 0x69d256ab6e838cbeu);
}

static void test_uniform_stays_in_range(void **state) {
    (void)state;
    static float x[1 << 16];
    static const float bounds[][2] = { { 0.0f, 1.0f }, { -1.0f, 0.0f }, { 1.0f, 1.0000001f }, { -3e-39f, 3e-39f },
                                       { 16777216.0f, 16777218.0f }, { -2.0f, -1.9999999f } };
    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        lb_rng_uniform_f32(b, 0, 1 << 16, bounds[b][0], bounds[b][1], x);
        for (int i = 0; i < 1 << 16; i++) assert_true(x[i] >= bounds[b][0] && x[i] < bounds[b][1]);
    }
    lb_rng_uniform_f32(1, 0, 10, 2.5f, 2.5f, x);
    for (int i = 0; i < 10; i++) assert_true(x[i] == 2.5f);
}

static void test_uniform_moments(void **state) {
    (void)state;
    enum { M = 1 << 20 };
    float *x = malloc(sizeof *x * M);
    int bins[64] = { 0 };
    double sum = 0, chi2 = 0;
    assert_non_null(x);
    lb_rng_uniform_f32(11, 0, M, 0.0f, 1.0f, x);
    for (int i = 0; i < M; i++) sum += (double)x[i], bins[(int)(x[i] * 64.0f)]++;
    assert_true(fabs(sum / M - 0.5) < 5 * 0.288675 / 1024); /* 5 standard errors */
    for (int b = 0; b < 64; b++) chi2 += pow(bins[b] - M / 64.0, 2) / (M / 64.0);
    assert_true(chi2 > 20 && chi2 < 130); /* 63 degrees of freedom: 1e-6 on either side */
    free(x);
}

static void test_normal_moments_and_tails(void **state) {
    (void)state;
    enum { M = 1 << 22 };
    float *x = malloc(sizeof *x * M);
    double s1 = 0, s2 = 0, s3 = 0, s4 = 0, lag = 0, pair = 0;
    int64_t beyond[6] = { 0 };
    assert_non_null(x);
    lb_rng_normal_f32(12, 0, M, 0.0f, 1.0f, x);
    for (int i = 0; i < M; i++) {
        double v = (double)x[i];
        assert_true(isfinite(x[i]));
        s1 += v, s2 += v * v, s3 += v * v * v, s4 += v * v * v * v;
        if (i) lag += v * (double)x[i - 1];
        if (i >= 64) pair += v * (double)x[i - 64];
        for (int t = 1; t < 6; t++) beyond[t] += fabs(v) > t;
    }
    const double root = sqrt((double)M);
    assert_true(fabs(s1 / M) < 5 / root);
    assert_true(fabs(s2 / M - 1) < 5 * sqrt(2.0) / root);
    assert_true(fabs(s3 / M) < 5 * sqrt(15.0) / root);
    assert_true(fabs(s4 / M - 3) < 5 * sqrt(96.0) / root);
    assert_true(fabs(lag / M) < 5 / root && fabs(pair / M) < 5 / root);
    for (int t = 1; t < 6; t++) {
        double p = erfc(t / sqrt(2.0)), want = p * M;
        assert_true(fabs((double)beyond[t] - want) < 5 * sqrt(want * (1 - p)) + 1);
    }
    free(x);
}

static double worst_normal_error(const lb_rng_impl *impl) {
    double worst = 0;
    for (uint64_t block = 0; block < 500; block++) {
        uint32_t w[LB_RNG_BLOCK];
        float z[LB_RNG_BLOCK];
        impl->words(3, block, w);
        impl->normal(3, block, 0.0f, 1.0f, z);
        for (int half = 0; half < 2; half++)
            for (int j = 0; j < 64; j++) {
                uint32_t wr = w[half * 128 + j], wa = w[half * 128 + 64 + j];
                double u = (double)(((float)(int32_t)(wr >> 1)) + 0.5f) * 0x1p-31;
                double r = sqrt(-2 * log(u)), t = (double)(int32_t)(wa << 2) * 0x1p-32;
                double angle = ((double)(wa >> 30) + t) * 1.57079632679489662;
                worst = fmax(worst, fabs((double)z[half * 128 + j] - r * cos(angle)));
                worst = fmax(worst, fabs((double)z[half * 128 + 64 + j] - r * sin(angle)));
            }
    }
    return worst;
}

/* log, sin and cos of our own, against libm in f64. */
static void test_normal_is_box_muller(void **state) {
    (void)state;
    assert_true(worst_normal_error(lb_rng_best()) < 2e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_same_bits_on_every_isa),
        cmocka_unit_test(test_any_split_gives_the_same_bits),
        cmocka_unit_test(test_golden_bits),
        cmocka_unit_test(test_uniform_stays_in_range),
        cmocka_unit_test(test_uniform_moments),
        cmocka_unit_test(test_normal_moments_and_tails),
        cmocka_unit_test(test_normal_is_box_muller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
