/* kernel.c: the registered kernels, and the choice among them. */
#include "kernel.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "registry.h"
#include "selection.h"

enum { LOADED_MAX = 1024, PANEL_SLOTS = 256 };

static _Atomic(const lb_kernel *) loaded[LOADED_MAX]; /* from plug-ins; published by loaded_count */
static bool own[LOADED_MAX];                          /* is it of this program's own parts? */
static atomic_int loaded_count, generation;           /* generation: counts every change of what is registered */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const char *lb_compute_name(lb_compute c) {
    static const char *const names[LB_COMPUTE_COUNT] = { "none", "f32", "f64", "bf16", "int8", "f16", "fp8", "tf32" };
    return (unsigned)c < LB_COMPUTE_COUNT ? names[c] : "unknown";
}

static int builtin_count(void) {
    static atomic_int count = -1;
    int n = atomic_load_explicit(&count, memory_order_relaxed);
    if (n >= 0) return n;
    for (n = 0; lb_kernels_builtin[n]; n++) {}
    atomic_store_explicit(&count, n, memory_order_relaxed);
    return n;
}

int lb_kernel_count(void) {
    return builtin_count() + atomic_load_explicit(&loaded_count, memory_order_acquire);
}

const lb_kernel *lb_kernel_at(int i) {
    int n = builtin_count();
    if (i < 0 || i >= lb_kernel_count()) return NULL;
    return i < n ? lb_kernels_builtin[i] : atomic_load_explicit(&loaded[i - n], memory_order_acquire);
}

bool lb_kernel_is_builtin(const lb_kernel *k) {
    for (int i = 0, n = builtin_count(); i < n; i++)
        if (lb_kernels_builtin[i] == k) return true;
    for (int i = 0, n = atomic_load(&loaded_count); i < n; i++)
        if (atomic_load(&loaded[i]) == k) return own[i];
    return false;
}

static const lb_kernel *lookup(const char *name) {
    for (int i = 0, n = lb_kernel_count(); i < n; i++)
        if (strcmp(lb_kernel_at(i)->name, name) == 0) return lb_kernel_at(i);
    return NULL;
}

lb_status lb_kernel_find(const char *name, const lb_kernel **out) {
    *out = NULL;
    if (!name) return lb_fail(LB_EINVAL, "kernel: expected a name such as 'gemm.f32.reference', got nothing");
    if ((*out = lookup(name))) return LB_OK;
    int n = lb_kernel_count();
    char hint[600] = "";
    const char **names = malloc(sizeof *names * (size_t)(n + 1));
    if (!names) return lb_fail(LB_ENOMEM, "kernel '%s': unknown, and no memory to look for a similar name", name);
    for (int i = 0; i < n; i++) names[i] = lb_kernel_at(i)->name;
    lb_names_hint(name, names, n, hint, sizeof hint);
    free(names);
    return lb_fail(LB_EINVAL, "unknown kernel '%s'%s", name, hint);
}

/* ---- does a kernel fit ---- */

static _Thread_local char why_text[192];

#define NO(...) (snprintf(why_text, sizeof why_text, __VA_ARGS__), *why = why_text, false)

static bool same_device(const lb_kernel *k, const lb_device *d) {
    const char *name = lb_device_name(d);
    size_t length = strcspn(name, ":");
    return strlen(k->device) == length && strncmp(k->device, name, length) == 0;
}

static bool has_isa(const lb_kernel *k, const lb_device *d) {
    return (lb_device_caps_of(d)->isa & k->isa) == k->isa;
}

static bool machine_fits(const lb_kernel *k, const lb_device *d, const char **why) {
    if (!same_device(k, d)) return NO("is for device %s", k->device);
    if (!has_isa(k, d)) {
        char needs[96];
        lb_isa_print(k->isa & ~lb_device_caps_of(d)->isa, needs, sizeof needs);
        return NO("needs %s", needs);
    }
    return true;
}

static bool weight_fits(const lb_kernel *k, const lb_device *d, const lb_tensor *w, const char **why) {
    const char *format = w->quantizer ? w->quantizer->family->name : lb_dtype_name(w->dtype);
    if (k->format && strcmp(k->format, "any") != 0 && strcmp(k->format, format) != 0)
        return NO("takes %s weights, not %s", k->format, w->quantizer ? w->quantizer->name : format);
    if (k->panel_weights) {
        const lb_kernel *panel = w->quantizer ? lb_kernel_panel_for(d, w->quantizer) : NULL;
        if (!panel) return NO("no kernel here has a panel for %s weights", w->quantizer ? w->quantizer->name : format);
    }
    if (w->layout && !k->panel_weights && (!k->layout || strcmp(k->layout->name, w->layout) != 0))
        return NO("reads layout %s, the weights are in %s", k->layout ? k->layout->name : "native", w->layout);
    return true;
}

