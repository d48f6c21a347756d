/* test_tensor_ops.c: arithmetic, reductions, products, comparison, filling and joining of tensors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/rng.h"
#include "engine/tensor.h"
#include "engine/tensor_ops.h"
#include "engine/tensor_spread.h"

static lb_device *cpu;

#define DIMS(...) (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (int64_t[]){ __VA_ARGS__ }
#define AT(t, ...) lb_tensor_at(t, (int64_t[]){ __VA_ARGS__ })
#define OK(CALL)                                        \
    do {                                                \
        if ((CALL) != LB_OK) fail_msg("%s", lb_error()); \
    } while (0)

static lb_tensor *tensor(lb_dtype dtype, int rank, const int64_t *dims) {
    lb_tensor *t = NULL;
    OK(lb_tensor_new(cpu, dtype, NULL, rank, dims, &t));
    return t;
}

static lb_tensor *counted(lb_dtype dtype, int rank, const int64_t *dims) {
    lb_tensor *t = tensor(dtype, rank, dims), *v = NULL;
    OK(lb_tensor_arange(cpu, 0, (double)lb_tensor_numel(t), 1, dtype, &v));
    memcpy(lb_tensor_data(t), lb_tensor_data(v), lb_tensor_size_bytes(t));
    lb_tensor_release(v);
    return t;
}

static void test_broadcast(void **state) {
    (void)state;
    lb_tensor *a = counted(LB_F32, DIMS(3, 1, 4)), *b = counted(LB_I32, DIMS(2, 1)), *r;
    OK(lb_tensor_binary(LB_ADD, a, b, &r));
    assert_true(r->dtype == LB_F32 && r->rank == 3 && r->dims[0] == 3 && r->dims[1] == 2 && r->dims[2] == 4);
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 2; j++)
            for (int64_t k = 0; k < 4; k++) assert_true(AT(r, i, j, k) == (double)(i * 4 + k + j));
    lb_tensor_release(r);
    lb_tensor *bad = counted(LB_F32, DIMS(3));
    assert_int_equal(lb_tensor_binary(LB_MUL, a, bad, &r), LB_EINVAL);
    assert_null(r);
    assert_non_null(strstr(lb_error(), "f32[3, 1, 4]"));
    assert_non_null(strstr(lb_error(), "f32[3]"));
    lb_tensor *scalar = tensor(LB_F64, 0, NULL), *none = tensor(LB_F32, DIMS(0, 4));
    lb_tensor_set(scalar, NULL, 0.1);
    OK(lb_tensor_binary(LB_MUL, a, scalar, &r));
    assert_true(r->dtype == LB_F64 && AT(r, 2, 0, 3) == 11 * 0.1);
    lb_tensor_release(r);
    OK(lb_tensor_binary(LB_ADD, none, scalar, &r));
    assert_int_equal(lb_tensor_numel(r), 0);
    lb_tensor *all[] = { a, b, r, bad, scalar, none };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) lb_tensor_release(all[i]);
}

static void test_elementwise_values(void **state) {
    (void)state;
    static const double a[] = { 3, -2.5, 0, NAN, INFINITY, 1e30 }, b[] = { 2, 0, 0, 1, -INFINITY, 1e30 };
    lb_tensor *x = tensor(LB_F64, DIMS(6)), *y = tensor(LB_F64, DIMS(6)), *r;
    memcpy(lb_tensor_data(x), a, sizeof a);
    memcpy(lb_tensor_data(y), b, sizeof b);
    for (int op = 0; op < LB_BINARY_COUNT; op++) {
        OK(lb_tensor_binary((lb_binary)op, x, y, &r));
        for (int64_t i = 0; i < 6; i++) {
            bool nan = isnan(a[i]) || isnan(b[i]);
            double want = op == LB_ADD ? a[i] + b[i] : op == LB_SUB ? a[i] - b[i] : op == LB_MUL ? a[i] * b[i]
                        : op == LB_DIV ? a[i] / b[i] : nan ? NAN : op == LB_MINIMUM ? fmin(a[i], b[i]) : fmax(a[i],
                            b[i]);
            assert_true(AT(r, i) == want || (isnan(want) && isnan(AT(r, i))));
        }
        lb_tensor_release(r);
    }
    static double (*const f[])(double) = { NULL, fabs, sqrt, exp, log };
    for (int op = 0; op < LB_UNARY_COUNT; op++) {
        OK(lb_tensor_unary((lb_unary)op, x, &r));
        for (int64_t i = 0; i < 6; i++) {
            double want = op == LB_NEG ? -a[i] : f[op](a[i]);
            assert_true(AT(r, i) == want || (isnan(want) && isnan(AT(r, i))));
        }
        lb_tensor_release(r);
    }
    OK(lb_tensor_binary_scalar(LB_SUB, x, 1, false, &r));
    assert_true(AT(r, 0) == 2);
    lb_tensor_release(r);
    OK(lb_tensor_binary_scalar(LB_SUB, x, 1, true, &r));
    assert_true(AT(r, 0) == -2);
    lb_tensor_release(r);
    assert_int_equal(lb_tensor_binary((lb_binary)99, x, y, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_unary((lb_unary)99, x, &r), LB_EINVAL);
    lb_tensor_release(x);
    lb_tensor_release(y);
}

static void test_reductions(void **state) {
    (void)state;
    enum { R = 37, C = 5000 };
    lb_tensor *t = tensor(LB_F32, DIMS(R, C)), *v, *r;
    OK(lb_tensor_fill_randn(t, 4, 1, 2));
    const float *x = lb_tensor_f32(t);
    double sum = 0, squares = 0, min = INFINITY, max = -INFINITY, got;
    int64_t at = 0;
    for (int64_t i = 0; i < R * C; i++) {
        double d = (double)x[i];
        sum += d, squares += d * d, min = fmin(min, d);
        if (d > max) max = d, at = i;
    }
    const double want[] = { sum, sum / (R * C), min, max, (double)at, sqrt(squares) };
    for (int op = 0; op < LB_REDUCE_COUNT; op++) {
        OK(lb_tensor_reduce_all((lb_reduce)op, t, &got));
        assert_true(fabs(got - want[op]) <= 1e-10 * fabs(want[op]));
    }
    OK(lb_tensor_transpose(t, 0, 1, &v)); /* the same columns, from a view along the other dimension */
    for (int op = 0; op < LB_REDUCE_COUNT; op++) {
        lb_tensor *s;
        OK(lb_tensor_reduce((lb_reduce)op, t, 0, &r));
        OK(lb_tensor_reduce((lb_reduce)op, v, 1, &s));
        bool same;
        OK(lb_tensor_equal(r, s, &same));
        assert_true(same && r->rank == 1 && r->dims[0] == C && r->dtype == (op == LB_ARGMAX ? LB_I64 : LB_F32));
        double column = 0;
        for (int64_t i = 0; i < R; i++) column += (double)x[i * C + 77];
        if (op == LB_SUM) assert_true(AT(r, 77) == (double)(float)column);
        lb_tensor_release(r);
        lb_tensor_release(s);
    }
    lb_tensor_release(v);
    assert_int_equal(lb_tensor_reduce(LB_SUM, t, 2, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_reduce(LB_SUM, t, -1, &r), LB_EINVAL);
    lb_tensor_release(t);
}

