/* test_ops.c: every registered kernel of the operations in op_cases.h, on every case, split over 1 to 16 parts, against
 * the operation's f64 oracle: outputs poisoned, what must stay compared bit for bit, canaries around every tensor. */
#include "op_cases.h"

#include "engine/check.h"
#include "engine/plan.h"
#include "engine/poison.h"
#include "engine/tensor_convert.h"

#ifndef TEST_LAUNCH /* tests/gpu/ has another */
#define TEST_LAUNCH(k, a, l) (k)->launch(a, l)
#endif
#ifdef TEST_THINNED
enum { PLANTED_CASES = 3 }; /* of each operation */
#else
enum { PLANTED_CASES = 9 };
#endif
#ifndef TEST_FITS_NONE /* a GPU may lack the library that a kernel needs */
#define TEST_FITS_NONE(k, why) fail_msg("%s fits no case of %s: %s", (k)->name, (k)->op, why ? why : "?")
#endif

static const lb_op *find(const char *name) {
    const lb_op *op = NULL;
    if (lb_op_find(name, &op)) fail_msg("%s", lb_error());
    return op;
}

static void release(lb_args *a) {
    for (int s = 0; s < LB_MAX_OPERANDS; s++) {
        for (int32_t i = 0; i < a->t[s].count; i++) lb_tensor_release(a->t[s].items[i]);
        free(a->t[s].items);
    }
}

static bool writes(lb_role r) { return r == LB_WRITE || r == LB_PARTIAL || r == LB_UPDATE; }

/* The defaults of the parameters, the case's operands, outputs that it left out; checked as recording does. */
static bool build(const op_case *c, int i, lb_args *a) {
    memset(a, 0, sizeof *a);
    state_ = 0x2545f4914f6cdd1du + (uint64_t)i * 2; /* contents that no other case has a say in */
    for (const char *p = c->op; *p; p++) state_ = (state_ ^ (uint64_t)*p) * 0x100000001b3u;
    for (int n = 0; n < 8; n++) next_u32();
    a->op = find(c->op);
    for (int p = 0; a->op->params && a->op->params[p].name; p++) a->p[p] = a->op->params[p].value;
    if (!c->make(i, a)) return false;
    for (int s = 0; a->op->operands[s].name; s++) {
        if (a->t[s].count || !writes(a->op->operands[s].role) || (a->op->operands[s].role == LB_UPDATE)) continue;
        lb_dtype dtype;
        int rank;
        int64_t dims[LB_MAX_RANK];
        if (a->op->infer(a, s, &dtype, &rank, dims)) fail_msg("%s case %d: %s", c->op, i, lb_error());
        set(a, a->op->operands[s].name, guarded(dtype, rank, dims));
    }
    if (a->op->check(a)) fail_msg("%s case %d: %s", c->op, i, lb_error());
    return true;
}

/* ---- one launch ---- */

static void launch(const lb_kernel *k, const lb_args *a, int parts) {
    if (k->serial) parts = 1;
    size_t bytes = k->workspace_bytes ? k->workspace_bytes(a, parts) : 0;
    char *workspace = bytes ? aligned_alloc(64, (bytes + 127) / 64 * 64) : NULL;
    if (bytes) {
        assert_non_null(workspace);
        memset(workspace, 0xff, bytes);
        memset(workspace + bytes, CANARY, (bytes + 127) / 64 * 64 - bytes);
    }
    for (int phase = 0, phases = k->phases ? k->phases(a) : 1; phase < phases; phase++) {
        atomic_llong ticket = 0;
        for (int part = parts - 1; part >= 0; part--) { /* the last first: none may lean on another of its phase */
            lb_launch l = { .phase = phase, .part = part, .parts = parts, .workspace = workspace, .ticket = &ticket };
            TEST_LAUNCH(k, a, &l);
        }
    }
    for (size_t i = bytes; bytes && i < (bytes + 127) / 64 * 64; i++)
        if ((unsigned char)workspace[i] != CANARY) fail_msg("%s writes past its workspace", k->name);
    free(workspace);
}

static void assert_canaries(const char *what, const lb_tensor *t) {
    const unsigned char *p = t->buffer->data, *end = p + t->buffer->size_bytes;
    if (t->dtype == LB_QUANT) return;
    for (int i = 0; i < GUARD; i++)
        if (p[i] != p[0] || end[-1 - i] != end[-1]) fail_msg("%s writes outside of a tensor", what);
}

/* Where f64 gives NaN so must the kernel; where it gives Inf, anything that is not finite; the rest by the
 * tolerance. `loud`: of what is not finite only that the kernel's is not either. */
