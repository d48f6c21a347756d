/* test_oracle.c: the oracle's products against plain f64 loops, for every kind of weights. */
#include "plan_fakes.h"
#include "trellis_codes.h"
#include <math.h>

static lb_device *dev;

static int open_device(void **state) { (void)state; OK(lb_device_open("cpu", 2, &dev)); return 0; }
static int close_device(void **state) { (void)state; lb_oracle_cache_clear(); lb_device_release(dev); return 0; }

static double value(int64_t i) { return sin((double)i * 0.731) * cos((double)i * 0.0123); }

static uint32_t next_u32(void) {
    static uint32_t state = 0x9e3779b9u;
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}

/* Element by element through lb_tensor_at: nothing in common with the oracle but the tensor. */
static void compare_plain(const lb_tensor *w, int64_t n, int64_t k, int64_t m, const char *what) {
    double *x = malloc((size_t)(m * k) * 8), *out = malloc((size_t)(m * n) * 8), *row = malloc((size_t)k * 8);
    double err = 0, all = 0;
    lb_tensor *dense = NULL;     /* an element of packed weights costs its whole row */
    if (w->quantizer) OK(lb_tensor_dequantize(w, &dense));
    for (int64_t i = 0; i < m * k; i++) x[i] = value(i + 17);
    for (int64_t i = 0; i < m * n; i++) out[i] = NAN;
    OK(lb_oracle_matmul(x, m, w, n, k, out));
    for (int64_t r = 0; r < n; r++) {
        for (int64_t j = 0; j < k; j++) row[j] = lb_tensor_at(dense ? dense : w, (int64_t[]){ r, j });
        for (int64_t i = 0; i < m; i++) {
            double sum = 0;
            for (int64_t j = 0; j < k; j++) sum += x[i * k + j] * row[j];
            err += pow(out[i * n + r] - sum, 2), all += sum * sum;
        }
    }
    if (!(err <= 1e-28 * all)) fail_msg("%s, m = %lld: NMSE %g", what, (long long)m, err / all);
    free(x), free(out), free(row);
    if (dense) lb_tensor_release(dense);
}

static lb_tensor *weights(int64_t n, int64_t k) {
    lb_tensor *w = fake_matrix(dev, n, k, 0);
    for (int64_t i = 0; i < n * k; i++) f32s(w)[i] = (float)value(i);
    return w;
}

static void test_floats(void **state) {
    (void)state;
    static const lb_dtype dtypes[] = { LB_F32, LB_F64, LB_F16, LB_BF16 };
    static const int64_t rows[] = { 1, 3, 7, 8, 9, 40 };
    lb_tensor *f = weights(300, 70);
    for (int d = 0; d < 4; d++) {
        lb_tensor *w = NULL, *t = NULL;
        OK(lb_tensor_to_dtype(f, dtypes[d], &w));
        OK(lb_tensor_transpose(w, 0, 1, &t));   /* strided: 70 x 300 */
        for (int i = 0; i < 6; i++) {
            compare_plain(w, 300, 70, rows[i], lb_dtype_name(dtypes[d]));
            compare_plain(t, 70, 300, rows[i], "transposed");
        }
        lb_tensor_release(w), lb_tensor_release(t);
    }
    lb_tensor_release(f);
}

static void test_quantized(void **state) {
    (void)state;
    lb_tensor *f = weights(144, 512);
    const lb_quantizer *q;
    for (int i = 0; (q = quantizer_at(i)); i++) {
        lb_tensor *w = NULL;
        if (is_trellis(q)) {
            OK(lb_tensor_new(dev, LB_QUANT, q, 2, (int64_t[]){ 144, 512 }, &w));
            trellis_codes(w, next_u32);
        } else {
            OK(lb_tensor_quantize(f, q, NULL, NULL, &w));
        }
        compare_plain(w, 144, 512, 2, q->name);
        compare_plain(w, 144, 512, 11, q->name);
        size_t at = 0, bytes = 0;   /* changed in place: the cache must not answer with what it was */
        q->row_span(q, 144, 512, 100, &at, &bytes);
        ((uint8_t *)lb_tensor_data(w))[at + bytes / 2] ^= 0x05;
        compare_plain(w, 144, 512, 2, q->name);
        lb_tensor_release(w);
    }
    lb_oracle_cache_clear();
    lb_tensor_release(f);
}

static void test_cache_holds_and_lets_go(void **state) {
    (void)state;
    lb_tensor *f = weights(32, 512), *w = NULL;
    double x[512] = { 1 }, out[32];
    OK(lb_tensor_quantize(f, &fake_q, NULL, NULL, &w));
    int before = atomic_load(&w->refs);
    OK(lb_oracle_matmul(x, 1, w, 32, 512, out));
    OK(lb_oracle_matmul(x, 1, w, 32, 512, out));
    assert_int_equal(atomic_load(&w->refs), before + 1);   /* its address stays its own */
    lb_oracle_cache_clear();
    assert_int_equal(atomic_load(&w->refs), before);
    lb_tensor_release(w), lb_tensor_release(f);
}

static void test_refusals(void **state) {
    (void)state;
    lb_tensor *w = weights(4, 8), *i = fake_i32(dev, 32, 1);
    double x[8] = { 0 }, out[4] = { 5, 5, 5, 5 };
    FAILS(LB_EINVAL, lb_oracle_matmul(x, 1, w, 4, 9, out));
    FAILS(LB_EINVAL, lb_oracle_matmul(x, 1, i, 4, 8, out));
    FAILS(LB_EINVAL, lb_oracle_matmul(x, -1, w, 4, 8, out));
    OK(lb_oracle_matmul(x, 0, w, 4, 8, out));
    assert_true(out[0] == 5);
    lb_tensor_release(w), lb_tensor_release(i);
}

static void test_activations(void **state) {
    (void)state;
    lb_tensor *x = weights(37, 300), *t = NULL;
    OK(lb_tensor_transpose(x, 0, 1, &t));
    for (int act = 0; act < LB_ACT_COUNT; act++)
        for (int strided = 0; strided < 2; strided++) {
            const lb_tensor *from = strided ? t : x;
            int64_t rows = from->dims[0], k = from->dims[1];
            double *got = NULL, *want = malloc((size_t)(rows * k) * sizeof *want);
            float *all = malloc((size_t)(rows * k) * sizeof *all);
            OK(lb_oracle_activations(from, (lb_act)act, &got));
            for (int64_t i = 0; i < rows * k; i++) all[i] = (float)lb_tensor_at(from, (int64_t[]){ i / k, i % k });
            lb_act_values((lb_act)act, all, rows, k, want);
            for (int64_t i = 0; i < rows * k; i++) {
                assert_true(got[i] == want[i]);
                if (act == LB_ACT_F32) assert_true(want[i] == (double)all[i]);
            }
            free(got), free(want), free(all);
        }
    lb_tensor_release(x), lb_tensor_release(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats), cmocka_unit_test(test_quantized), cmocka_unit_test(test_cache_holds_and_lets_go),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_activations),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
