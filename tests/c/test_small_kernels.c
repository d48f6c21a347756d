/* test_small_kernels.c: every registered kernel of the small operations and the ceilings, and of gemm over float
 * weights, against f64: ties, tails, empty shares, odd splits, bad ids. */
#include "tests/c/small_kernels.h"
#include "tests/c/trellis_codes.h"

/* ---- swiglu, axpy, combine ---- */

static void check_swiglu(const lb_kernel *k, const lb_args *a) {
    lb_tensor *out = lb_arg(a, LB_SWIGLU_OUT);
    EACH_SPLIT(parts) {
        memset(lb_tensor_data(out), 0xff, lb_tensor_size_bytes(out));
        launch(k, a, (int)parts);
        assert_near(k, f32(a, LB_SWIGLU_OUT), expected, lb_tensor_numel(out));
    }
}
static void test_swiglu(void **unused) {
    (void)unused;
    lb_args a = args_of("swiglu");
    int64_t n = 3 * 67;
    set(&a, LB_SWIGLU_GATE, floats(3, 67));
    set(&a, LB_SWIGLU_UP, floats(3, 67));
    set(&a, LB_SWIGLU_OUT, tensor(LB_F32, 3, 67));
    const float edges[] = { 0, -0.0f, 1e-30f, 87, 89, 200, 3e38f, -20, -87, -89, -200, -3e38f };
    memcpy(f32(&a, LB_SWIGLU_GATE) + 7, edges, sizeof edges);
    f32(&a, LB_SWIGLU_UP)[13] = 1; /* 3e38 stays finite */
    expected = malloc((size_t)n * 8);
    for (int64_t i = 0; i < n; i++) {
        double g = f32(&a, LB_SWIGLU_GATE)[i];
        expected[i] = g / (1 + exp(-g)) * (double)f32(&a, LB_SWIGLU_UP)[i];
    }
    /* the huge element hides the others from a sum of squares: once with, once without it */
    assert_true(each(&a, check_swiglu) >= 1);
    f32(&a, LB_SWIGLU_GATE)[13] = 2, expected[13] = 2 / (1 + exp(-2.0));
    assert_true(each(&a, check_swiglu) >= 1);
    free(expected);
    release(&a);
}

static void check_axpy(const lb_kernel *k, const lb_args *a) {
    lb_tensor *before = NULL, *y = lb_arg(a, LB_AXPY_Y);
    assert_int_equal(lb_tensor_clone(y, &before), LB_OK);
    EACH_SPLIT(parts) {
        memcpy(lb_tensor_data(y), lb_tensor_data(before), lb_tensor_size_bytes(y));
        launch(k, a, (int)parts);
        assert_near(k, f32(a, LB_AXPY_Y), expected, lb_tensor_numel(y));
    }
    memcpy(lb_tensor_data(y), lb_tensor_data(before), lb_tensor_size_bytes(y));
    lb_tensor_release(before);
}
static void test_axpy(void **unused) {
    (void)unused;
    lb_args a = args_of("axpy");
    set(&a, LB_AXPY_X, floats(1003, -1));
    set(&a, LB_AXPY_SCALE, floats(5, -1));
    set(&a, LB_AXPY_Y, floats(1003, -1));
    a.p[LB_AXPY_P_AT] = 3;
    expected = malloc(1003 * 8);
    for (int i = 0; i < 1003; i++)
        expected[i] = (double)f32(&a, LB_AXPY_Y)[i] + (double)f32(&a, LB_AXPY_SCALE)[3] * (double)f32(&a, LB_AXPY_X)[i];
    assert_true(each(&a, check_axpy) >= 1);
    free(expected);
    release(&a);
}