static bool loud;
static void assert_expected(const char *what, const lb_tensor *t, const lb_expected *e, const lb_kernel *k) {
    /* Subnormals are compared absolutely: a step of f32 is 1.4e-45, and vdpbf16ps takes those of x for 0, which is
     * less than 1e-37 in all of a result. */
    double tolerance = k->tolerance, least = k->compute == LB_COMPUTE_BF16 ? fmax(1e-70, 1e-74 / tolerance) : 1e-70;
    int64_t index[LB_MAX_RANK] = { 0 };
    double error = 0, sum = 0;
    for (int64_t i = 0, n = lb_tensor_numel(t); i < n; i++) {
        int64_t rest = i;
        for (int d = t->rank - 1; d >= 0; d--) index[d] = rest % t->dims[d], rest /= t->dims[d];
        if (e->mask && !e->mask[i]) continue;
        double got = lb_tensor_at(t, index), want = e->values[i];
        if (isnan(want) && !loud ? !isnan(got) : !isfinite(want) ? isfinite(got) && fabs(got) < 3e38 : !isfinite(got))
            fail_msg("%s: %s element %lld is %g, expected %g", what, e->what, (long long)i, got, want);
        if (!isfinite(want)) continue;
        error += (got - want) * (got - want);
        sum += want * want;
        if (e->exact && got != want)
            fail_msg("%s: %s element %lld is %g, expected exactly %g", what, e->what, (long long)i, got, want);
    }
    if (sum < least) sum = least;
    if (!(error <= tolerance * sum))
        fail_msg("%s: NMSE of %s is %g, tolerance %g", what, e->what, error / sum, tolerance);
}

static void assert_untouched(const char *what, const lb_tensor *t, const lb_tensor *before, const uint8_t *mask) {
    lb_tensor_walk now, then;
    lb_tensor_walk_init(&now, t);
    lb_tensor_walk_init(&then, before);
    for (int64_t i = 0, n = lb_tensor_numel(t); mask && i < n; i++) {
        if (!mask[i] && memcmp(now.at, then.at, now.element_bytes))
            fail_msg("%s changes element %lld", what, (long long)i);
        lb_tensor_walk_next(&now);
        lb_tensor_walk_next(&then);
    }
}

/* All bytes of a tensor's buffer, what no view shows included. */
static void *bytes_of(const lb_tensor *t) {
    void *p = malloc(t->buffer->size_bytes + 1);
    assert_non_null(p);
    return memcpy(p, t->buffer->data, t->buffer->size_bytes);
}

/* A case's operands before any launch: what is updated, and what kernels must make of it. Oracles know of a kernel only
 * how it sees activations, so that kernels of all processors, with any number of parts, share what f64 says before the
 * first launch: of products and searches, which take long. Others may go on from what the kernel made of an operand. */
typedef struct truth {
    lb_act act;                              /* of the kernels that it is for, as the two that follow */
    bool panel_weights, serial;
    int count;
    lb_expected expected[LB_MAX_EXPECTED];
} truth;
typedef struct given {
    const lb_args *args;                     /* with weights in their native layout */
    lb_tensor *before[LB_MAX_OPERANDS];      /* copies of LB_UPDATE operands */
    void *bytes[LB_MAX_OPERANDS];            /* of these, to restore them; of LB_READ ones, which nobody may change */
    bool shared;
    truth *truths;
    int count;
} given;

static void given_init(given *g, const lb_args *a) {
    static const char *const shared[] = { "attention", "gemm", "gemm_stored", "head_gemm", "linear", "quantize" };
    *g = (given){ .args = a };
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) g->shared |= !strcmp(a->op->name, shared[i]);
    for (int s = 0; a->op->operands[s].name; s++) {
        lb_role role = a->op->operands[s].role;
        if (a->t[s].count != 1 || (role != LB_UPDATE && role != LB_READ) || lb_arg(a, s)->dtype == LB_QUANT) continue;
        g->bytes[s] = bytes_of(lb_arg(a, s));
        if (role == LB_UPDATE && lb_tensor_clone(lb_arg(a, s), &g->before[s])) fail_msg("%s", lb_error());
    }
}

static void forget(given *g) {
    for (int i = 0; i < g->count; i++)
        for (int j = 0; j < g->truths[i].count; j++)
            free(g->truths[i].expected[j].values), free(g->truths[i].expected[j].mask);
    g->count = 0;
}