static void test_reductions_of_odd_input(void **state) {
    (void)state;
    lb_tensor *t = counted(LB_F32, DIMS(4)), *none = tensor(LB_F32, DIMS(0, 3)), *r;
    double v;
    lb_tensor_set(t, (int64_t[]){ 2 }, NAN);
    OK(lb_tensor_reduce_all(LB_MAX, t, &v));
    assert_true(isnan(v));
    OK(lb_tensor_reduce_all(LB_MIN, t, &v));
    assert_true(isnan(v));
    OK(lb_tensor_reduce_all(LB_ARGMAX, t, &v));
    assert_true(v == 2);
    OK(lb_tensor_fill(t, 5));
    OK(lb_tensor_reduce_all(LB_ARGMAX, t, &v));
    assert_true(v == 0); /* ties to the lower index */
    OK(lb_tensor_reduce_all(LB_SUM, none, &v));
    assert_true(v == 0);
    assert_int_equal(lb_tensor_reduce_all(LB_MEAN, none, &v), LB_EINVAL);
    assert_int_equal(lb_tensor_reduce(LB_MAX, none, 0, &r), LB_EINVAL);
    OK(lb_tensor_reduce(LB_SUM, none, 0, &r));
    assert_true(r->dims[0] == 3 && AT(r, 1) == 0);
    lb_tensor_release(r);
    lb_tensor_release(t);
    lb_tensor_release(none);
}

