/* cuda_source.c: kernels of CUDA C++ that a script brings. */
#include "cuda_source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_cuda.h"
#include "registry.h"

/* ---- sizes ---- */

static double dim(const lb_tensor *t, int index) {
    if (!t) return 0;
    if (index < 0) index += t->rank;
    return index >= 0 && index < t->rank ? (double)t->dims[index] : 0;
}

static double size_of(const lb_term *w, const lb_args *a) {
    const lb_tensor *t = w->kind == LB_TERM_PARAM || w->kind == LB_TERM_NUMBER ? NULL : lb_arg(a, w->slot);
    switch (w->kind) {
    case LB_TERM_NUMBER: return w->number;
    case LB_TERM_PARAM: return a->p[w->slot];
    case LB_TERM_DIM: return dim(t, w->index);
    case LB_TERM_STRIDE: return t && w->index < t->rank ? (double)t->strides[w->index] : 0;
    case LB_TERM_NUMEL: return t ? (double)lb_tensor_numel(t) : 0;
    case LB_TERM_ROWS: return t && dim(t, -1) > 0 ? (double)lb_tensor_numel(t) / dim(t, -1) : 0;
    case LB_TERM_RANK: return t ? t->rank : 0;
    default: return a->t[w->slot].count;
    }
}

static double apply(lb_term_kind kind, double x, double y) {
    int64_t i = (int64_t)x, k = (int64_t)y;
    switch (kind) {
    case LB_TERM_ADD: return x + y;
    case LB_TERM_SUB: return x - y;
    case LB_TERM_MUL: return x * y;
    case LB_TERM_DIV: return k ? (double)(i / k) : 0;
    case LB_TERM_MOD: return k ? (double)(i % k) : 0;
    case LB_TERM_MIN: return x < y ? x : y;
    case LB_TERM_MAX: return x > y ? x : y;
    case LB_TERM_EQ: return x == y;
    case LB_TERM_NE: return x != y;
    case LB_TERM_LT: return x < y;
    case LB_TERM_LE: return x <= y;
    case LB_TERM_GT: return x > y;
    case LB_TERM_GE: return x >= y;
    case LB_TERM_AND: return x != 0 && y != 0;
    default: return x != 0 || y != 0;
    }
}

double lb_terms_value(const lb_terms *t, const lb_args *a) {
    double stack[LB_SOURCE_TERMS];
    int n = 0;
    for (int i = 0; i < t->count; i++) {
        if (t->at[i].kind < LB_TERM_ADD) stack[n++] = size_of(&t->at[i], a);
        else if (n >= 2) n--, stack[n - 1] = apply(t->at[i].kind, stack[n - 1], stack[n]);
    }
    return n ? stack[n - 1] : 0;
}

static double value_or(const lb_terms *t, const lb_args *a, double otherwise) {
    return t->count ? lb_terms_value(t, a) : otherwise;
}

/* ---- kernels: launch() and supports() are not told whose they are, so each has functions of its own ---- */

typedef struct made {
    lb_cuda_source s;
    const lb_cuda_api *api;
    lb_device *device;           /* retained: the code is loaded there */
    lb_cuda_module *module;
    void *function;
    const lb_kernel *list[2];
} made;

static made *table[LB_SOURCE_KERNELS];
static int table_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static _Thread_local lb_status launch_status;
static _Thread_local char launch_error[700];

lb_status lb_cuda_source_launched(void) {
    lb_status s = launch_status;
    launch_status = LB_OK;
    return s ? lb_fail(s, "%s", launch_error) : LB_OK;
}

typedef union value { int32_t i32; int64_t i64; float f32; double f64; void *address; } value;

static value value_of(const lb_source_arg *w, const lb_args *a, const lb_launch *l) {
    value v = { .i64 = 0 };
    const lb_operand *o = &a->t[w->slot];
    double x = w->kind >= LB_SOURCE_I32 ? lb_terms_value(&w->value, a) : 0;
    switch (w->kind) {
    case LB_SOURCE_DATA: v.address = o->count ? lb_tensor_data(o->items[o->count > 1 ? l->pick : 0]) : NULL; break;
    case LB_SOURCE_WORKSPACE: v.address = l->workspace; break;
    case LB_SOURCE_I32: v.i32 = (int32_t)x; break;
    case LB_SOURCE_I64: v.i64 = (int64_t)x; break;
    case LB_SOURCE_F32: v.f32 = (float)x; break;
    case LB_SOURCE_F64: v.f64 = x; break;
    }
    return v;
}

