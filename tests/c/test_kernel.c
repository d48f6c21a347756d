/* test_kernel.c: the choice among registered kernels, its errors, and the panels of fused kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"
#include "engine/selection.h"
#include "engine/tensor_ops.h"

static lb_device *cpu;

typedef struct gemm {
    lb_args args;
    lb_tensor *x, *w, *out;
} gemm;

/* gemm of [2, 256] with [16, 256] weights: f32, or of a quantizer. */
static void gemm_init(gemm *g, const lb_quantizer *q) {
    lb_tensor *w = NULL;
    memset(g, 0, sizeof *g);
    assert_int_equal(lb_op_find("gemm", &g->args.op), LB_OK);
    assert_int_equal(lb_tensor_new(cpu, LB_F32, NULL, 2, (int64_t[]){ 2, 256 }, &g->x), LB_OK);
    assert_int_equal(lb_tensor_new(cpu, LB_F32, NULL, 2, (int64_t[]){ 2, 16 }, &g->out), LB_OK);
    assert_int_equal(lb_tensor_new(cpu, LB_F32, NULL, 2, (int64_t[]){ 16, 256 }, &w), LB_OK);
    assert_int_equal(lb_tensor_fill(w, 1), LB_OK);
    g->w = w;
    if (q) {
        assert_int_equal(lb_tensor_quantize(w, q, NULL, NULL, &g->w), LB_OK);
        lb_tensor_release(w);
    }
    g->args.t[LB_GEMM_X] = (lb_operand){ &g->x, 1 };
    g->args.t[LB_GEMM_W] = (lb_operand){ &g->w, 1 };
    g->args.t[LB_GEMM_OUT] = (lb_operand){ &g->out, 1 };
}

static void gemm_done(gemm *g) {
    lb_tensor_release(g->x);
    lb_tensor_release(g->w);
    lb_tensor_release(g->out);
}

static void check_choice(lb_device *d, gemm *g) {
    const lb_kernel *chosen, *native;
    const char *why;
    if (lb_kernel_select(d, &g->args, false, &chosen)) fail_msg("%s", lb_error());
    assert_true(lb_kernel_fits(chosen, d, &g->args, &why));
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        why = NULL;
        bool fits = lb_kernel_fits(k, d, &g->args, &why);
        if (fits)
            assert_true(k->priority <= chosen->priority && strcmp(k->op, "gemm") == 0);
        else
            assert_true(why && *why);
        if (fits) assert_int_equal(k->isa & ~lb_device_caps_of(d)->isa, 0);
    }
    if (lb_kernel_select(d, &g->args, true, &native)) fail_msg("%s", lb_error());
    assert_true(!native->layout && !native->panel_weights);
}

static void test_best_kernel_is_chosen_for_every_format(void **state) {
    (void)state;
    gemm g;
    gemm_init(&g, NULL);
    check_choice(cpu, &g);
    gemm_done(&g);
    for (int f = 0; lb_quantizer_families[f]; f++)
        for (const char *const *m = lb_quantizer_families[f]->members; *m; m++) {
            const lb_quantizer *q;
            assert_int_equal(lb_quantizer_find(*m, &q), LB_OK);
            if (256 % q->k_multiple) continue;
            gemm_init(&g, q);
            check_choice(cpu, &g);
            gemm_done(&g);
        }
}

static void test_portable_machine(void **state) {
    (void)state;
    const char *before = getenv("LUABENCH_ISA");
    char keep[32] = "";
    lb_device *d;
    const lb_kernel *k;
    gemm g;
    if (before) strncpy(keep, before, sizeof keep - 1);
    setenv("LUABENCH_ISA", "portable", 1);
    assert_int_equal(lb_device_open("cpu", 0, &d), LB_OK);
    lb_device *whole = cpu;
    cpu = d;
    gemm_init(&g, NULL);
    cpu = whole;
    check_choice(d, &g);
    assert_int_equal(lb_kernel_select(d, &g.args, false, &k), LB_OK);
    assert_int_equal(k->isa, LB_ISA_PORTABLE);
    assert_int_equal(lb_kernel_find("gemm.f32.openblas", &k), LB_OK); /* it would use what is left out */
    if (lb_isa_detect() & LB_ISA_AVX2) {
        const char *why = NULL;
        assert_false(lb_kernel_fits(k, d, &g.args, &why));
        assert_non_null(strstr(why, "LUABENCH_ISA"));
    }
    gemm_done(&g);
    lb_device_release(d);
    if (before)
        setenv("LUABENCH_ISA", keep, 1);
    else
        unsetenv("LUABENCH_ISA");
}