static void test_matmul(void **state) {
    (void)state;
    enum { M = 3, N = 41, K = 53 };
    lb_tensor *a = tensor(LB_F32, DIMS(M, K)), *b = tensor(LB_BF16, DIMS(K, N)), *bt, *r, *rt;
    OK(lb_tensor_fill_randn(a, 1, 0, 1));
    OK(lb_tensor_fill_randn(b, 2, 0, 1));
    OK(lb_tensor_transpose(b, 0, 1, &bt));
    OK(lb_tensor_matmul(a, b, false, &r));
    OK(lb_tensor_matmul(a, bt, true, &rt));
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
            double sum = 0;
            for (int64_t k = 0; k < K; k++) sum += AT(a, m, k) * AT(b, k, n);
            assert_true(fabs(AT(r, m, n) - sum) <= 1e-6 * (fabs(sum) + 1) && AT(r, m, n) == AT(rt, m, n));
        }
    lb_tensor *bad;
    assert_int_equal(lb_tensor_matmul(a, bt, false, &bad), LB_EINVAL);
    assert_non_null(strstr(lb_error(), "[K, N], got f32[3, 53] and bf16[41, 53]"));
    lb_tensor *all[] = { a, b, bt, r, rt };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) lb_tensor_release(all[i]);
}

static void test_comparison(void **state) {
    (void)state;
    lb_tensor *a = counted(LB_F32, DIMS(100, 1000)), *b = counted(LB_I32, DIMS(100, 1000)), *c = counted(LB_F32,
        DIMS(100000));
    bool yes;
    OK(lb_tensor_equal(a, b, &yes));
    assert_true(yes);
    OK(lb_tensor_equal(a, c, &yes));
    assert_false(yes);
    lb_tensor_set(b, (int64_t[]){ 99, 999 }, 100000);
    OK(lb_tensor_equal(a, b, &yes));
    assert_false(yes);
    OK(lb_tensor_allclose(a, b, 1e-4, 0, &yes));
    assert_true(yes);
    OK(lb_tensor_allclose(a, b, 0, 0.5, &yes));
    assert_false(yes);
    OK(lb_tensor_fill(a, NAN));
    OK(lb_tensor_allclose(a, a, 1, 1, &yes));
    assert_false(yes);
    OK(lb_tensor_fill(a, INFINITY));
    OK(lb_tensor_allclose(a, a, 0, 0, &yes));
    assert_true(yes);
    OK(lb_tensor_allclose(c, c, 0, 0, &yes));
    assert_true(yes);
    lb_tensor *d;
    OK(lb_tensor_binary_scalar(LB_MUL, c, -INFINITY, false, &d));
    OK(lb_tensor_allclose(c, d, 1, 1, &yes)); /* no finite number is close to an infinite one */
    assert_false(yes);
    assert_int_equal(lb_tensor_allclose(a, a, -1, 0, &yes), LB_EINVAL);
    lb_tensor *big = tensor(LB_I64, DIMS(1)), *near = tensor(LB_I64, DIMS(1));
    *(int64_t *)lb_tensor_data(big) = 9007199254740993;
    *(int64_t *)lb_tensor_data(near) = 9007199254740992; /* equal as f64 */
    OK(lb_tensor_equal(big, near, &yes));
    assert_false(yes);
    lb_tensor *all[] = { a, b, c, d, big, near };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) lb_tensor_release(all[i]);
}