static void check_combine(const lb_kernel *k, const lb_args *a) {
    lb_tensor *out = lb_arg(a, LB_COMBINE_OUT);
    EACH_SPLIT(parts) {
        memset(lb_tensor_data(out), 0xff, lb_tensor_size_bytes(out));
        launch(k, a, (int)parts);
        assert_near(k, f32(a, LB_COMBINE_OUT), expected, lb_tensor_numel(out));
    }
}
static void combine_case(int64_t tokens, int64_t k, int64_t h, bool shared) {
    lb_args a = args_of("combine");
    set(&a, LB_COMBINE_Y, floats(tokens * k, h));
    set(&a, LB_COMBINE_WEIGHTS, floats(tokens, k));
    if (shared) set(&a, LB_COMBINE_SHARED, floats(tokens, h));
    set(&a, LB_COMBINE_OUT, tensor(LB_F32, tokens, h));
    expected = malloc((size_t)(tokens * h) * 8);
    for (int64_t i = 0; i < tokens * h; i++) {
        int64_t t = i / h;
        expected[i] = shared ? f32(&a, LB_COMBINE_SHARED)[i] : 0;
        for (int64_t s = 0; s < k; s++)
            expected[i] += (double)f32(&a, LB_COMBINE_WEIGHTS)[t * k + s] *
                           (double)f32(&a, LB_COMBINE_Y)[(t * k + s) * h + i % h];
    }
    assert_true(each(&a, check_combine) >= 1);
    free(expected);
    release(&a);
}
static void test_combine(void **unused) {
    (void)unused;
    combine_case(1, 4, 2048, true);
    combine_case(5, 3, 71, true);
    combine_case(9, 1, 17, false);
}

/* ---- choose ---- */

static void check_choose(const lb_kernel *k, const lb_args *a) {
    launch(k, a, 3);
    for (int i = 0; i < 5; i++)
        if (i32(a, LB_CHOOSE_FLAGS)[i] != (expected[i] != 0))
            fail_msg("%s: flag %d is %d, expected %g", k->name, i, i32(a, LB_CHOOSE_FLAGS)[i], expected[i]);
}
static void test_choose(void **unused) {
    (void)unused;
    lb_args a = args_of("choose");
    set(&a, LB_CHOOSE_OFFSETS, tensor(LB_I32, 5, -1));
    set(&a, LB_CHOOSE_COSTS, tensor(LB_F32, 5, 3));
    set(&a, LB_CHOOSE_FLAGS, tensor(LB_I32, 5, -1));
    const int32_t offsets[] = { 0, 2, 2, 9, 10 }; /* 10 rows of 3 experts */
    memcpy(i32(&a, LB_CHOOSE_OFFSETS), offsets, sizeof offsets);
    const float costs[] = { 100, 0, 0, 0, 5, 10, 20, 6, 0, 0, 8, 0, 10, 4, 10 }; /* 100 80 80 80 80 */
    memcpy(f32(&a, LB_CHOOSE_COSTS), costs, sizeof costs);
    double tie[] = { 0, 1, 0, 0, 0 }, last[] = { 0, 0, 0, 0, 1 };
    expected = tie;
    assert_true(each(&a, check_choose) >= 1);
    lb_oracle_in in = { .args = &a };
    lb_expected e[LB_MAX_EXPECTED] = { 0 };
    int count = 0;
    assert_int_equal(a.op->oracle(&in, e, &count), LB_OK); /* in a tie the candidates that are none still count */
    assert_true(e[0].mask[0] == 1 && e[0].values[0] == 0 && e[0].mask[1] == 0 && e[0].mask[4] == 0);
    free(e[0].values);
    free(e[0].mask);
    f32(&a, LB_CHOOSE_COSTS)[12] = 9;
    expected = last;
    assert_true(each(&a, check_choose) >= 1);
    release(&a);
}

/* ---- topk ---- */