/* A preferred kernel is taken where it fits, though others have a higher priority; elsewhere nothing changes. */
static void test_preferred(void **state) {
    (void)state;
    gemm g;
    const lb_kernel *best, *slow, *k;
    gemm_init(&g, NULL);
    assert_int_equal(lb_kernel_select(cpu, &g.args, false, &best), LB_OK);
    assert_int_equal(lb_kernel_find("gemm.any.portable", &slow), LB_OK);
    assert_true(slow != best);
    const char *names[] = { "gemm.no.such", "gemm.any.portable" };
    lb_why why;
    assert_int_equal(lb_selection_prefer(names, 2), LB_OK);
    assert_int_equal(lb_kernel_select(cpu, &g.args, false, &k), LB_OK);
    assert_ptr_equal(k, slow);
    assert_int_equal(lb_kernel_select_why(cpu, &g.args, false, &k, &why), LB_OK);
    assert_int_equal(why, LB_WHY_PREFERRED);
    names[0] = "fill.f32.portable";         /* of another operation */
    assert_int_equal(lb_selection_prefer(names, 1), LB_OK);
    assert_int_equal(lb_kernel_select(cpu, &g.args, false, &k), LB_OK);
    assert_ptr_equal(k, best);
    assert_int_equal(lb_selection_prefer(NULL, 0), LB_OK);
    assert_int_equal(lb_kernel_select_why(cpu, &g.args, false, &k, &why), LB_OK);
    assert_ptr_equal(k, best);
    assert_int_equal(why, LB_WHY_PRIORITY);
    gemm_done(&g);
}

/* A measured choice counts for its form, while the kernel of highest priority is the one that it was compared with, and
 * where it fits. */
static void test_measured(void **state) {
    (void)state;
    gemm g;
    const lb_kernel *best, *k;
    lb_why why;
    char form[LB_FORM_BYTES];
    gemm_init(&g, NULL);
    lb_selection_form(&g.args, false, form);
    assert_int_equal(lb_kernel_select(cpu, &g.args, false, &best), LB_OK);
    assert_int_equal(lb_selection_measured(cpu, form, "gemm.any.portable", best->name), LB_OK);
    assert_int_equal(lb_selection_measured(cpu, "another form", "gemm.any.portable", best->name), LB_OK);
    assert_int_equal(lb_selection_count(cpu), 2);
    assert_int_equal(lb_kernel_select_why(cpu, &g.args, false, &k, &why), LB_OK);
    assert_string_equal(k->name, "gemm.any.portable");
    assert_int_equal(why, LB_WHY_MEASURED);
    assert_int_equal(lb_selection_measured(cpu, form, "gemm.any.portable", "gemm.f32.other"), LB_OK);
    assert_int_equal(lb_selection_count(cpu), 2);
    assert_int_equal(lb_kernel_select_why(cpu, &g.args, false, &k, &why), LB_OK);
    assert_ptr_equal(k, best);
    assert_int_equal(lb_selection_measured(cpu, form, "fill.f32.portable", best->name), LB_OK);   /* does not fit */
    assert_int_equal(lb_kernel_select(cpu, &g.args, false, &k), LB_OK);
    assert_ptr_equal(k, best);
    assert_int_equal(lb_selection_measured(cpu, form, NULL, NULL), LB_OK);
    assert_int_equal(lb_selection_count(cpu), 1);
    assert_int_equal(lb_selection_measured(cpu, NULL, NULL, NULL), LB_OK);
    assert_int_equal(lb_selection_count(cpu), 0);
    gemm_done(&g);
}

/* One form: as many rows up to a power of two. Another: types, weights, the last dim. */
static void test_forms(void **state) {
    (void)state;
    static const int64_t rows[] = { 5, 6, 8, 9 };
    char forms[4][LB_FORM_BYTES], other[LB_FORM_BYTES];
    gemm g;
    gemm_init(&g, NULL);
    for (int i = 0; i < 4; i++) {
        g.x->dims[0] = g.out->dims[0] = rows[i];
        lb_selection_form(&g.args, false, forms[i]);
    }
    assert_string_equal(forms[0], forms[1]);
    assert_string_equal(forms[0], forms[2]);
    assert_string_not_equal(forms[0], forms[3]);
    assert_non_null(strstr(forms[0], "x f32[8, "));
    lb_selection_form(&g.args, true, other);
    assert_string_not_equal(other, forms[3]);
    gemm_done(&g);
}

static void test_error_lists_each_candidate(void **state) {
    (void)state;
    gemm g;
    const lb_kernel *k;
    gemm_init(&g, NULL);
    g.w->layout = "no such layout"; /* which no kernel reads */
    assert_int_equal(lb_kernel_select(cpu, &g.args, false, &k), LB_EUNSUPPORTED);
    assert_null(k);
    for (int i = 0; i < lb_kernel_count(); i++)
        if (strcmp(lb_kernel_at(i)->op, "gemm") == 0) {
            assert_non_null(strstr(lb_error(), lb_kernel_at(i)->name)); /* the first one at least */
            break;
        }
    g.w->layout = NULL;
    gemm_done(&g);
}