static void launch_at(int i, const lb_args *a, const lb_launch *l) {
    const made *m = table[i];
    unsigned grid[3], block[3];
    value values[LB_SOURCE_ARGS];
    void *args[LB_SOURCE_ARGS];
    for (int k = 0; k < 3; k++) {
        double g = value_or(&m->s.grid[k], a, 1), b = value_or(&m->s.block[k], a, 1);
        if (!(g > 0 && b > 0)) return;                   /* nothing to do: an empty tensor */
        grid[k] = g < 4294967295.0 ? (unsigned)g : 4294967295u;
        block[k] = b < 4294967295.0 ? (unsigned)b : 4294967295u;
    }
    for (int k = 0; k < m->s.arg_count; k++) {
        values[k] = value_of(&m->s.args[k], a, l);
        args[k] = &values[k];
    }
    lb_status s = m->api->launch(m->function, l->stream, grid, block, (size_t)value_or(&m->s.shared, a, 0), args);
    if (!s || launch_status) return;
    launch_status = s;
    snprintf(launch_error, sizeof launch_error, "%s", lb_error());
}

static _Thread_local char why_text[160];

static bool operand_fits(const made *m, const lb_args *a, const lb_source_arg *w, const char **why) {
    const lb_operand *o = &a->t[w->slot];
    for (int32_t i = 0; i < o->count; i++) {
        const lb_tensor *t = o->items[i];
        const char *name = a->op->operands[w->slot].name;
        if (strcmp(lb_device_name(t->buffer->device), lb_device_name(m->device)) != 0)
            return snprintf(why_text, sizeof why_text, "was compiled for %s, and %s is on %s",
                            lb_device_name(m->device), name, lb_device_name(t->buffer->device)),
                   *why = why_text, false;
        if (t->dtype != LB_QUANT && !lb_tensor_is_dense(t))
            return snprintf(why_text, sizeof why_text, "%s is not dense, and the function takes a plain pointer", name),
                   *why = why_text, false;
        if (w->dtype != LB_QUANT && t->dtype != w->dtype && !(w->dtype == LB_U8 && t->dtype == LB_QUANT))
            return snprintf(why_text, sizeof why_text, "%s is %s, and the function's pointer is to %s", name,
                            lb_dtype_name(t->dtype), lb_dtype_name(w->dtype)), *why = why_text, false;
    }
    return true;
}

static bool supports_at(int i, const lb_args *a, const char **why) {
    const made *m = table[i];
    for (int k = 0; k < m->s.arg_count; k++)
        if (m->s.args[k].kind == LB_SOURCE_DATA && !operand_fits(m, a, &m->s.args[k], why)) return false;
    if (value_or(&m->s.needs, a, 1) == 0) return *why = "its `needs` does not hold for these sizes", false;
    return true;
}

static size_t workspace_at(int i, const lb_args *a) {
    double bytes = value_or(&table[i]->s.workspace, a, 0);
    return bytes > 0 ? (size_t)bytes : 0;
}

#define ONE(n)                                                                                          \
    static void launch_##n(const lb_args *a, const lb_launch *l) { launch_at(0x##n, a, l); }            \
    static bool supports_##n(const lb_args *a, const char **why) { return supports_at(0x##n, a, why); } \
    static size_t workspace_##n(const lb_args *a, int parts) { return (void)parts, workspace_at(0x##n, a); }
