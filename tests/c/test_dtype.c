/* test_dtype.c: names, sizes and scalar conversions of element types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/dtype.h"

static void test_names(void **state) {
    (void)state;
    for (int t = 0; t < LB_QUANT; t++) {
        assert_int_equal(lb_dtype_parse(lb_dtype_name((lb_dtype)t)), t);
        assert_true(lb_dtype_size((lb_dtype)t) >= 1 && lb_dtype_size((lb_dtype)t) <= 8);
    }
    assert_int_equal(lb_dtype_parse("float32"), LB_F32);
    assert_int_equal(lb_dtype_parse("bfloat16"), LB_BF16);
    assert_int_equal(lb_dtype_parse("torch.int64"), LB_I64);
    assert_int_equal(lb_dtype_parse("half"), LB_F16);
    assert_int_equal(lb_dtype_parse("quantized"), LB_DTYPE_COUNT);
    assert_int_equal(lb_dtype_parse("q4_k"), LB_DTYPE_COUNT);
    assert_int_equal(lb_dtype_parse(""), LB_DTYPE_COUNT);
    assert_int_equal(lb_dtype_parse(NULL), LB_DTYPE_COUNT);
    assert_int_equal(lb_dtype_size(LB_QUANT), 0);
    assert_string_equal(lb_dtype_name(LB_QUANT), "quantized");
    assert_string_equal(lb_dtype_name((lb_dtype)77), "unknown");
}

/* Every f16 by its definition: (-1)^s 2^(e-15) (1 + f/1024), and back. */
static void test_every_f16(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint32_t e = (h >> 10) & 31, f = h & 1023;
        float got = lb_f16_to_f32((uint16_t)h);
        if (e == 31 && f) {
            assert_true(isnan(got));
            assert_true(isnan(lb_f16_to_f32(lb_f32_to_f16(got))));
            continue;
        }
        double want = e == 31 ? INFINITY : e ? ldexp(1.0 + f / 1024.0, (int)e - 15) : ldexp((double)f, -24);
        if (h & 0x8000) want = -want;
        assert_true((double)got == want && !signbit(got) == !(h >> 15));
        assert_int_equal(lb_f32_to_f16(got), h);
    }
}

/* Between two neighbours: below the middle goes down, above goes up, the middle goes to even. */
static void test_f16_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        double a = (double)lb_f16_to_f32((uint16_t)h);
        double b = h + 1 == 0x7c00 ? 65536.0 : (double)lb_f16_to_f32((uint16_t)(h + 1));
        float middle = (float)((a + b) / 2); /* exact in f32 */
        assert_int_equal(lb_f32_to_f16(middle), h & 1 ? h + 1 : h);
        assert_int_equal(lb_f32_to_f16(nextafterf(middle, 0.0f)), h);
        assert_int_equal(lb_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(lb_f32_to_f16(-middle), 0x8000 | (h & 1 ? h + 1 : h));
    }
    assert_int_equal(lb_f32_to_f16(3.4e38f), 0x7c00);
    assert_int_equal(lb_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(lb_f32_to_f16(1e-30f), 0);
    assert_int_equal(lb_f32_to_f16(-0.0f), 0x8000);
}

static void test_bf16(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float v = lb_bf16_to_f32((uint16_t)h);
        if (isnan(v))
            assert_true(isnan(lb_bf16_to_f32(lb_f32_to_bf16(v))));
        else
            assert_int_equal(lb_f32_to_bf16(v), h);
    }
    for (uint32_t h = 0; h < 0x7f80; h++) {
        float middle = lb_f32_from_bits(h << 16 | 0x8000);
        assert_int_equal(lb_f32_to_bf16(middle), h & 1 ? h + 1 : h);
        assert_int_equal(lb_f32_to_bf16(lb_f32_from_bits(h << 16 | 0x7fff)), h);
        assert_int_equal(lb_f32_to_bf16(lb_f32_from_bits(h << 16 | 0x8001)), h + 1);
    }
    assert_true(isnan(lb_bf16_to_f32(lb_f32_to_bf16(lb_f32_from_bits(0x7f800001))))); /* not Inf */
}

/* Every e4m3 by its definition, the middles between neighbours, and what saturates. */
static void test_f8e4m3(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 256; h++) {
        uint32_t e = h >> 3 & 15, f = h & 7;
        float got = lb_f8e4m3_to_f32((uint8_t)h);
        if (e == 15 && f == 7) {
            assert_true(isnan(got));
            assert_int_equal(lb_f32_to_f8e4m3(got) & 0x7f, 0x7f);
            continue;
        }
        double want = e ? ldexp(1.0 + f / 8.0, (int)e - 7) : ldexp((double)f, -9);
        if (h & 0x80) want = -want;
        assert_true((double)got == want && !signbit(got) == !(h >> 7));
        assert_int_equal(lb_f32_to_f8e4m3(got), h);
    }
    for (uint32_t h = 0; h < 0x7e; h++) {
        float middle = (lb_f8e4m3_to_f32((uint8_t)h) + lb_f8e4m3_to_f32((uint8_t)(h + 1))) / 2;
        assert_int_equal(lb_f32_to_f8e4m3(middle), h & 1 ? h + 1 : h);
        assert_int_equal(lb_f32_to_f8e4m3(nextafterf(middle, 0.0f)), h);
        assert_int_equal(lb_f32_to_f8e4m3(-nextafterf(middle, INFINITY)), 0x80 | (h + 1));
    }
    assert_int_equal(lb_f32_to_f8e4m3(449.0f), 0x7e);
    assert_int_equal(lb_f32_to_f8e4m3(-INFINITY), 0xfe);
    assert_int_equal(lb_f32_to_f8e4m3(1e-30f), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_f16),
        cmocka_unit_test(test_f16_rounds_to_nearest_even),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_f8e4m3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
