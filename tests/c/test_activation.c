/* test_activation.c: the reference activation formats, against their definition in activation.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "engine/activation.h"
#include "engine/dtype.h"
#include "engine/rng.h"

enum { K = 600 }; /* two blocks of 256 and a short one */

static const lb_act q8[] = { LB_ACT_Q8_32, LB_ACT_Q8_256, LB_ACT_Q8_ROW };

static void test_blocks_and_names(void **state) {
    (void)state;
    assert_int_equal(lb_act_block(LB_ACT_F32, K), 1);
    assert_int_equal(lb_act_block(LB_ACT_BF16, K), 1);
    assert_int_equal(lb_act_block(LB_ACT_Q8_32, K), 32);
    assert_int_equal(lb_act_block(LB_ACT_Q8_256, K), 256);
    assert_int_equal(lb_act_block(LB_ACT_Q8_ROW, K), K);
    assert_int_equal(lb_act_block(LB_ACT_I8_TOKEN, K), K);
    for (int a = 0; a < LB_ACT_COUNT; a++) assert_string_not_equal(lb_act_name((lb_act)a), "unknown");
    assert_string_equal(lb_act_name((lb_act)99), "unknown");
}

static void test_q8_follows_the_definition(void **state) {
    (void)state;
    float x[K], d[K];
    int8_t q[K];
    double v[K];
    lb_rng_normal_f32(5, 0, K, 0.0f, 3.0f, x);
    for (size_t f = 0; f < sizeof q8 / sizeof *q8; f++) {
        int64_t block = lb_act_block(q8[f], K);
        lb_act_quantize_row(q8[f], x, K, q, d);
        lb_act_values_row(q8[f], x, K, v);
        for (int64_t i = 0; i < K; i++) {
            int64_t b = i / block, end = (b + 1) * block < K ? (b + 1) * block : K;
            float amax = 0.0f;
            for (int64_t k = b * block; k < end; k++) amax = fmaxf(amax, fabsf(x[k]));
            assert_true(d[b] == amax / 127.0f);
            assert_int_equal(q[i], (int)rintf(x[i] * (127.0f / amax)));
            assert_true(v[i] == (double)d[b] * q[i]);
            assert_true(fabs(v[i] - (double)x[i]) <= 0.5001 * (double)d[b]);
        }
    }
}

/* torchao's rule: a divisor of 127.5 clips the positive extreme by half a step; no scale is below 2^-23. */
static void test_i8_token_follows_the_definition(void **state) {
    (void)state;
    float x[K], d[1];
    int8_t q[K];
    double v[K];
    for (int trial = 0; trial < 3; trial++) {
        lb_rng_normal_f32(8, 0, K, 0.0f, trial == 2 ? 1e-9f : 3.0f, x);
        if (trial == 1) x[18] = -0.0f;
        float amax = 0.0f;
        for (int i = 0; i < K; i++) amax = fmaxf(amax, fabsf(x[i]));
        lb_act_quantize_row(LB_ACT_I8_TOKEN, x, K, q, d);
        lb_act_values_row(LB_ACT_I8_TOKEN, x, K, v);
        assert_true(d[0] == fmaxf(amax / 127.5f, 0x1p-23f));
        for (int i = 0; i < K; i++) {
            float code = fminf(127.0f, fmaxf(-128.0f, rintf(x[i] * (1.0f / d[0]))));
            assert_true((float)q[i] == code && v[i] == (double)d[0] * (double)code);
        }
    }
    x[2] = INFINITY;
    lb_act_quantize_row(LB_ACT_I8_TOKEN, x, 3, q, d);
    assert_int_equal(q[2], 0); /* Inf * 0 */
}