#define EACH16(one, n) one(n##0) one(n##1) one(n##2) one(n##3) one(n##4) one(n##5) one(n##6) one(n##7) \
                       one(n##8) one(n##9) one(n##a) one(n##b) one(n##c) one(n##d) one(n##e) one(n##f)
#define EACH256(one) EACH16(one, 0) EACH16(one, 1) EACH16(one, 2) EACH16(one, 3) EACH16(one, 4) EACH16(one, 5) \
                     EACH16(one, 6) EACH16(one, 7) EACH16(one, 8) EACH16(one, 9) EACH16(one, a) EACH16(one, b) \
                     EACH16(one, c) EACH16(one, d) EACH16(one, e) EACH16(one, f)
EACH256(ONE)
#define LAUNCH(n) launch_##n,
#define SUPPORTS(n) supports_##n,
#define WORKSPACE(n) workspace_##n,
static void (*const launches[LB_SOURCE_KERNELS])(const lb_args *, const lb_launch *) = { EACH256(LAUNCH) };
static bool (*const supports[LB_SOURCE_KERNELS])(const lb_args *, const char **) = { EACH256(SUPPORTS) };
static size_t (*const workspaces[LB_SOURCE_KERNELS])(const lb_args *, int) = { EACH256(WORKSPACE) };

/* ---- making ---- */

static void drop(made *m) {
    if (!m) return;
    lb_kernel *k = &m->s.kernel;
    if (m->module) m->api->module_free(m->module);
    const char *strings[] = { k->name, k->op, k->about, k->source, k->format, k->tolerance_why };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) free((void *)(uintptr_t)strings[i]);
    lb_device_release(m->device);
    free(m);
}

static bool copy(const char **s) { return !*s || (*s = strdup(*s)) != NULL; }

/* The strings of `k` are the caller's until all are copied. */
static bool copy_strings(lb_kernel *k) {
    const char **strings[] = { &k->name, &k->op, &k->about, &k->source, &k->format, &k->tolerance_why };
    size_t n = sizeof strings / sizeof *strings;
    for (size_t i = 0; i < n; i++)
        if (!copy(strings[i])) {
            for (size_t j = i; j < n; j++) *strings[j] = NULL;
            return false;
        }
    return true;
}

static lb_status compile(made *m, char **log) {
    int registers = 0;
    int64_t local = 0;
    char about[600];
    lb_cuda_state *state = lb_cuda_of(m->device);
    const lb_cuda_source *s = &m->s;
    m->api = state->api;
    lb_status st = m->api->current(state->dev);
    if (!st) st = m->api->compile(state->dev, s->kernel.name, s->text, s->options, s->option_count, &m->module, log);
    if (!st) st = m->api->function(m->module, s->entry, &m->function, &registers, &local);
    if (st) return st;
    snprintf(about, sizeof about, "%s (%d registers a thread, %lld bytes of local memory)", s->kernel.about, registers,
             (long long)local);
    char *text = strdup(about);
    if (!text) return lb_fail(LB_ENOMEM, "kernel '%s': no memory", s->kernel.name);
    free((void *)(uintptr_t)m->s.kernel.about);
    m->s.kernel.about = text;
    return LB_OK;
}

lb_status lb_cuda_source_make(lb_device *d, const lb_cuda_source *source, const lb_kernel **out, char **log) {
    const char *name = lb_device_name(d);
    *out = NULL;
    if (strncmp(name, "cuda", 4) != 0)
        return lb_fail(LB_EINVAL, "kernel '%s': CUDA source is for a device cuda:N, not for %s", source->kernel.name,
                       name);
    made *m = calloc(1, sizeof *m);
    if (!m) return lb_fail(LB_ENOMEM, "kernel '%s': no memory", source->kernel.name);
    m->s = *source;
    m->device = lb_device_retain(d);
    lb_status st =
        copy_strings(&m->s.kernel) ? LB_OK : lb_fail(LB_ENOMEM, "kernel '%s': no memory", source->kernel.name);
    if (!st) st = compile(m, log);
    m->s.text = m->s.entry = NULL;
    m->s.options = NULL;
    pthread_mutex_lock(&lock);
    if (!st && table_count == LB_SOURCE_KERNELS)
        st = lb_fail(LB_EINVAL, "kernel '%s': more than %d kernels of CUDA source in one process", source->kernel.name,
                     LB_SOURCE_KERNELS);
    if (!st) {
        lb_kernel *k = &m->s.kernel;
        k->device = "cuda";
        k->isa = LB_ISA_SM80;
        k->launch = launches[table_count];
        k->supports = supports[table_count];
        k->workspace_bytes = workspaces[table_count];
        table[table_count] = m;
        m->list[0] = k;
        st = lb_kernel_replace(m->list, "lb.kernel.compile");
        if (st) table[table_count] = NULL;
        else table_count++, *out = k;
    }
    pthread_mutex_unlock(&lock);
    if (st) drop(m);
    return st;
}