bool lb_kernel_fits(const lb_kernel *k, const lb_device *d, const lb_args *a, const char **why) {
    const char *ignored;
    if (!why) why = &ignored;
    *why = "";
    if (strcmp(k->op, a->op->name) != 0) return NO("does %s, not %s", k->op, a->op->name);
    if (!machine_fits(k, d, why)) return false;
    for (int slot = 0; a->op->operands[slot].name; slot++)
        if (a->op->operands[slot].role == LB_WEIGHT)
            for (int32_t i = 0; i < a->t[slot].count; i++)
                if (!weight_fits(k, d, a->t[slot].items[i], why)) return false;
    if (!k->supports) return true;
    const char *reason = NULL;
    if (k->supports(a, &reason)) return true;
    *why = reason ? reason : "does not support these arguments";
    return false;
}

static lb_status none_fits(const lb_device *d, const lb_args *a, bool avoid_layouts) {
    char text[900], what[160] = "", *p = text, *end = text + sizeof text;
    const char *why;
    for (int slot = 0; !what[0] && a->op->operands[slot].name; slot++)
        if (a->op->operands[slot].role == LB_WEIGHT && lb_arg(a, slot)) {
            lb_tensor_describe(lb_arg(a, slot), what + 5, sizeof what - 5);
            memcpy(what, " for ", 5);
        }
    text[0] = 0;
    int elsewhere = 0;
    for (int i = 0, n = lb_kernel_count(); i < n && p < end; i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, a->op->name) != 0) continue;
        if (!same_device(k, d)) {
            elsewhere++;
            continue;
        }
        bool fits = lb_kernel_fits(k, d, a, &why);
        if (fits) why = avoid_layouts ? "reads repacked weights, and native ones were asked for" : "fits";
        p += snprintf(p, (size_t)(end - p), "%s%s: %s", p == text ? "" : "; ", k->name, why);
    }
    if (p == text && elsewhere)
        return lb_fail(LB_EUNSUPPORTED, "%s: no kernel on %s%s: the %d of this operation are for other devices",
                       a->op->name, lb_device_name(d), what, elsewhere);
    if (p == text)
        return lb_fail(LB_EUNSUPPORTED, "%s: no kernel is registered for this operation", a->op->name);
    return lb_fail(LB_EUNSUPPORTED, "%s: no kernel on %s%s: %s", a->op->name, lb_device_name(d), what, text);
}

lb_status lb_kernel_select_why(const lb_device *d, const lb_args *a, bool avoid_layouts, const lb_kernel **out,
                               lb_why *why) {
    const lb_kernel *best = lb_selection_preferred(d, a, avoid_layouts), *fastest = NULL;
    *why = LB_WHY_PREFERRED;
    if ((*out = best)) return LB_OK;
    for (int i = 0, n = lb_kernel_count(); i < n; i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (avoid_layouts && (k->layout || k->panel_weights)) continue;
        if (best && k->priority <= best->priority) continue;
        if (lb_kernel_fits(k, d, a, NULL)) best = k;
    }
    fastest = lb_selection_fastest(d, a, avoid_layouts, best);
    *why = fastest ? LB_WHY_MEASURED : LB_WHY_PRIORITY;
    *out = fastest ? fastest : best;
    return best ? LB_OK : none_fits(d, a, avoid_layouts);
}

void lb_kernel_prefer(const lb_kernel *k) { lb_selection_prefer(k ? &k->name : NULL, k != NULL); }

lb_status lb_kernel_select(const lb_device *d, const lb_args *a, bool avoid_layouts, const lb_kernel **out) {
    lb_why why;
    return lb_kernel_select_why(d, a, avoid_layouts, out, &why);
}

/* ---- panels: asked for at every launch of a fused kernel, so remembered ---- */

typedef struct panel_entry { /* immutable; a few dozen in a process's life, never freed */
    const lb_quantizer *q;
    uint32_t isa;
    int generation;          /* of the registry when it was found: a plug-in outdates it */
    char device[16];
    const lb_kernel *kernel;
} panel_entry;

static _Atomic(const panel_entry *) panels[PANEL_SLOTS];

static const lb_kernel *find_panel(const lb_device *d, const lb_quantizer *q) {
    const lb_kernel *best = NULL;
    for (int i = 0, n = lb_kernel_count(); i < n; i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (!k->panel || !k->layout || !k->format || strcmp(k->format, q->family->name) != 0) continue;
        if ((best && k->priority <= best->priority) || !same_device(k, d) || !has_isa(k, d)) continue;
        best = k;
    }
    return best;
}