static void test_i8_token_asym_follows_the_definition(void **state) {
    (void)state;
    float x[K], d[2];
    int8_t q[K];
    double v[K];
    for (int trial = 0; trial < 3; trial++) { /* both signs, positive only, zeros */
        lb_rng_normal_f32(9, 0, K, trial == 1 ? 20.0f : 0.5f, trial == 2 ? 0.0f : 2.0f, x);
        for (int i = 0; trial == 2 && i < K; i++) x[i] = 0;
        float lo = 0, hi = 0;
        for (int i = 0; i < K; i++) lo = fminf(lo, x[i]), hi = fmaxf(hi, x[i]);
        lb_act_quantize_row(LB_ACT_I8_TOKEN_ASYM, x, K, q, d);
        lb_act_values_row(LB_ACT_I8_TOKEN_ASYM, x, K, v);
        assert_true(d[0] == fmaxf((hi - lo) / 255.0f, 0x1p-126f));
        assert_true(d[1] == fmaxf(-128.0f, fminf(127.0f, -128.0f - rintf(lo / d[0]))));
        for (int i = 0; i < K; i++) {
            float code = rintf(x[i] * (1.0f / d[0])) + d[1];
            assert_true((float)q[i] == fmaxf(-128.0f, fminf(127.0f, code)));
            assert_true(v[i] == (double)d[0] * ((double)q[i] - (double)d[1]));
        }
    }
}

/* All numbers of e4m3 from 0 up, in the order of their codes. */
static double e4m3_number(int code) {
    int e = code >> 3, m = code & 7;
    return e ? ldexp(8 + m, e - 10) : ldexp(m, -9);
}

static void assert_f8(const float *x, int64_t n, float d, const double *v) {
    for (int64_t i = 0; i < n; i++) {
        double a = fabs((double)(x[i] / d)), best = 1e9;
        int code = 0;
        for (int c = 0; c < 127; c++) {
            double away = fabs(a - e4m3_number(c));
            if (away < best || (away == best && c % 2 == 0)) best = away, code = c;
        }
        assert_true(fabs(v[i]) == (double)d * e4m3_number(code) && (v[i] == 0 || (v[i] < 0) == (x[i] < 0)));
    }
}

static void test_f8_follows_the_definition(void **state) {
    (void)state;
    float x[3 * K], amax = 0.0f;
    double v[3 * K];
    lb_rng_normal_f32(9, 0, 3 * K, 0.0f, 3.0f, x);
    for (int i = 0; i < 256; i++) x[i] *= 1e-3f; /* subnormal numbers beside large ones */
    for (int i = 0; i < 40; i++) x[256 + i] = (float)(i - 20) * 0.25f;
    for (int r = 0; r < 3; r++) {
        float row = 0.0f;
        for (int i = 0; i < K; i++) row = fmaxf(row, fabsf(x[r * K + i]));
        lb_act_values_row(LB_ACT_F8_ROW, x + r * K, K, v);
        assert_f8(x + r * K, K, row / 448.0f, v);
        amax = fmaxf(amax, row);
    }
    lb_act_values(LB_ACT_F8_TENSOR, x, 3, K, v);
    assert_f8(x, 3 * K, amax / 448.0f, v);
    lb_act_values(LB_ACT_F8_128, x, 1, K, v);
    for (int b = 0; b * 128 < K; b++) {
        int n = K - 128 * b < 128 ? K - 128 * b : 128;
        float top = 0.0f;
        for (int i = 0; i < n; i++) top = fmaxf(top, fabsf(x[128 * b + i]));
        assert_f8(x + 128 * b, n, top / 448.0f, v + 128 * b);
    }
    float none[2] = { 0.0f, -0.0f };
    lb_act_values_row(LB_ACT_F8_ROW, none, 2, v);
    assert_true(v[0] == 0 && v[1] == 0);
}

static void test_extremes_are_kept(void **state) {
    (void)state;
    float x[32] = { 0 }, d[1];
    int8_t q[32];
    x[3] = -8.0f, x[9] = 8.0f;
    lb_act_quantize_row(LB_ACT_Q8_32, x, 32, q, d);
    assert_int_equal(q[3], -127);
    assert_int_equal(q[9], 127);
    assert_int_equal(q[0], 0);
}

