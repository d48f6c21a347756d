/* moe_kernels.h: the part of test_matrix_kernels.c about moe_ffn; included by it. */

enum { EXPERTS = 6, TOP = 2, TOKENS = 70 };

typedef struct layer {
    const char *formats[3];      /* of the last case run, for messages */
    int64_t hidden, inner;
    lb_tensor *native[3][EXPERTS], *packed[3][EXPERTS];
    double *values[3][EXPERTS];
    lb_act act[3][EXPERTS];      /* what each weight's products see */
    lb_tensor *bias[3];          /* [EXPERTS, N], NULL = none */
    double limit;                /* above 0: gpt-oss's gate */
    int32_t cls[EXPERTS];
} layer;

/* Expert e's projections take formats[(e + projection) % count]; class = e % 3. */
static void layer_new(layer *l, const lb_kernel *k, const char *const *formats, int count, int64_t hidden,
                      int64_t inner) {
    *l = (layer){ .hidden = hidden, .inner = inner };
    for (int e = 0; e < EXPERTS; e++) {
        l->cls[e] = e % 3;
        for (int p = 0; p < 3; p++) {
            const lb_quantizer *q;
            if (lb_quantizer_find(formats[(e + p) % count], &q)) fail_msg("%s", lb_error());
            l->native[p][e] = weights(LB_QUANT, q, p == 2 ? hidden : inner, p == 2 ? inner : hidden, e % 2);
            l->packed[p][e] = l->native[p][e];
            l->values[p][e] = values_of(l->native[p][e]);
            l->act[p][e] = k->act;
            if (!k->panel_weights) continue;
            const lb_kernel *panel = lb_kernel_panel_for(device, q);
            assert_non_null(panel);
            l->act[p][e] = panel->act;
            if (lb_tensor_in_layout(l->native[p][e], panel, &l->packed[p][e], NULL)) fail_msg("%s", lb_error());
        }
    }
}

/* Biases, and a gate that cuts some values. */
static void layer_bias(layer *l) {
    for (int p = 0; p < 3; p++) l->bias[p] = floats(EXPERTS, p == 2 ? l->hidden : l->inner);
    l->limit = 0.75;
}

static void layer_free(layer *l) {
    for (int p = 0; p < 3; p++)
        if (l->bias[p]) lb_tensor_release(l->bias[p]);
    for (int p = 0; p < 3; p++)
        for (int e = 0; e < EXPERTS; e++) lb_tensor_release(l->native[p][e]), free(l->values[p][e]);
}

/* Slots of `tokens` tokens grouped by expert; expert 1 gets none, expert 0 about half. */
typedef struct routing { int32_t expert[TOKENS * TOP], offsets[EXPERTS + 1], rows[TOKENS * TOP]; } routing;

static void route(routing *r, const int32_t *choice, int tokens) {
    int32_t at = 0;
    memcpy(r->expert, choice, (size_t)(tokens * TOP) * sizeof *choice);
    for (int e = 0; e < EXPERTS; e++) {
        r->offsets[e] = at;
        for (int32_t s = 0; s < tokens * TOP; s++)
            if (choice[s] == e) r->rows[at++] = s;
    }
    r->offsets[EXPERTS] = at;
}