const lb_kernel *lb_kernel_panel_for(const lb_device *d, const lb_quantizer *q) {
    if (!q) return NULL;
    uint32_t isa = lb_device_caps_of(d)->isa;
    const char *name = lb_device_name(d);
    int now = atomic_load_explicit(&generation, memory_order_acquire);
    size_t length = strcspn(name, ":"), slot = ((uintptr_t)q >> 4) * 0x9e3779b97f4a7c15u >> 56;
    slot = (slot ^ isa) % PANEL_SLOTS;
    const panel_entry *e = atomic_load_explicit(&panels[slot], memory_order_acquire);
    if (e && e->q == q && e->isa == isa && e->generation == now && strncmp(e->device, name, length) == 0 &&
        e->device[length] == 0)
        return e->kernel;
    const lb_kernel *found = find_panel(d, q);
    /* A slot belongs to the first that takes it, until a plug-in outdates it; the others search each time. */
    if ((e && e->generation == now) || length >= sizeof e->device) return found;
    panel_entry *fresh = calloc(1, sizeof *fresh);
    if (!fresh) return found;
    *fresh = (panel_entry){ .q = q, .isa = isa, .generation = now, .kernel = found };
    memcpy(fresh->device, name, length);
    if (!atomic_compare_exchange_strong(&panels[slot], &e, fresh)) free(fresh);
    return found;
}

/* ---- plug-ins ---- */

/* Where a loaded kernel of this name stands; -1 = nowhere. */
static int loaded_at(const char *name) {
    for (int i = 0, n = atomic_load(&loaded_count); i < n; i++)
        if (strcmp(atomic_load(&loaded[i])->name, name) == 0) return i;
    return -1;
}

static lb_status check_plugin(const char *path, const lb_kernel *const *kernels, bool replace, int *count) {
    const lb_op *op;
    for (*count = 0; kernels[*count]; ++*count) {
        const lb_kernel *k = kernels[*count];
        if (!k->name || !k->op || !k->device || !k->launch || !k->about || !k->source)
            return lb_fail(LB_EINVAL, "plug-in %s: kernel %d lacks one of name, op, device, about, source, launch",
                           path,
                           *count + 1);
        if (lb_op_find(k->op, &op)) return lb_fail_in(LB_EINVAL, "plug-in %s: kernel '%s'", path, k->name);
        if (!(k->tolerance >= 0) || !k->tolerance_why)
            return lb_fail(LB_EINVAL, "plug-in %s: kernel '%s' states no tolerance, or not why", path, k->name);
        bool again = lookup(k->name) && !(replace && loaded_at(k->name) >= 0);
        for (int i = 0; i < *count; i++) again |= strcmp(kernels[i]->name, k->name) == 0;
        if (again) return lb_fail(LB_EINVAL, "plug-in %s: there is a kernel '%s' already", path, k->name);
    }
    if (*count + atomic_load(&loaded_count) > LOADED_MAX)
        return lb_fail(LB_EINVAL, "plug-in %s: more than %d loaded kernels", path, LOADED_MAX);
    return LB_OK;
}

static lb_status add(const lb_kernel *const *kernels, const char *from, bool replace, bool mine) {
    int count = 0;
    pthread_mutex_lock(&lock);
    lb_status s = check_plugin(from, kernels, replace, &count);
    for (int i = 0; i < count && !s; i++) {
        int at = loaded_at(kernels[i]->name), end = atomic_load(&loaded_count);
        own[at < 0 ? end : at] = mine;
        atomic_store_explicit(&loaded[at < 0 ? end : at], kernels[i], memory_order_release);
        if (at < 0) atomic_store_explicit(&loaded_count, end + 1, memory_order_release);
    }
    atomic_fetch_add(&generation, 1);
    pthread_mutex_unlock(&lock);
    return s;
}

lb_status lb_kernel_add(const lb_kernel *const *kernels, const char *from) { return add(kernels, from, false, true); }
lb_status lb_kernel_replace(const lb_kernel *const *kernels,
                            const char *from) { return add(kernels, from, true, false); }

static lb_status load(const char *path, bool replace, const lb_kernel *const **out) {
    lb_status s;
    if (!path || !*path) return lb_fail(LB_EINVAL, "plug-in: expected the path of a shared object, got nothing");
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so) return lb_fail(LB_EIO, "plug-in: %s", dlerror());
    const int *abi = dlsym(so, "luabench_abi");
    const lb_kernel *const *kernels = dlsym(so, "luabench_kernels");
    if (!abi || !kernels) {
        s = lb_fail(LB_EINVAL, "plug-in %s exports no %s", path, abi ? "luabench_kernels" : "luabench_abi");
        goto fail;
    }
    if (*abi != LB_KERNEL_ABI) {
        s = lb_fail(LB_EINVAL, "plug-in %s was built for kernel ABI %d, this program has %d; build it again", path,
                    *abi,
                    LB_KERNEL_ABI);
        goto fail;
    }
    if ((s = add(kernels, path, replace, false))) goto fail;
    *out = kernels;
    return LB_OK; /* the object stays loaded for ever: plans point into it */
fail:
    dlclose(so);
    return s;
}

lb_status lb_kernel_load(const char *path, int *added) {
    const lb_kernel *const *kernels = NULL;
    lb_status s = load(path, false, &kernels);
    int count = 0;
    while (!s && kernels[count]) count++;
    if (added) *added = count;
    return s;
}

lb_status lb_kernel_reload(const char *path, const lb_kernel *const **out) {
    *out = NULL;
    return load(path, true, out);
}