static const truth *truth_of(given *g, const lb_kernel *k, const char *what) {
    lb_kernel as = *k;
#ifdef TEST_EMULATED /* the panels that the engine finds are the CPU's; these kernels round x as they say themselves */
    as.panel_weights = false;
#endif
    for (int i = 0; i < g->count; i++) {
        const truth *t = &g->truths[i];
        if (t->act == as.act && t->panel_weights == as.panel_weights && t->serial == as.serial) return t;
    }
    g->truths = realloc(g->truths, (size_t)(g->count + 1) * sizeof *g->truths);
    assert_non_null(g->truths);
    truth *t = &g->truths[g->count++];
    *t = (truth){ .act = as.act, .panel_weights = as.panel_weights, .serial = as.serial };
    lb_oracle_in in = { .args = g->args, .kernel = &as };
    for (int s = 0; s < LB_MAX_OPERANDS; s++) in.before[s] = g->before[s];
    if (g->args->op->oracle(&in, t->expected, &t->count)) fail_msg("%s: %s", what, lb_error());
    return t;
}

static void given_done(given *g) {
    forget(g);
    free(g->truths);
    for (int s = 0; s < LB_MAX_OPERANDS; s++) {
        lb_tensor_release(g->before[s]);
        free(g->bytes[s]);
    }
}

static void compare(const lb_kernel *k, const lb_args *a, given *g, const char *what) {
    const truth *want = truth_of(g, k, what);
    for (int i = 0; i < want->count; i++) {
        const lb_expected *e = &want->expected[i];
        lb_tensor *t = lb_arg(a, e->slot);
        assert_expected(what, t, e, k);
        if (g->before[e->slot]) assert_untouched(what, t, g->before[e->slot], e->mask);
    }
    for (int s = 0; a->op->operands[s].name; s++) {
        if (a->t[s].count && writes(a->op->operands[s].role)) assert_canaries(what, lb_arg(a, s));
        const lb_buffer *b = g->bytes[s] && !g->before[s] ? lb_arg(a, s)->buffer : NULL;
        if (b && memcmp(b->data, g->bytes[s], b->size_bytes))
            fail_msg("%s writes to %s, which it only reads", what, a->op->operands[s].name);
    }
}

/* The arguments as the kernel reads them: weights in the layouts of the panels that it builds on. */
static lb_args as_read(const lb_args *a, const lb_kernel *k) {
    lb_args as = *a;
    for (int s = 0; a->op->operands[s].name && k->panel_weights; s++) {
        if (a->op->operands[s].role != LB_WEIGHT || !a->t[s].count) continue;
        as.t[s].items = malloc((size_t)a->t[s].count * sizeof *as.t[s].items);
        assert_non_null(as.t[s].items);
        for (int32_t i = 0; i < a->t[s].count; i++) {
            lb_tensor *w = a->t[s].items[i];
            const lb_kernel *p = lb_kernel_panel_for(device, w->quantizer);
            as.t[s].items[i] = w;
            if (p && lb_tensor_in_layout(w, p, &as.t[s].items[i], NULL)) fail_msg("%s", lb_error());
        }
    }
    return as;
}
static void as_read_done(lb_args *as, const lb_args *a) {
    for (int s = 0; s < LB_MAX_OPERANDS; s++)
        if (as->t[s].items != a->t[s].items) free(as->t[s].items);
}

/* Before each launch: outputs poisoned, updated operands as they were. */
static void try_kernel(const lb_kernel *k, const lb_args *a, given *g, int i, int parts) {
    char what[160];
    snprintf(what, sizeof what, "%s, case %d of %s, %d parts", k->name, i, a->op->name, parts);
    for (int s = 0; a->op->operands[s].name; s++)
        if (a->t[s].count && writes(a->op->operands[s].role) && !g->before[s]) lb_poison(lb_arg(a, s));
    if (g->shared) truth_of(g, k, what);
    launch(k, a, parts);
    compare(k, a, g, what);
    if (!g->shared) forget(g);
    for (int s = 0; s < LB_MAX_OPERANDS; s++)
        if (g->before[s]) memcpy(lb_arg(a, s)->buffer->data, g->bytes[s], lb_arg(a, s)->buffer->size_bytes);
}

static const char *refused;          /* why a kernel did not fit the last case that one did not */