static void run_moe(const lb_kernel *k, layer *l, routing *r, float *x, int tokens, int only, int parts, float *h,
                    float *y) {
    borrowed bx, bo, br, bc, bh, by;
    lb_args a = { .p = { [LB_FFN_P_CLASS] = only, [LB_FFN_P_ALPHA] = 1.702, [LB_FFN_P_LIMIT] = l->limit } };
    a.t[LB_FFN_X] = borrow(&bx, x, 2, tokens, l->hidden);
    for (int p = 0; p < 3; p++) a.t[LB_FFN_GATE + p] = (lb_operand){ l->packed[p], EXPERTS };
    for (int p = 0; p < 3; p++)
        if (l->bias[p]) a.t[LB_FFN_GATE_BIAS + p] = (lb_operand){ &l->bias[p], 1 };
    a.t[LB_FFN_OFFSETS] = borrow(&bo, r->offsets, 1, EXPERTS + 1, 0);
    a.t[LB_FFN_ROWS] = borrow(&br, r->rows, 1, tokens * TOP, 0);
    a.t[LB_FFN_CLASS] = borrow(&bc, l->cls, 1, EXPERTS, 0);
    a.t[LB_FFN_H] = borrow(&bh, h, 2, tokens * TOP, l->inner);
    a.t[LB_FFN_Y] = borrow(&by, y, 2, tokens * TOP, l->hidden);
    const char *why = "";
    if (k->supports && !k->supports(&a, &why)) fail_msg("%s: %s", k->name, why);
    launch(k, &a, parts);
}

/* out[n] = sum_k w[n][k] * x[k] with x as the kernel's activation format has it. */
static void product(const double *w, lb_act act, const float *x, int64_t n, int64_t k, double *out) {
    double *xs = malloc((size_t)k * sizeof *xs);
    lb_act_values_row(act, x, k, xs);
    for (int64_t i = 0; i < n; i++) out[i] = dot(w + i * k, xs, k);
    free(xs);
}

/* Adds expert e's bias of a projection. */
static void add_bias(const layer *l, int p, int e, int64_t n, double *to) {
    for (int64_t i = 0; l->bias[p] && i < n; i++) to[i] += (double)lb_tensor_f32(l->bias[p])[e * n + i];
}

static double gated(const layer *l, double gate, double up) {
    if (l->limit <= 0) return gate / (1 + exp(-gate)) * up;
    gate = gate > l->limit ? l->limit : gate;
    up = up > l->limit ? l->limit : up < -l->limit ? -l->limit : up;
    return (up + 1) * gate / (1 + exp(-1.702 * gate));
}

static void compare_row(const lb_kernel *k, const char *what, const float *got, const double *want, int64_t n,
                        double sums[2]) {
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(got[i]))
            fail_msg("%s: %s[%d] is %g, expected %g", k->name, what, (int)i, (double)got[i], want[i]);
        sums[0] += (got[i] - want[i]) * (got[i] - want[i]);
        sums[1] += want[i] * want[i];
    }
}

/* h against f64 on x, y against f64 on the h that was made; slots of other classes must be untouched. */
static void check_moe(const lb_kernel *k, layer *l, const routing *r, const float *x, int tokens, int only,
                      const float *h, const float *y) {
    double sums[2][2] = { { 0 } };
    double *gate = malloc((size_t)l->inner * 8), *up = malloc((size_t)l->inner * 8);
    double *out = malloc((size_t)l->hidden * 8);
    for (int e = 0; e < EXPERTS; e++) {
        bool taken = only < 0 || l->cls[e] == only;
        double *const w[3] = { l->values[0][e], l->values[1][e], l->values[2][e] };
        for (int s = 0; s < tokens * TOP; s++) {
            if (r->expert[s] != e) continue;
            const float *hs = h + s * l->inner, *ys = y + s * l->hidden;
            for (int64_t i = 0; !taken && i < l->inner; i++) assert_true(is_poison(hs + i));
            for (int64_t i = 0; !taken && i < l->hidden; i++) assert_true(is_poison(ys + i));
            if (!taken) continue;
            product(w[0], l->act[0][e], x + s / TOP * l->hidden, l->inner, l->hidden, gate);
            product(w[1], l->act[1][e], x + s / TOP * l->hidden, l->inner, l->hidden, up);
            add_bias(l, 0, e, l->inner, gate);
            add_bias(l, 1, e, l->inner, up);
            for (int64_t i = 0; i < l->inner; i++) gate[i] = gated(l, gate[i], up[i]);
            compare_row(k, "h", hs, gate, l->inner, sums[0]);
            product(w[2], l->act[2][e], hs, l->hidden, l->inner, out);
            add_bias(l, 2, e, l->hidden, out);
            compare_row(k, "y", ys, out, l->hidden, sums[1]);
        }
    }
    for (int i = 0; i < 2; i++)
        if (!(sums[i][0] <= k->tolerance * sums[i][1]))
            fail_msg("%s H=%d I=%d T=%d class %d: %s NMSE %g, allowed %g", k->name, (int)l->hidden, (int)l->inner,
                     tokens, only, i ? "y" : "h", sums[i][0] / sums[i][1], k->tolerance);
    free(gate), free(up), free(out);
}

