/* test_status.c: error texts, and the names offered for mistyped ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "engine/kernel.h"
#include "engine/names.h"
#include "engine/op.h"
#include "engine/quantizer.h"
#include "engine/status.h"

static void test_text_and_code(void **state) {
    (void)state;
    assert_int_equal(lb_fail(LB_EINVAL, "got %d, expected %s", 3, "four"), LB_EINVAL);
    assert_string_equal(lb_error(), "got 3, expected four");
    assert_int_equal(lb_fail_in(LB_EIO, "file %s", "a.npy"), LB_EIO);
    assert_string_equal(lb_error(), "file a.npy: got 3, expected four");
    lb_fail(LB_EINVAL, "again: %s", lb_error()); /* an argument that is the text itself */
    assert_string_equal(lb_error(), "again: file a.npy: got 3, expected four");
}

static void test_long_text_is_cut(void **state) {
    (void)state;
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    lb_fail(LB_EINVAL, "%s", longer);
    assert_int_equal(strlen(lb_error()), 1023);
    assert_string_equal(lb_error() + 1020, "...");
    lb_fail_in(LB_EINVAL, "%s", longer);
    assert_int_equal(strlen(lb_error()), 1023);
}

static void *other_thread(void *arg) {
    lb_fail(LB_EIO, "of the other thread");
    return arg;
}

static void test_text_is_per_thread(void **state) {
    (void)state;
    pthread_t t;
    lb_fail(LB_EINVAL, "mine");
    assert_int_equal(pthread_create(&t, NULL, other_thread, NULL), 0);
    pthread_join(t, NULL);
    assert_string_equal(lb_error(), "mine");
}

static void test_status_names(void **state) {
    (void)state;
    for (int s = LB_OK; s <= LB_EINTERNAL; s++) {
        assert_non_null(lb_status_name((lb_status)s));
        assert_string_not_equal(lb_status_name((lb_status)s), "unknown status");
    }
    assert_string_equal(lb_status_name((lb_status)99), "unknown status");
}

static void test_nearest_names(void **state) {
    (void)state;
    const char *names[] = { "gemm", "q4_k", "q4_0", "q8_0", "int4wo-128" };
    char hint[200], small[12];
    lb_names_hint("gmem", names, 5, hint, sizeof hint);
    assert_string_equal(hint, "; did you mean 'gemm'?");
    lb_names_hint("Q4K", names, 5, hint, sizeof hint);
    assert_true(strncmp(hint, "; did you mean 'q4_k'", 21) == 0);
    lb_names_hint("int4", names, 5, hint, sizeof hint);
    assert_non_null(strstr(hint, "int4wo-128"));
    lb_names_hint("completely-else", names, 5, hint, sizeof hint);
    assert_string_equal(hint, "; known: gemm, q4_k, q4_0, q8_0, int4wo-128");
    lb_names_hint("completely-else", names, 5, small, sizeof small);
    assert_true(strlen(small) < sizeof small);
    lb_names_hint("x", names, 0, hint, sizeof hint);
    assert_string_equal(hint, "");
}

static void test_unknown_names(void **state) {
    (void)state;
    const lb_op *op;
    const lb_kernel *kernel;
    const lb_quantizer *q;
    assert_int_equal(lb_op_find("gmem", &op), LB_EINVAL);
    assert_null(op);
    assert_string_equal(lb_error(), "unknown operation 'gmem'; did you mean 'gemm'?");
    assert_int_equal(lb_op_find(NULL, &op), LB_EINVAL);
    assert_int_equal(lb_kernel_find("no such kernel", &kernel), LB_EINVAL);
    assert_non_null(strstr(lb_error(), "unknown kernel 'no such kernel'"));
    assert_int_equal(lb_kernel_find(NULL, &kernel), LB_EINVAL);
    assert_int_equal(lb_quantizer_find("", &q), LB_EINVAL);
    assert_int_equal(lb_quantizer_find(NULL, &q), LB_EINVAL);
    assert_int_equal(lb_quantizer_find("no such format", &q), LB_EINVAL);
    assert_null(q);
    assert_non_null(strstr(lb_error(), "no such format"));
}

static void test_every_registered_name_is_found(void **state) {
    (void)state;
    const lb_op *op;
    const lb_kernel *kernel;
    const lb_quantizer *q, *again;
    for (int i = 0; lb_ops[i]; i++) {
        assert_int_equal(lb_op_find(lb_ops[i]->name, &op), LB_OK);
        assert_ptr_equal(op, lb_ops[i]);
        if (i) assert_true(strcmp(lb_ops[i - 1]->name, lb_ops[i]->name) < 0);
        for (int k = 0; op->operands && op->operands[k].name; k++)
            assert_int_equal(lb_op_operand(op, op->operands[k].name), k);
        assert_int_equal(lb_op_operand(op, "no such operand"), -1);
        assert_int_equal(lb_op_param(op, "no such parameter"), -1);
    }
    for (int i = 0; i < lb_kernel_count(); i++) {
        assert_int_equal(lb_kernel_find(lb_kernel_at(i)->name, &kernel), LB_OK);
        assert_ptr_equal(kernel, lb_kernel_at(i)); /* fails for a name that is used twice */
        assert_int_equal(lb_op_find(kernel->op, &op), LB_OK);
    }
    assert_null(lb_kernel_at(-1));
    assert_null(lb_kernel_at(lb_kernel_count()));
    for (int f = 0; lb_quantizer_families[f]; f++)
        for (const char *const *m = lb_quantizer_families[f]->members; *m; m++) {
            assert_int_equal(lb_quantizer_find(*m, &q), LB_OK);
            assert_string_equal(q->name, *m);
            assert_ptr_equal(q->family, lb_quantizer_families[f]);
            assert_int_equal(lb_quantizer_find(*m, &again), LB_OK);
            assert_ptr_equal(q, again);
            assert_true(lb_quantizer_bits_per_weight(q, 16, q->k_multiple * 4) > 1.0);
        }
}

static void test_plugin_errors(void **state) {
    (void)state;
    int added = 7;
    assert_int_equal(lb_kernel_load("/nonexistent/plugin.so", &added), LB_EIO);
    assert_int_equal(added, 0);
    assert_non_null(strstr(lb_error(), "/nonexistent/plugin.so"));
    assert_int_equal(lb_kernel_load(NULL, &added), LB_EINVAL);
    assert_int_equal(lb_kernel_load("libm.so.6", &added), LB_EINVAL); /* an object, but no plug-in */
    assert_non_null(strstr(lb_error(), "luabench_abi"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_and_code),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_text_is_per_thread),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_nearest_names),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_every_registered_name_is_found),
        cmocka_unit_test(test_plugin_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