static int run_case(const op_case *c, int i, bool *seen) {
    static const int splits[] = { 1, 2, 3, 7, 16 };
    lb_args a;
    int tried = 0;
    if (!build(c, i, &a)) return -1;
    given g;
    given_init(&g, &a);
    for (int n = 0; n < lb_kernel_count(); n++) {
        const lb_kernel *k = lb_kernel_at(n);
        if (strcmp(k->op, c->op) || !lb_kernel_fits(k, device, &a, &refused)) continue;
        lb_args as = as_read(&a, k);
        try_kernel(k, &as, &g, i, splits[(i + n) % 5]);
        if (!k->serial) try_kernel(k, &as, &g, i, splits[(i + n + 1 + i / 5) % 5]);
        as_read_done(&as, &a);
        seen[n] = true;
        tried++;
    }
#ifdef TEST_EMULATED
    if (!tried) emulated_none(c->op);
#else
    if (!tried) fail_msg("%s case %d: no kernel takes it", c->op, i);
#endif
    given_done(&g);
    release(&a);
    return tried;
}

/* Every kernel that this machine runs must fit at least one of its operation's cases. */
static void test_all(void **unused) {
    (void)unused;
    bool *seen = calloc((size_t)lb_kernel_count(), sizeof *seen);
    assert_non_null(seen);
    const char *only = getenv("LUABENCH_TEST_OP");
    for (int c = 0; c < OP_CASES; c++) {
        if (only && strcmp(only, op_cases[c].op)) continue;
        int cases = 0;
        while (run_case(&op_cases[c], cases, seen) >= 0) cases++;
        for (int n = 0; n < lb_kernel_count(); n++) {
            const lb_kernel *k = lb_kernel_at(n);
            bool here = (lb_device_caps_of(device)->isa & k->isa) == k->isa && !strcmp(k->device, "cpu");
            bool f64 = k->format && !strcmp(k->format, "f64"), library = strstr(k->name, "openblas");
            if (!strcmp(k->op, "gemm") && !f64) continue; /* of formats: test_matrix_kernels.c asks it */
            if (library && getenv("LUABENCH_ISA")) continue; /* a library cannot be limited */
            if (here && !strcmp(k->op, op_cases[c].op) && !seen[n]) TEST_FITS_NONE(k, refused);
        }
    }
    free(seen);
}

/* ---- what is no ordinary number, in every operand ---- */

static bool takes_floats(const lb_tensor *t) {
    lb_dtype d = t->dtype;
    return d == LB_F32 || d == LB_F64 || d == LB_F16 || d == LB_BF16 || d == LB_F8E4M3;
}

/* Every kernel that fits, and how many did. */
static int try_all(const lb_args *a, int i) {
    static const int splits[] = { 1, 2, 3, 7, 16 };
    int tried = 0;
    given g;
    given_init(&g, a);
    lb_oracle_cache_clear(); /* it knows tensors, not what was planted in them */
    for (int n = 0; n < lb_kernel_count(); n++) {
        const lb_kernel *k = lb_kernel_at(n);
        if (strcmp(k->op, a->op->name) || !lb_kernel_fits(k, device, a, NULL)) continue;
        lb_args as = as_read(a, k);
        try_kernel(k, &as, &g, i, splits[(i + n) % 5]);
        as_read_done(&as, a);
        tried++;
    }
    given_done(&g);
    return tried;
}

/* Element `at` of t becomes v; what it was, to `kept`. */
static void plant(lb_tensor *t, int64_t at, float v, char kept[8]) {
    lb_tensor_walk w;
    lb_tensor_walk_init(&w, t);
    for (int64_t i = 0; i < at; i++) lb_tensor_walk_next(&w);
    memcpy(kept, w.at, w.element_bytes);
    lb_convert_store_f32(t->dtype, &v, 1, (char *)(uintptr_t)w.at);
}
static void unplant(lb_tensor *t, int64_t at, const char *kept) {
    lb_tensor_walk w;
    lb_tensor_walk_init(&w, t);
    for (int64_t i = 0; i < at; i++) lb_tensor_walk_next(&w);
    memcpy((char *)(uintptr_t)w.at, kept, w.element_bytes);
}

/* Positions of a cache that a row does not see are masked or never met, as a kernel likes: op_cases_cache.h plants in
 * caches what all rows see. */
static bool seen_by_all(const lb_op *op, int slot) {
    const char *name = op->operands[slot].name;
    return strcmp(op->name, "attention") || !strcmp(name, "q") || !strcmp(name, "sinks");
}

static lb_tensor *plantable(const lb_args *a, int slot) {
    lb_role role = a->op->operands[slot].role;
    if (role == LB_WRITE || role == LB_PARTIAL || !a->t[slot].count || !seen_by_all(a->op, slot)) return NULL;
    lb_tensor *t = a->t[slot].items[a->t[slot].count - 1];
    return takes_floats(t) && lb_tensor_numel(t) > 0 ? t : NULL;
}