/* One batch with its checks, by 1 and by 3 parts, then each token alone: the same bits. */
static void moe_batch(const lb_kernel *k, layer *l, int tokens, int only) {
    int32_t choice[TOKENS * TOP];
    for (int t = 0; t < tokens; t++) {
        choice[TOP * t] = t % 2 ? 2 + (int32_t)(next_u32() % 4) : 0;
        choice[TOP * t + 1] = 2 + (choice[TOP * t] + 1 + (int32_t)(next_u32() % 3)) % 4;
    }
    routing r;
    route(&r, choice, tokens);
    lb_tensor *xt = floats(tokens, l->hidden);
    float *x = lb_tensor_data(xt);
    int64_t hn = tokens * TOP * l->inner, yn = tokens * TOP * l->hidden;
    float *h = poisoned(hn), *y = poisoned(yn), *h3 = poisoned(hn), *y3 = poisoned(yn);
    run_moe(k, l, &r, x, tokens, only, 1, h, y);
    run_moe(k, l, &r, x, tokens, only, 3, h3, y3);
    check_moe(k, l, &r, x, tokens, only, h, y);
    assert_memory_equal(h, h3, (size_t)(hn + CANARY) * 4);
    assert_memory_equal(y, y3, (size_t)(yn + CANARY) * 4);
    for (int i = 0; i < CANARY; i++) assert_true(is_poison(h + hn + i) && is_poison(y + yn + i));
    if (only < 0 && tokens > 1) { /* a token with NaN has no numbers, and no other notices */
        for (int64_t i = 3; i < l->hidden; i += 16) x[l->hidden + i] = NAN;
        run_moe(k, l, &r, x, tokens, only, 1, h3, y3);
        for (int64_t i = 0; i < hn; i++)
            assert_true(i / l->inner / TOP == 1 ? isnan(h3[i]) : !memcmp(h + i, h3 + i, 4));
        for (int64_t i = 0; i < yn; i++)
            assert_true(i / l->hidden / TOP == 1 ? isnan(y3[i]) : !memcmp(y + i, y3 + i, 4));
    }
    for (int t = 0; t < tokens; t += TEST_TOKEN_STEP) {
        float *h1 = poisoned(TOP * l->inner), *y1 = poisoned(TOP * l->hidden);
        route(&r, choice + TOP * t, 1);
        run_moe(k, l, &r, x + t * l->hidden, 1, only, 2, h1, y1);
        assert_memory_equal(h1, h + TOP * t * l->inner, (size_t)(TOP * l->inner) * 4);
        assert_memory_equal(y1, y + TOP * t * l->hidden, (size_t)(TOP * l->hidden) * 4);
        free(h1), free(y1);
    }
    free(h), free(y), free(h3), free(y3);
    lb_tensor_release(xt);
}

static void moe_layer(const lb_kernel *k, const char *const *formats, int count, int64_t hidden, int64_t inner) {
    static const int batches[] = TEST_BATCHES;
    enum { COUNT = sizeof batches / sizeof *batches };
    layer l;
    layer_new(&l, k, formats, count, hidden, inner);
    for (int i = 0; i < COUNT; i++) {
        moe_batch(k, &l, batches[i], -1);
        moe_batch(k, &l, batches[i], 2);
    }
    layer_bias(&l);
    for (int i = 0; i < COUNT - 1; i++) moe_batch(k, &l, batches[i], -1);
    layer_free(&l);
}