static void test_fill_and_copy(void **state) {
    (void)state;
    lb_tensor *t = counted(LB_F16, DIMS(4, 6)), *column, *turned, *row = counted(LB_F32, DIMS(6)),
        *square = counted(LB_F32, DIMS(5, 5));
    OK(lb_tensor_slice(t, 1, 2, 3, &column));
    OK(lb_tensor_fill(column, -1));
    assert_true(AT(t, 3, 2) == -1 && AT(t, 3, 1) == 19 && AT(t, 3, 3) == 21);
    OK(lb_tensor_copy_into(t, row)); /* broadcast and converted */
    assert_true(AT(t, 3, 5) == 5 && AT(t, 0, 0) == 0);
    assert_int_equal(lb_tensor_copy_into(row, t), LB_EINVAL);
    OK(lb_tensor_transpose(square, 0, 1, &turned));
    OK(lb_tensor_copy_into(square, turned)); /* overlap */
    for (int64_t i = 0; i < 5; i++)
        for (int64_t j = 0; j < 5; j++) assert_true(AT(square, i, j) == (double)(j * 5 + i));
    lb_tensor *all[] = { t, column, turned, row, square };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) lb_tensor_release(all[i]);
}

static void test_random_fill_depends_on_nothing_else(void **state) {
    (void)state;
    enum { R = 401, C = 399 };
    float *want = malloc(sizeof *want * R * C);
    lb_device *one;
    OK(lb_device_open("cpu", 1, &one));
    for (int normal = 0; normal < 2; normal++) {
        if (normal)
            lb_rng_normal_f32(9, 0, R * C, 1, 2, want);
        else
            lb_rng_uniform_f32(9, 0, R * C, -1, 2, want);
        lb_tensor *a = tensor(LB_F32, DIMS(R, C)), *base = tensor(LB_F32, DIMS(C, R)), *view, *h = tensor(LB_BF16,
            DIMS(R, C)), *s;
        OK(lb_tensor_new(one, LB_F32, NULL, DIMS(R, C), &s));
        OK(lb_tensor_transpose(base, 0, 1, &view));
        lb_tensor *each[] = { a, s, view, h };
        for (int i = 0; i < 4; i++)
            OK(normal ? lb_tensor_fill_randn(each[i], 9, 1, 2) : lb_tensor_fill_uniform(each[i], 9, -1, 2));
        assert_memory_equal(lb_tensor_data(a), want, sizeof *want * R * C);
        assert_memory_equal(lb_tensor_data(s), want, sizeof *want * R * C);
        for (int64_t i = 0; i < R; i += 3)
            for (int64_t j = 0; j < C; j += 5) {
                assert_true(AT(view, i, j) == (double)want[i * C + j]);
                assert_true(AT(h, i, j) == (double)lb_bf16_to_f32(lb_f32_to_bf16(want[i * C + j])));
            }
        lb_tensor_release(view);
        lb_tensor *all[] = { a, base, h, s };
        for (int i = 0; i < 4; i++) lb_tensor_release(all[i]);
    }
    lb_tensor *i32 = tensor(LB_I32, DIMS(3));
    assert_int_equal(lb_tensor_fill_randn(i32, 1, 0, 1), LB_EINVAL);
    lb_tensor *f = tensor(LB_F32, DIMS(3));
    assert_int_equal(lb_tensor_fill_randn(f, 1, 0, -1), LB_EINVAL);
    assert_int_equal(lb_tensor_fill_randn(f, 1, NAN, 1), LB_EINVAL);
    assert_int_equal(lb_tensor_fill_uniform(f, 1, 2, 1), LB_EINVAL);
    lb_tensor_release(i32);
    lb_tensor_release(f);
    lb_device_release(one);
    free(want);
}