/* NaN, Inf, -Inf and a subnormal in each float operand of case i. */
static void plant_in_case(const op_case *c, int i, int *planted) {
    static const float values[] = { NAN, INFINITY, -INFINITY, 1e-40f };
    lb_args a;
    if (!build(c, i, &a)) return;
    for (int s = 0; a.op->operands[s].name; s++) {
        lb_tensor *t = plantable(&a, s);
        if (!t) continue;
        int64_t n = lb_tensor_numel(t);
        for (int v = 0; v < 4; v++) {
            char kept[8];
            int64_t at = (n - 1) * ((i + v) % 4) / 3;
            loud = isinf(values[v]); /* what is NaN by the formula may be Inf in the limit */
            if (loud && !strcmp(c->op, "swiglu") && s == LB_SWIGLU_GATE) continue; /* 0 in the limit: both are found */
            plant(t, at, values[v], kept);
            planted[s] += try_all(&a, i);
            unplant(t, at, kept);
        }
    }
    loud = false;
    release(&a);
}

static void test_planted(void **unused) {
    (void)unused;
    const char *only = getenv("LUABENCH_TEST_OP");
    for (int c = 0; c < OP_CASES; c++) {
        if (only && strcmp(only, op_cases[c].op)) continue;
        int planted[LB_MAX_OPERANDS] = { 0 }, last[LB_MAX_OPERANDS] = { 0 }, count = 0;      /* last: case + 1 */
        lb_args a;
        for (; build(&op_cases[c], count, &a); count++) {
            bool met = false;
            for (int n = 0; n < lb_kernel_count() && !met; n++)
                met = !strcmp(lb_kernel_at(n)->op, a.op->name) && lb_kernel_fits(lb_kernel_at(n), device, &a, NULL);
            for (int s = 0; a.op->operands[s].name && met; s++)
                if (plantable(&a, s)) last[s] = count + 1;
            release(&a);
        }
        for (int i = 0; i < PLANTED_CASES; i++) plant_in_case(&op_cases[c], count * i / PLANTED_CASES, planted);
        for (int s = 0; s < LB_MAX_OPERANDS; s++) { /* what those cases left out */
            if (last[s] && !planted[s]) plant_in_case(&op_cases[c], last[s] - 1, planted);
            if (last[s] && !planted[s]) fail_msg("%s: nothing was planted in operand %d", op_cases[c].op, s);
        }
    }
}

/* ---- shapes ---- */

/* Operations whose operands cannot be empty, or not of one element, and why. */
static const struct { const char *op, *not_empty, *not_one; } least[] = {
    { "choose", "one candidate at least", NULL },
    { "quantize", NULL, "rows of a format's blocks" },
};

static void test_least_shapes(void **unused) {
    (void)unused;
    for (int c = 0; c < OP_CASES; c++) {
        bool empty = false, one = false;
        lb_args a;
        for (int i = 0; !(empty && one) && build(&op_cases[c], i, &a); i++) {
            for (int s = 0; a.op->operands[s].name; s++) {
                const lb_tensor *t = a.t[s].count ? a.t[s].items[0] : NULL;
                if (!t) continue;
                empty |= lb_tensor_numel(t) == 0;
                one |= t->rank > 0 && lb_tensor_numel(t) > 0 && t->dims[t->rank - 1] == 1;
            }
            release(&a);
        }
        for (size_t i = 0; i < sizeof least / sizeof *least; i++)
            if (!strcmp(least[i].op, op_cases[c].op)) empty |= !!least[i].not_empty, one |= !!least[i].not_one;
        if (!empty) fail_msg("%s: no case has an empty operand", op_cases[c].op);
        if (!one) fail_msg("%s: no case has rows of one element", op_cases[c].op);
    }
}

static void test_every_op_has_cases(void **unused) {
    (void)unused;
    for (int i = 0; lb_ops[i]; i++) {
        bool found = false;
        for (int c = 0; c < OP_CASES; c++) found |= !strcmp(op_cases[c].op, lb_ops[i]->name);
        for (size_t e = 0; e < sizeof elsewhere / sizeof *elsewhere; e++)
            found |= !strcmp(elsewhere[e], lb_ops[i]->name);
        if (!found) fail_msg("operation %s has no cases in tests/c/op_cases.h", lb_ops[i]->name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_has_cases),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_planted),
        cmocka_unit_test(test_least_shapes),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