typedef struct wanted { int32_t id; double score, p; } wanted;
static int by_score(const void *x, const void *y) {
    const wanted *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

/* Experts of groups that are not selected go behind all others. */
static void leave_groups(const lb_args *a, wanted *w, int64_t experts) {
    int64_t groups = (int64_t)a->p[LB_TOPK_P_GROUPS], each = groups > 1 ? experts / groups : experts;
    double sums[64];
    for (int64_t g = 0; g < groups && groups > 1; g++) {
        wanted *one = malloc((size_t)each * sizeof *one);
        memcpy(one, w + g * each, (size_t)each * sizeof *one);
        qsort(one, (size_t)each, sizeof *one, by_score);
        sums[g] = one[0].score + (a->p[LB_TOPK_P_GROUP_SUM] > 1 ? one[1].score : 0);
        free(one);
    }
    for (int64_t g = 0; g < groups && groups > 1; g++) {
        int better = 0;
        for (int64_t o = 0; o < groups; o++) better += sums[o] > sums[g] || (sums[o] == sums[g] && o < g);
        for (int64_t e = g * each; e < (g + 1) * each && better >= (int)a->p[LB_TOPK_P_TOP_GROUPS]; e++)
            w[e].score = -INFINITY;
    }
}

static void check_topk(const lb_kernel *k, const lb_args *a) {
    const lb_tensor *logits = lb_arg(a, LB_TOPK_LOGITS);
    int64_t tokens = logits->dims[0], experts = logits->dims[1], top = (int64_t)a->p[LB_TOPK_P_K];
    wanted *w = malloc((size_t)experts * sizeof *w);
    double *weights = malloc((size_t)top * sizeof *weights);
    EACH_SPLIT(parts) {
        launch(k, a, (int)parts);
        for (int64_t t = 0; t < tokens; t++) {
            const float *x = lb_tensor_f32(logits) + t * experts;
            double max = -INFINITY, all = 0, sum = 0;
            for (int64_t e = 0; e < experts; e++) max = fmax(max, x[e]);
            for (int64_t e = 0; e < experts; e++) all += exp(x[e] - max);
            for (int64_t e = 0; e < experts; e++) {
                double p = a->p[LB_TOPK_P_SIGMOID] != 0 ? 1 / (1 + exp(-(double)x[e])) : exp(x[e] - max) / all;
                double bias = lb_arg(a, LB_TOPK_BIAS) ? f32(a, LB_TOPK_BIAS)[e] : 0;
                w[e] = (wanted){ (int32_t)e, (a->p[LB_TOPK_P_SIGMOID] != 0 ? p : x[e]) + bias, p };
            }
            leave_groups(a, w, experts);
            qsort(w, (size_t)experts, sizeof *w, by_score);
            for (int64_t s = 0; s < top; s++) sum += w[s].p;
            for (int64_t s = 0; s < top; s++) {
                weights[s] = w[s].p / (a->p[LB_TOPK_P_RENORMALIZE] != 0 ? sum : 1) * a->p[LB_TOPK_P_SCALE];
                int32_t id = i32(a, LB_TOPK_IDS)[t * top + s];
                if (id != w[s].id) fail_msg("%s: token %lld slot %lld: expert %d, expected %d", k->name, (long long)t,
                                            (long long)s, id, w[s].id);
            }
            assert_near(k, f32(a, LB_TOPK_WEIGHTS) + t * top, weights, top);
        }
    }
    free(w), free(weights);
}
/* Logits are multiples of 1/8, so that many tie exactly, and no two scores are nearer than f32 tells apart. */
static void topk_groups(int64_t tokens, int64_t experts, int64_t k, bool sigmoid, bool renormalize, bool bias,
                        float shift, int groups, int top_groups, int sum) {
    lb_args a = args_of("topk");
    a.p[LB_TOPK_P_GROUPS] = groups, a.p[LB_TOPK_P_TOP_GROUPS] = top_groups, a.p[LB_TOPK_P_GROUP_SUM] = sum;
    set(&a, LB_TOPK_LOGITS, tensor(LB_F32, tokens, experts));
    for (int64_t i = 0; i < tokens * experts; i++) f32(&a, LB_TOPK_LOGITS)[i] = rintf(next_value() * 8) / 8 + shift;
    if (bias) set(&a, LB_TOPK_BIAS, tensor(LB_F32, experts, -1));
    for (int64_t i = 0; bias && i < experts; i++)
        f32(&a, LB_TOPK_BIAS)[i] = sigmoid ? (float)i : rintf(next_value() * 8) / 8; /* sigmoid: decided by the bias */
    set(&a, LB_TOPK_IDS, tensor(LB_I32, tokens, k));
    set(&a, LB_TOPK_WEIGHTS, tensor(LB_F32, tokens, k));
    a.p[LB_TOPK_P_K] = (double)k;
    a.p[LB_TOPK_P_SIGMOID] = sigmoid;
    a.p[LB_TOPK_P_RENORMALIZE] = renormalize;
    a.p[LB_TOPK_P_SCALE] = 1.8;
    assert_true(each(&a, check_topk) >= 1);
    release(&a);
}
static void topk_case(int64_t tokens, int64_t experts, int64_t k, bool sigmoid, bool renormalize, bool bias,
                      float shift) {
    topk_groups(tokens, experts, k, sigmoid, renormalize, bias, shift, 1, 1, 1);
}
static void test_topk(void **unused) {
    (void)unused;
    for (int i = 0; i < 8; i++) topk_case(13, 64, 4, i & 1, i & 2, i & 4, 0);
    topk_case(3, 1024, 8, false, true, true, 0);
    topk_case(3, 1, 1, true, true, false, 0);
    topk_case(2, 33, 33, false, false, false, 0); /* all, sorted */
    topk_case(2, 16, 2, true, true, true, -110);  /* sigmoids below f32's range, renormalised */
    topk_case(2, 16, 2, false, true, false, 80);
    topk_groups(13, 64, 6, false, false, false, 0, 8, 3, 1); /* DeepSeek-V2 */
    topk_groups(13, 256, 8, true, true, true, 0, 8, 4, 2);   /* DeepSeek-V3 */
    topk_groups(5, 64, 2, true, true, false, 0, 32, 1, 1);   /* all of a group */
}

static void check_topk_nan(const lb_kernel *k, const lb_args *a) {
    launch(k, a, 2);
    for (int s = 0; s < 3; s++) { /* whatever they are, the ids must index */
        int32_t id = i32(a, LB_TOPK_IDS)[s];
        if (id < 0 || id >= 8) fail_msg("%s: id %d of 8 experts", k->name, id);
    }
}
static void test_topk_nan(void **unused) {
    (void)unused;
    lb_args a = args_of("topk");
    set(&a, LB_TOPK_LOGITS, tensor(LB_F32, 1, 8)); /* NaN */
    set(&a, LB_TOPK_IDS, tensor(LB_I32, 1, 3));
    set(&a, LB_TOPK_WEIGHTS, tensor(LB_F32, 1, 3));
    a.p[LB_TOPK_P_K] = 3, a.p[LB_TOPK_P_SCALE] = 1;
    assert_true(each(&a, check_topk_nan) >= 1);
    release(&a);
}

/* ---- moe_group ---- */

static void check_group(const lb_kernel *k, const lb_args *a) {
    int64_t slots = lb_tensor_numel(lb_arg(a, LB_GROUP_IDS)), experts = lb_arg(a, LB_GROUP_CLASS)->dims[0];
    int64_t classes = (int64_t)a->p[LB_GROUP_P_CLASSES], at = 0, class_rows[8] = { 0 };
    for (int slot = LB_GROUP_OFFSETS; slot <= LB_GROUP_RARE; slot++)
        memset(i32(a, slot), 0x80, lb_tensor_size_bytes(lb_arg(a, slot)));
    launch(k, a, 2);
    const int32_t *ids = i32(a, LB_GROUP_IDS), *cls = i32(a, LB_GROUP_CLASS);
    for (int64_t e = 0; e < experts; e++) {
        assert_int_equal(i32(a, LB_GROUP_OFFSETS)[e], at);
        for (int64_t i = 0; i < slots; i++) {
            if (ids[i] != e) continue;
            assert_int_equal(i32(a, LB_GROUP_ROWS)[at], i);
            class_rows[cls[e]]++, at++;
        }
    }
    assert_int_equal(i32(a, LB_GROUP_OFFSETS)[experts], at);
    for (; at < slots; at++) assert_int_equal(i32(a, LB_GROUP_ROWS)[at], -1);
    for (int64_t c = 0; c < classes; c++) {
        assert_int_equal(i32(a, LB_GROUP_CLASS_ROWS)[c], class_rows[c]);
        bool grouped = class_rows[c] > 0 && (double)class_rows[c] >= a->p[LB_GROUP_P_THRESHOLD];
        assert_int_equal(i32(a, LB_GROUP_GROUPED)[c], grouped);
    }
    for (int64_t i = 0; i < slots; i++) {
        bool known = ids[i] >= 0 && ids[i] < experts;
        assert_int_equal(i32(a, LB_GROUP_RARE)[i], !known || !i32(a, LB_GROUP_GROUPED)[cls[ids[i]]]);
    }
}
static void group_case(int64_t tokens, int64_t k, int64_t experts, int64_t classes, double threshold, bool bad) {
    lb_args a = args_of("moe_group");
    set(&a, LB_GROUP_IDS, tensor(LB_I32, tokens, k));
    set(&a, LB_GROUP_CLASS, tensor(LB_I32, experts, -1));
    for (int64_t i = 0; i < tokens * k; i++) i32(&a, LB_GROUP_IDS)[i] = (int32_t)(next_u32() % (uint64_t)experts);
    for (int64_t e = 0; e < experts; e++) i32(&a, LB_GROUP_CLASS)[e] = (int32_t)(e % classes);
    int32_t *ids = i32(&a, LB_GROUP_IDS);
    if (bad) ids[0] = -1, ids[2] = (int32_t)experts, ids[3] = INT32_MAX;
    set(&a, LB_GROUP_OFFSETS, tensor(LB_I32, experts + 1, -1));
    set(&a, LB_GROUP_ROWS, tensor(LB_I32, tokens * k, -1));
    set(&a, LB_GROUP_CLASS_ROWS, tensor(LB_I32, classes, -1));
    set(&a, LB_GROUP_GROUPED, tensor(LB_I32, classes, -1));
    set(&a, LB_GROUP_RARE, tensor(LB_I32, tokens * k, -1));
    a.p[LB_GROUP_P_CLASSES] = (double)classes, a.p[LB_GROUP_P_THRESHOLD] = threshold;
    assert_true(each(&a, check_group) >= 1);
    release(&a);
}
static void test_group(void **unused) {
    (void)unused;
    group_case(1, 4, 64, 6, 2, false);
    group_case(37, 4, 64, 6, 25, false);
    group_case(200, 2, 8, 4, 0, false);
    group_case(5, 1, 1, 1, 1e6, false);
    group_case(9, 2, 8, 4, 1, true);
}

/* ---- ceilings ---- */

static void check_peak(const lb_kernel *k, const lb_args *a) {
    memset(f32(a, LB_PEAK_SINK), 0xff, 64 * 4);
    launch(k, a, 3);
    for (int i = 0; i < 64; i++)
        if (isfinite(f32(a, LB_PEAK_SINK)[i]) != (i < (k->serial ? 1 : 3)))
            fail_msg("%s: sink[%d] is %g", k->name, i, f32(a, LB_PEAK_SINK)[i]);
}
static void test_peak(void **unused) {
    (void)unused;
    lb_args a = args_of("peak");
    set(&a, LB_PEAK_SINK, tensor(LB_F32, 64, -1));
    a.p[LB_PEAK_P_ROUNDS] = 2;
    assert_true(each(&a, check_peak) >= 1);
    release(&a);
}

static void check_peak_read(const lb_kernel *k, const lb_args *a) {
    EACH_SPLIT(parts) {
        double sum = 0;
        launch(k, a, (int)parts);
        for (size_t i = 0; i < (k->serial ? 1 : parts); i++) sum += f32(a, LB_PEAK_READ_SINK)[i];
        if (sum != (double)lb_tensor_numel(lb_arg(a, LB_PEAK_READ_X))) fail_msg("%s: read %g elements", k->name, sum);
    }
}
static void test_peak_read(void **unused) {
    (void)unused;
    const int64_t sizes[] = { 1, 1000, 5000, 100003 };
    for (int s = 0; s < 4; s++) {
        lb_args a = args_of("peak_read");
        set(&a, LB_PEAK_READ_X, floats(sizes[s], -1));
        for (int64_t i = 0; i < sizes[s]; i++) f32(&a, LB_PEAK_READ_X)[i] = 1; /* the sum counts what was read */
        set(&a, LB_PEAK_READ_SINK, tensor(LB_F32, 64, -1));
        a.p[LB_PEAK_READ_P_ROUNDS] = 1 + s;
        assert_true(each(&a, check_peak_read) >= 1);
        release(&a);
    }
}

static void check_peak_copy(const lb_kernel *k, const lb_args *a) {
    EACH_SPLIT(parts) {
        int64_t n = lb_tensor_numel(lb_arg(a, LB_PEAK_COPY_X));
        memset(f32(a, LB_PEAK_COPY_OUT), 0xff, (size_t)n * 4);
        launch(k, a, (int)parts);
        if (memcmp(f32(a, LB_PEAK_COPY_OUT), f32(a, LB_PEAK_COPY_X), (size_t)n * 4)) fail_msg("%s: no copy", k->name);
    }
}
static void check_peak_write(const lb_kernel *k, const lb_args *a) {
    EACH_SPLIT(parts) {
        int64_t n = lb_tensor_numel(lb_arg(a, LB_PEAK_WRITE_OUT));
        memset(f32(a, LB_PEAK_WRITE_OUT), 0xff, (size_t)n * 4);
        launch(k, a, (int)parts);
        for (int64_t i = 0; i < n; i++)
            if (f32(a, LB_PEAK_WRITE_OUT)[i] != 1)
                fail_msg("%s: element %lld of %lld", k->name, (long long)i, (long long)n);
    }
}
static void test_peak_moves(void **unused) {
    (void)unused;
    const int64_t sizes[] = { 1, 1000, 5000, 100003 };
    for (int s = 0; s < 4; s++) {
        lb_args a = args_of("peak_copy"), b = args_of("peak_write");
        set(&a, LB_PEAK_COPY_X, floats(sizes[s], -1));
        set(&a, LB_PEAK_COPY_OUT, tensor(LB_F32, sizes[s], -1));
        assert_true(each(&a, check_peak_copy) >= 1);
        set(&b, LB_PEAK_WRITE_OUT, tensor(LB_F32, sizes[s], -1));
        assert_true(each(&b, check_peak_write) >= 1);
        release(&a), release(&b);
    }
}

static void check_empty(const lb_kernel *k, const lb_args *a) { launch(k, a, 2); }
static void test_empty(void **unused) {
    (void)unused;
    lb_args a = args_of("empty");
    assert_true(each(&a, check_empty) >= 1);
}

static void check_fill(const lb_kernel *k, const lb_args *a) {
    EACH_SPLIT(parts) {
        int64_t n = lb_tensor_numel(lb_arg(a, LB_FILL_OUT));
        memset(f32(a, LB_FILL_OUT), 0xff, (size_t)n * 4);
        launch(k, a, (int)parts);
        for (int64_t i = 0; i < n; i++)
            if (f32(a, LB_FILL_OUT)[i] != 2.5f)
                fail_msg("%s: element %d is %g", k->name, (int)i, f32(a, LB_FILL_OUT)[i]);
    }
}
static void test_fill(void **unused) {
    (void)unused;
    for (int64_t n = 1; n < 5000; n = 5 * n + 2) {
        lb_args a = args_of("fill");
        a.p[LB_FILL_P_VALUE] = 2.5;
        set(&a, LB_FILL_OUT, tensor(LB_F32, n, -1));
        assert_true(each(&a, check_fill) >= 1);
        release(&a);
    }
}

/* ---- gemm over float weights ---- */

static void check_gemm(const lb_kernel *k, const lb_args *a) {
    lb_tensor *out = lb_arg(a, LB_GEMM_OUT);
    EACH_SPLIT(parts) {
        memset(lb_tensor_data(out), 0xff, lb_tensor_size_bytes(out));
        launch(k, a, (int)parts);
        assert_near(k, f32(a, LB_GEMM_OUT), expected, lb_tensor_numel(out));
    }
}
/* The first rows of x alone must give the bits that they have in the batch: one row, or where there are more than six
 * or more than twelve, which kernels take by other ways, seven or thirteen. OpenBLAS promises no such thing. */
static void check_gemm_batch(const lb_kernel *k, const lb_args *a) {
    lb_tensor *x = lb_arg(a, LB_GEMM_X), *first = NULL;
#ifdef TEST_EMULATED
    return; /* a GPU's kernels take one row and many by different ways */
#endif
    if (strstr(k->name, "openblas")) return;
    lb_args one = { .op = a->op };
    int64_t rows = x->dims[0] <= 6 ? 1 : x->dims[0] <= 12 ? 7 : 13;
    assert_int_equal(lb_tensor_slice(x, 0, 0, rows, &first), LB_OK);
    set(&one, LB_GEMM_X, first);
    set(&one, LB_GEMM_W, lb_tensor_retain(lb_arg(a, LB_GEMM_W)));
    set(&one, LB_GEMM_OUT, tensor(LB_F32, rows, lb_arg(a, LB_GEMM_OUT)->dims[1]));
    launch(k, a, 3);
    launch(k, &one, 2);
    if (memcmp(f32(&one, LB_GEMM_OUT), f32(a, LB_GEMM_OUT), lb_tensor_size_bytes(lb_arg(&one, LB_GEMM_OUT))))
        fail_msg("%s: a row's bits depend on the batch", k->name);
    release(&one);
}
/* Values that bf16 holds, since the kernels of bf16 weights round activations to it. */
static lb_tensor *bf16_floats(int64_t m, int64_t k) {
    lb_tensor *x = floats(m, k), *cast = NULL, *back = NULL;
    assert_int_equal(lb_tensor_to_dtype(x, LB_BF16, &cast), LB_OK);
    assert_int_equal(lb_tensor_to_dtype(cast, LB_F32, &back), LB_OK);
    lb_tensor_release(x), lb_tensor_release(cast);
    return back;
}
static void gemm_case(lb_dtype dtype, int64_t m, int64_t n, int64_t k) {
    lb_args a = args_of("gemm");
    lb_tensor *w = floats(n, k), *cast = NULL, *back = NULL;
    assert_int_equal(lb_tensor_to_dtype(w, dtype, &cast), LB_OK);
    assert_int_equal(lb_tensor_to_dtype(cast, LB_F32, &back), LB_OK);
    set(&a, LB_GEMM_X, dtype == LB_BF16 ? bf16_floats(m, k) : floats(m, k));
    set(&a, LB_GEMM_W, cast);
    set(&a, LB_GEMM_OUT, tensor(LB_F32, m, n));
    expected = malloc((size_t)(m * n + 1) * 8);
    for (int64_t i = 0; i < m * n; i++) {
        expected[i] = 0;
        for (int64_t j = 0; j < k; j++)
            expected[i] += (double)f32(&a, LB_GEMM_X)[i / n * k + j] * (double)lb_tensor_f32(back)[i % n * k + j];
    }
    assert_true(each(&a, check_gemm) >= 1);
    each(&a, check_gemm_batch);
    free(expected);
    lb_tensor_release(w), lb_tensor_release(back);
    release(&a);
}
static void test_gemm(void **unused) {
    (void)unused;
    const int64_t ms[] = { 1, 2, 3, 5, 6, 7, 8, 13, 40 };
    for (int i = 0; i < 9; i++) {
        gemm_case(LB_F32, ms[i], 37, 1100);
        gemm_case(LB_F32, ms[i], 64, 48);
        gemm_case(LB_F32, ms[i], 3, 5);
    }
    for (int m = 1; m <= 8; m += 7) {
        gemm_case(LB_F16, m, 19, 100);
        gemm_case(LB_BF16, m, 19, 100);
        gemm_case(LB_F64, m, 19, 100);
    }
}
/* Halves of every kind: zero, subnormal, normal, both signs. */
static void test_gemm_halves(void **unused) {
    (void)unused;
    lb_args a = args_of("gemm");
    lb_tensor *w = tensor(LB_F16, 31 * 2, 1024);
    uint16_t *h = lb_tensor_data(w);
    for (int i = 0; i < 31 * 2 * 1024; i++) h[i] = (uint16_t)(i < 31 * 1024 ? i : 0x8000 + i - 31 * 1024);
    set(&a, LB_GEMM_X, tensor(LB_F32, 1, 1024));
    set(&a, LB_GEMM_W, w);
    set(&a, LB_GEMM_OUT, tensor(LB_F32, 1, 62));
    memset(f32(&a, LB_GEMM_X), 0, 4096);
    expected = malloc(62 * 8);
    for (int at = 0; at < 1024; at += 93) { /* a one picks a column: products and sums are exact */
        f32(&a, LB_GEMM_X)[at] = 1;
        for (int r = 0; r < 62; r++) expected[r] = lb_f16_to_f32(h[r * 1024 + at]);
        for (int i = 0; i < lb_kernel_count(); i++) {
            const lb_kernel *k = lb_kernel_at(i);
            if (strcmp(k->op, "gemm") || !lb_kernel_fits(k, device, &a, NULL)) continue;
            launch(k, &a, 2);
            for (int r = 0; r < 62; r++)
                if ((double)f32(&a, LB_GEMM_OUT)[r] != expected[r])
                    fail_msg("%s: half %04x reads as %g", k->name, h[r * 1024 + at], f32(&a, LB_GEMM_OUT)[r]);
        }
        f32(&a, LB_GEMM_X)[at] = 0;
    }
    free(expected);
    release(&a);
}

/* ---- gemm over quantized weights whose K is no multiple of 256 ---- */

static void quantized_case(const lb_kernel *kernel, const lb_quantizer *q, int64_t m, int64_t n, int64_t k) {
    lb_args a = args_of("gemm");
    lb_tensor *w = floats(n, k), *quantized = NULL, *packed = NULL, *back = NULL;
    double *x = malloc((size_t)(m * k) * sizeof *x);
    lb_status made = is_trellis(q) ? lb_tensor_new(device, LB_QUANT, q, 2, (int64_t[]){ n, k }, &quantized)
                                   : lb_tensor_quantize(w, q, NULL, NULL, &quantized);
    if (!made && is_trellis(q)) trellis_codes(quantized, next_u32);
    if (made || lb_tensor_dequantize(quantized, &back) ||
        lb_tensor_in_layout(quantized, kernel, &packed, NULL))
        fail_msg("%s: %s", kernel->name, lb_error());
    set(&a, LB_GEMM_X, floats(m, k));
    set(&a, LB_GEMM_W, lb_tensor_retain(packed));
    set(&a, LB_GEMM_OUT, tensor(LB_F32, m, n));
    expected = malloc((size_t)(m * n) * sizeof *expected);
    for (int64_t i = 0; i < m; i++) lb_act_values_row(kernel->act, f32(&a, LB_GEMM_X) + i * k, k, x + i * k);
    for (int64_t i = 0; i < m * n; i++) {
        expected[i] = 0;
        for (int64_t j = 0; j < k; j++) expected[i] += x[i / n * k + j] * (double)lb_tensor_f32(back)[i % n * k + j];
    }
    check_gemm(kernel, &a);
    check_gemm_batch(kernel, &a);
    free(expected), free(x);
    release(&a);
    lb_tensor_release(w), lb_tensor_release(back), lb_tensor_release(quantized);
}

static void test_gemm_odd_k(void **unused) {
    (void)unused;
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, "gemm") || !k->panel || (lb_device_caps_of(device)->isa & k->isa) != k->isa) continue;
        for (int f = 0; lb_quantizer_families[f]; f++) {
            if (strcmp(k->format, lb_quantizer_families[f]->name)) continue;
            for (const char *const *member = lb_quantizer_families[f]->members; member && *member; member++) {
                const lb_quantizer *q = NULL;
                if (lb_quantizer_find(*member, &q)) fail_msg("%s", lb_error());
                int64_t unit = q->k_multiple;
                quantized_case(k, q, 5, 37, unit > 1 ? 11 * unit : 301);
                quantized_case(k, q, 29, 16, unit > 1 ? unit : 7);
            }
        }
    }
}

int main(void) {
    if (lb_device_open("cpu", 2, &device)) {
        fprintf(stderr, "%s\n", lb_error());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swiglu), cmocka_unit_test(test_axpy), cmocka_unit_test(test_combine),
        cmocka_unit_test(test_choose), cmocka_unit_test(test_topk), cmocka_unit_test(test_topk_nan),
        cmocka_unit_test(test_group), cmocka_unit_test(test_peak), cmocka_unit_test(test_peak_read),
        cmocka_unit_test(test_peak_moves),
        cmocka_unit_test(test_empty), cmocka_unit_test(test_fill), cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_gemm_halves), cmocka_unit_test(test_gemm_odd_k),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lb_device_release(device);
    return failed;
}