static void *ask_panels(void *arg) {
    const lb_kernel **out = arg;
    int n = 0;
    for (int round = 0; round < 200; round++)
        for (int f = 0; lb_quantizer_families[f]; f++)
            for (const char *const *m = lb_quantizer_families[f]->members; *m; m++) {
                const lb_quantizer *q;
                if (lb_quantizer_find(*m, &q)) return NULL;
                const lb_kernel *k = lb_kernel_panel_for(cpu, q);
                if (round == 0 && n < 200) out[n++] = k;
            }
    return NULL;
}

static void test_panels(void **state) {
    (void)state;
    const lb_kernel *mine[200] = { NULL }, *theirs[200] = { NULL };
    pthread_t t;
    assert_null(lb_kernel_panel_for(cpu, NULL));
    assert_int_equal(pthread_create(&t, NULL, ask_panels, theirs), 0);
    ask_panels(mine);
    pthread_join(t, NULL);
    assert_memory_equal(mine, theirs, sizeof mine);
    int n = 0;
    for (int f = 0; lb_quantizer_families[f]; f++)
        for (const char *const *m = lb_quantizer_families[f]->members; *m && n < 200; m++, n++) {
            const lb_quantizer *q;
            assert_int_equal(lb_quantizer_find(*m, &q), LB_OK);
            const lb_kernel *k = lb_kernel_panel_for(cpu, q);
            assert_ptr_equal(k, mine[n]);
            if (!k) continue;
            assert_true(k->panel && k->layout);
            assert_string_equal(k->format, q->family->name);
            assert_int_equal(k->isa & ~lb_device_caps_of(cpu)->isa, 0);
        }
}

/* The kernels of one format whose layouts have one name arrange the same bytes: tensors keep what was packed by the
 * name. */
static void compare_layouts(const lb_kernel *a, const lb_kernel *b, const lb_quantizer *q, lb_tensor *w) {
    int64_t n = w->dims[0], k = w->dims[1];
    size_t bytes = a->layout->size_bytes(q, n, k);
    if (bytes != b->layout->size_bytes(q, n, k) || a->layout->row_multiple != b->layout->row_multiple)
        fail_msg("%s and %s: layouts of one name, '%s', and of two sizes", a->name, b->name, a->layout->name);
    uint8_t *one = aligned_alloc(64, (bytes + 63) / 64 * 64), *two = aligned_alloc(64, (bytes + 63) / 64 * 64);
    a->layout->repack(q, lb_tensor_data(w), n, k, 0, n, one);
    b->layout->repack(q, lb_tensor_data(w), n, k, 0, n, two);
    if (memcmp(one, two, bytes))
        fail_msg("%s and %s: %s in layouts of one name, '%s', and two kinds", a->name, b->name, q->name,
                 a->layout->name);
    free(one), free(two);
}

static bool has_layout(const lb_kernel *k, const lb_quantizer *q) {
    return k->layout && k->format && !strcmp(k->format, q->family->name) && !strcmp(k->device, "cpu") &&
           (lb_device_caps_of(cpu)->isa & k->isa) == k->isa;
}

static void test_layouts_have_one_meaning(void **state) {
    (void)state;
    for (int f = 0; lb_quantizer_families[f]; f++)
        for (const char *const *m = lb_quantizer_families[f]->members; *m; m++) {
            const lb_quantizer *q;
            lb_tensor *w = NULL, *quantized = NULL;
            assert_int_equal(lb_quantizer_find(*m, &q), LB_OK);
            for (int i = 0; i < lb_kernel_count(); i++)
                for (int j = 0; j < i && has_layout(lb_kernel_at(i), q); j++) {
                    const lb_kernel *a = lb_kernel_at(j), *b = lb_kernel_at(i);
                    if (!has_layout(a, q) || strcmp(a->layout->name, b->layout->name)) continue;
                    if (!w) {
                        assert_int_equal(lb_tensor_new(cpu, LB_F32, NULL, 2, (int64_t[]){ 40, 512 }, &w), LB_OK);
                        assert_int_equal(lb_tensor_fill_randn(w, 7, 0, 1), LB_OK);
                        assert_int_equal(lb_tensor_quantize(w, q, NULL, NULL, &quantized), LB_OK);
                    }
                    compare_layouts(a, b, q, quantized);
                }
            lb_tensor_release(w);
            lb_tensor_release(quantized);
        }
}

static int open_cpu(void **state) {
    (void)state;
    return lb_device_open("cpu", 0, &cpu);
}
static int close_cpu(void **state) {
    (void)state;
    lb_device_release(cpu);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_kernel_is_chosen_for_every_format),
        cmocka_unit_test(test_portable_machine),
        cmocka_unit_test(test_preferred), cmocka_unit_test(test_measured), cmocka_unit_test(test_forms),
        cmocka_unit_test(test_error_lists_each_candidate),
        cmocka_unit_test(test_panels),
        cmocka_unit_test(test_layouts_have_one_meaning),
    };
    return cmocka_run_group_tests(tests, open_cpu, close_cpu);
}