static void test_odd_input_gives_defined_codes(void **state) {
    (void)state;
    float x[32] = { 0 }, d[1] = { -1 };
    int8_t q[32];
    lb_act_quantize_row(LB_ACT_Q8_32, x, 32, q, d);
    assert_true(d[0] == 0.0f);
    for (int i = 0; i < 32; i++) assert_int_equal(q[i], 0);
    x[0] = 1e-42f, x[1] = -1e-42f; /* 127 / amax overflows */
    lb_act_quantize_row(LB_ACT_Q8_32, x, 32, q, d);
    assert_int_equal(q[0], 127);
    assert_int_equal(q[1], -127);
    assert_int_equal(q[2], 0);
    lb_act_quantize_row(LB_ACT_Q8_ROW, x, 0, q, d); /* nothing to do, nothing touched */
}

/* NaN, Inf or -Inf in any place: what shares a scale with it is no number, the rest stays as it was, codes are 0. */
static void test_no_number_vanishes(void **state) {
    (void)state;
    static const float odd[] = { NAN, INFINITY, -INFINITY };
    static const int places[] = { 0, 31, 32, 255, 300, 511, K - 1 };
    float x[K], d[K];
    int8_t q[K];
    double clean[K], v[K];
    lb_rng_normal_f32(5, 0, K, 0.0f, 3.0f, x);
    for (int act = 0; act < LB_ACT_COUNT; act++)
        for (size_t p = 0; p < 3 * sizeof places / sizeof *places; p++) {
            int at = places[p / 3], block = (int)lb_act_block((lb_act)act, K), b = at / block;
            float kept = x[at];
            lb_act_values((lb_act)act, x, 1, K, clean);
            x[at] = odd[p % 3];
            lb_act_values((lb_act)act, x, 1, K, v);
            for (int i = 0; i < K; i++)
                if (i / block == b ? isfinite(v[i]) : v[i] != clean[i])
                    fail_msg("%s: %g at %d makes %g of %d", lb_act_name((lb_act)act), (double)odd[p % 3], at, v[i], i);
            if (act >= LB_ACT_Q8_32 && act <= LB_ACT_I8_TOKEN) {
                lb_act_quantize_row((lb_act)act, x, K, q, d);
                assert_true(!isfinite(d[b]));
                for (int i = b * block; i < K && i < (b + 1) * block; i++) assert_int_equal(q[i], 0);
            }
            x[at] = kept;
        }
}

static void test_plain_formats(void **state) {
    (void)state;
    float x[K];
    double v[K];
    lb_rng_normal_f32(6, 0, K, 0.0f, 1.0f, x);
    lb_act_values_row(LB_ACT_F32, x, K, v);
    for (int i = 0; i < K; i++) assert_true(v[i] == (double)x[i]);
    lb_act_values_row(LB_ACT_BF16, x, K, v);
    for (int i = 0; i < K; i++) assert_true(v[i] == (double)lb_bf16_to_f32(lb_f32_to_bf16(x[i])));
}

/* A row's result must not depend on the rows around it, nor a block's on the other blocks. */
static void test_blocks_are_independent(void **state) {
    (void)state;
    float x[K], d[K], d2[K];
    int8_t q[K], q2[K];
    lb_rng_normal_f32(7, 0, K, 0.0f, 1.0f, x);
    lb_act_quantize_row(LB_ACT_Q8_32, x, K, q, d);
    lb_act_quantize_row(LB_ACT_Q8_32, x + 64, 96, q2, d2);
    assert_memory_equal(q + 64, q2, 96);
    assert_memory_equal(d + 2, d2, 3 * sizeof *d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_and_names),
        cmocka_unit_test(test_q8_follows_the_definition),
        cmocka_unit_test(test_i8_token_follows_the_definition),
        cmocka_unit_test(test_i8_token_asym_follows_the_definition),
        cmocka_unit_test(test_f8_follows_the_definition),
        cmocka_unit_test(test_extremes_are_kept),
        cmocka_unit_test(test_odd_input_gives_defined_codes),
        cmocka_unit_test(test_no_number_vanishes),
        cmocka_unit_test(test_plain_formats),
        cmocka_unit_test(test_blocks_are_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