static void test_arange_and_join(void **state) {
    (void)state;
    lb_tensor *a, *b = counted(LB_F32, DIMS(2, 3)), *c = counted(LB_F32, DIMS(2, 1)), *r;
    OK(lb_tensor_arange(cpu, 1, 2, 0.25, LB_F64, &a));
    assert_true(a->dims[0] == 4 && AT(a, 3) == 1.75);
    lb_tensor_release(a);
    OK(lb_tensor_arange(cpu, 5, 0, -2, LB_I8, &a));
    assert_true(a->dims[0] == 3 && AT(a, 2) == 1);
    lb_tensor_release(a);
    OK(lb_tensor_arange(cpu, 5, 0, 1, LB_I8, &a));
    assert_int_equal(a->dims[0], 0);
    assert_int_equal(lb_tensor_arange(cpu, 0, 1, 0, LB_F32, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_arange(cpu, 0, NAN, 1, LB_F32, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_arange(cpu, 0, 1e18, 1, LB_F32, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_arange(cpu, 0, 1, 1, LB_QUANT, &r), LB_EINVAL);
    OK(lb_tensor_cat((const lb_tensor *[]){ b, c, b }, 3, 1, &r));
    assert_true(r->dims[1] == 7 && AT(r, 1, 2) == 5 && AT(r, 1, 3) == 1 && AT(r, 1, 6) == 5 && AT(r, 0, 4) == 0);
    lb_tensor_release(r);
    OK(lb_tensor_stack((const lb_tensor *[]){ b, b }, 2, 1, &r));
    assert_true(r->rank == 3 && r->dims[1] == 2 && AT(r, 1, 0, 2) == 5 && AT(r, 1, 1, 2) == 5 && AT(r, 0, 1, 1) == 1);
    lb_tensor_release(r);
    assert_int_equal(lb_tensor_cat((const lb_tensor *[]){ b, c }, 2, 0, &r), LB_EINVAL);
    assert_non_null(strstr(lb_error(), "f32[2, 1]"));
    assert_int_equal(lb_tensor_cat((const lb_tensor *[]){ b, a }, 2, 0, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_cat((const lb_tensor *[]){ b }, 1, 2, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_cat(NULL, 0, 0, &r), LB_EINVAL);
    assert_int_equal(lb_tensor_stack((const lb_tensor *[]){ b, c }, 2, 0, &r), LB_EINVAL);
    lb_tensor *all[] = { a, b, c };
    for (size_t i = 0; i < 3; i++) lb_tensor_release(all[i]);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void test_spread(void **state) {
    (void)state;
    enum { N = 70001 };   /* more than one chunk */
    lb_tensor *t = tensor(LB_F32, DIMS(1, N));
    double *sorted = malloc(N * sizeof *sorted), sum = 0;
    lb_spread d;
    OK(lb_tensor_fill_randn(t, 3, 0, 1));
    for (int64_t i = 0; i < N; i++) {
        sorted[i] = fabs(AT(t, 0, i));
        sum += sorted[i];
    }
    qsort(sorted, N, sizeof *sorted, by_size);
    const double shares[] = { 1e-9, 0.25, 0.5, 0.99, 0.9999, 1 };
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        OK(lb_tensor_spread(t, shares[i], &d));
        int64_t rank = (int64_t)ceil(shares[i] * N);
        assert_true(d.quantile == sorted[rank < 1 ? 0 : rank - 1]);
        assert_true(d.max_abs == sorted[N - 1] && fabs(d.mean_abs - sum / N) < 1e-12);
    }
    assert_int_equal(lb_tensor_spread(t, 0, &d), LB_EINVAL);
    assert_int_equal(lb_tensor_spread(t, NAN, &d), LB_EINVAL);
    lb_tensor *empty = tensor(LB_F32, DIMS(0, 4)), *odd = tensor(LB_F32, DIMS(2));
    assert_int_equal(lb_tensor_spread(empty, 0.5, &d), LB_EINVAL);
    lb_tensor_set(odd, (int64_t[]){ 0 }, NAN);
    lb_tensor_set(odd, (int64_t[]){ 1 }, -3);
    OK(lb_tensor_spread(odd, 1, &d));
    assert_true(d.max_abs == 3 && d.mean_abs == 1.5 && d.quantile == 3);
    lb_tensor *all[] = { t, empty, odd };
    for (size_t i = 0; i < 3; i++) lb_tensor_release(all[i]);
    free(sorted);
}

static int open_cpu(void **state) {
    (void)state;
    return lb_device_open("cpu", 0, &cpu);
}
static int close_cpu(void **state) {
    (void)state;
    lb_device_release(cpu);
    return lb_memory_now() != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_elementwise_values),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_reductions_of_odd_input),
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_fill_and_copy),
        cmocka_unit_test(test_random_fill_depends_on_nothing_else),
        cmocka_unit_test(test_arange_and_join),
        cmocka_unit_test(test_spread),
    };
    return cmocka_run_group_tests(tests, open_cpu, close_cpu);
}