/* Can the kernel mix experts of this format with others? */
static bool takes(const lb_kernel *k, const lb_quantizer *q, int64_t size) {
    if (k->panel_weights && !lb_kernel_panel_for(device, q)) return false;
    if (!k->supports) return true;
    lb_tensor *w = tensor_of(LB_QUANT, q, size, size); /* its contents are nobody's */
    float row[256] = { 0 };
    int32_t slot = 0;
    const char *why = "";
    borrowed bx, bh, br;
    lb_args a = { 0 };
    a.t[LB_FFN_X] = borrow(&bx, row, 2, 1, size);
    a.t[LB_FFN_H] = borrow(&bh, row, 2, 1, size);
    a.t[LB_FFN_ROWS] = borrow(&br, &slot, 1, 1, 0);
    for (int p = 0; p < 3; p++) a.t[LB_FFN_GATE + p] = (lb_operand){ &w, 1 };
    bool yes = k->supports(&a, &why);
    lb_tensor_release(w);
    return yes;
}

/* One layer with all formats that the kernel can take at K = 256 n mixed, one with those of any group of 32. */
static void moe_kernel(const lb_kernel *k) {
    const char *all[64], *small[64];
    int alls = 0, smalls = 0;
    for (int f = 0; lb_quantizer_families[f]; f++)
        for (const char *const *m = lb_quantizer_families[f]->members; m && *m && alls < 64; m++) {
            const lb_quantizer *q;
            if (lb_quantizer_find(*m, &q)) fail_msg("%s", lb_error());
            if (!format_wanted(*m) || 256 % q->k_multiple || !takes(k, q, 256)) continue;
            all[alls++] = *m;
            if (32 % q->k_multiple == 0 && takes(k, q, 96)) small[smalls++] = *m;
        }
    assert_true(alls > 0 || getenv("LUABENCH_TEST_FORMAT"));
    for (int at = 0; at < alls; at += 5) moe_layer(k, all + at, alls - at < 5 ? alls - at : 5, 512, 256);
    if (smalls) moe_layer(k, small, smalls, 96, 352);
}

static void test_moe_ffn_kernels(void **unused) {
    (void)unused;
    int tested = 0;
    for (int i = 0; i < lb_kernel_count(); i++)
        if (runs_here(lb_kernel_at(i), "moe_ffn") && ++tested) moe_kernel(lb_kernel_at(i));
    if (!tested && !getenv("LUABENCH_TEST_KERNEL")) NOTHING_TESTED;
}

#ifdef TEST_OTHER_ISA
/* The same over the panels that a machine with less has: those above took the best of this one. */
static void moe_ffn_panels_of(const char *level, uint32_t more, const char *kernel) {
    const lb_kernel *k;
    lb_device *best = device;
    if (getenv("LUABENCH_ISA") || !(lb_device_caps_of(device)->isa & more)) skip(); /* tested above, or not here */
    if (lb_kernel_find(kernel, &k)) fail_msg("%s", lb_error());
    if (!runs_here(k, "moe_ffn")) return;
    setenv("LUABENCH_ISA", level, 1);
    lb_status s = lb_device_open("cpu", 1, &device);
    unsetenv("LUABENCH_ISA");
    if (s) fail_msg("%s", lb_error());
    moe_kernel(k);
    lb_device_release(device);
    device = best;
}
static void test_moe_ffn_panels_avx2(void **unused) {
    (void)unused;
    moe_ffn_panels_of("avx2", LB_ISA_AVX512, "moe_ffn.panels.avx2");
}
static void test_moe_ffn_panels_avx512(void **unused) {
    (void)unused;
    moe_ffn_panels_of("avx512", LB_ISA_AMX_INT8, "moe_ffn.panels.avx512");
}
#endif
