/* selection.c: kernels that are preferred, and those that measurements chose. */
#include "selection.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *lb_why_name(lb_why w) {
    static const char *const names[] = { "asked for", "preferred", "measured", "priority" };
    return (unsigned)w < sizeof names / sizeof *names ? names[w] : "unknown";
}

/* ---- forms ---- */

typedef struct text { char *at; size_t room, length; } text;

static void put(text *t, const char *format, ...) LB_PRINTF(2, 3);
static void put(text *t, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(t->at + (t->length < t->room ? t->length : t->room),
                      t->length < t->room ? t->room - t->length : 0, format,
                      ap);
    va_end(ap);
    if (n > 0) t->length += (size_t)n;
}

static int64_t rounded(int64_t n) {
    int64_t p = 1;
    while (p < n && p < INT64_MAX / 2) p *= 2;
    return n > 0 ? p : n;
}

static void put_tensor(text *out, const lb_tensor *t, bool weight) {
    put(out, "%s%s[", t->quantizer ? t->quantizer->name : lb_dtype_name(t->dtype),
        t->dtype != LB_QUANT && !lb_tensor_is_dense(t) ? " strided" : "");
    for (int i = 0; i < t->rank; i++)
        put(out, "%s%" PRId64, i ? ", " : "", weight || i == t->rank - 1 ? t->dims[i] : rounded(t->dims[i]));
    put(out, "]");
}

static bool same_form(const lb_tensor *a, const lb_tensor *b) {
    return a->dtype == b->dtype && a->quantizer == b->quantizer && a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* "27 x q3_k[..] + 37 x q4_k[..]": runs of tensors that are alike. */
static void put_operand(text *out, const lb_operand *o, bool weight) {
    for (int32_t i = 0; i < o->count && out->length < out->room;) {
        int32_t n = 1;
        while (i + n < o->count && same_form(o->items[i], o->items[i + n])) n++;
        put(out, i ? " + " : " ");
        if (o->count > 1) put(out, "%d x ", (int)n);
        put_tensor(out, o->items[i], weight);
        i += n;
    }
}

/* A form that is too long for its room ends in a hash of all of it. */
static uint64_t hash_of(const char *s) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

enum { WHOLE = 16384 };

static void write_form(text *t, const lb_args *a, bool native) {
    const lb_op *op = a->op;
    put(t, "%s", op->name);
    for (int i = 0; op->operands && op->operands[i].name; i++) {
        if (!a->t[i].count) continue;
        put(t, " %s", op->operands[i].name);
        put_operand(t, &a->t[i], op->operands[i].role == LB_WEIGHT);
    }
    for (int i = 0; op->params && op->params[i].name; i++)
        if (strcmp(op->params[i].name, "seed") != 0) put(t, " %s=%g", op->params[i].name, a->p[i]);
    if (native) put(t, " native");
}

void lb_selection_form(const lb_args *a, bool native, char out[LB_FORM_BYTES]) {
    text t = { out, LB_FORM_BYTES, 0 };
    write_form(&t, a, native);
    if (t.length < LB_FORM_BYTES) return;
    char *whole = malloc(WHOLE);
    if (whole) {
        t = (text){ whole, WHOLE, 0 };
        write_form(&t, a, native);
    }
    snprintf(out + LB_FORM_BYTES - 24, 24, " ... %016" PRIx64, hash_of(whole ? whole : out));
    free(whole);
}

/* ---- what is known ---- */

typedef struct known { char *form, *kernel, *against; } known;
typedef struct device_table { struct device_table *next; char name[48]; known *at; int count, capacity; } device_table;

static device_table *tables;
static char *preferred[LB_PREFER_MOST];
static atomic_int preferred_count, known_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void device_key(const lb_device *d, char out[48]) {
    snprintf(out, 48, "%s/%d", lb_device_name(d), lb_device_threads(d));
}

static device_table *table_of(const lb_device *d) {
    char key[48];
    device_key(d, key);
    device_table *t = tables;
    while (t && strcmp(t->name, key) != 0) t = t->next;
    return t;
}

static int position(const device_table *t, const char *form, bool *found) {
    int lo = 0, hi = t->count;
    *found = false;
    while (lo < hi) {
        int mid = (lo + hi) / 2, c = strcmp(form, t->at[mid].form);
        if (c == 0) return *found = true, mid;
        if (c < 0) hi = mid;
        else lo = mid + 1;
    }
    return lo;
}

static void drop(known *k) {
    free(k->form);
    free(k->kernel);
    free(k->against);
}

static void remove_form(device_table *t, const char *form) {
    bool found;
    int at = position(t, form, &found);
    if (!found) return;
    drop(&t->at[at]);
    memmove(&t->at[at], &t->at[at + 1], (size_t)(t->count - at - 1) * sizeof *t->at);
    t->count--;
    atomic_fetch_sub(&known_count, 1);
}

static lb_status add_form(const lb_device *d, const char *form, const char *kernel, const char *against) {
    device_table *t = table_of(d);
    bool found;
    if (!t) {
        t = calloc(1, sizeof *t);
        if (!t) return lb_fail(LB_ENOMEM, "no memory for the choice of kernels");
        device_key(d, t->name);
        t->next = tables;
        tables = t;
    }
    if (t->count == t->capacity) {
        int capacity = t->capacity ? 2 * t->capacity : 64;
        known *at = realloc(t->at, (size_t)capacity * sizeof *at);
        if (!at) return lb_fail(LB_ENOMEM, "no memory for the choice of kernels");
        t->at = at;
        t->capacity = capacity;
    }
    known k = { strdup(form), strdup(kernel), strdup(against) };
    if (!k.form || !k.kernel || !k.against) return drop(&k), lb_fail(LB_ENOMEM, "no memory for the choice of kernels");
    remove_form(t, form);
    int at = position(t, form, &found);
    memmove(&t->at[at + 1], &t->at[at], (size_t)(t->count - at) * sizeof *t->at);
    t->at[at] = k;
    t->count++;
    atomic_fetch_add(&known_count, 1);
    return LB_OK;
}

lb_status lb_selection_measured(const lb_device *d, const char *form, const char *kernel, const char *against) {
    lb_status s = LB_OK;
    pthread_mutex_lock(&lock);
    device_table *t = table_of(d);
    if (form && kernel && against) {
        s = add_form(d, form, kernel, against);
    } else if (t && form) {
        remove_form(t, form);
    } else {
        while (t && t->count) remove_form(t, t->at[t->count - 1].form);
    }
    pthread_mutex_unlock(&lock);
    return s;
}

int lb_selection_count(const lb_device *d) {
    pthread_mutex_lock(&lock);
    const device_table *t = table_of(d);
    int n = t ? t->count : 0;
    pthread_mutex_unlock(&lock);
    return n;
}

lb_status lb_selection_prefer(const char *const *names, int count) {
    if (count > LB_PREFER_MOST)
        return lb_fail(LB_EINVAL, "at most %d kernels can be preferred, got %d", LB_PREFER_MOST, count);
    char *copies[LB_PREFER_MOST] = { NULL };
    for (int i = 0; i < count; i++)
        if (!(copies[i] = strdup(names[i]))) {
            while (i-- > 0) free(copies[i]);
            return lb_fail(LB_ENOMEM, "no memory for names of kernels");
        }
    pthread_mutex_lock(&lock);
    for (int i = 0; i < LB_PREFER_MOST; i++) {
        free(preferred[i]);
        preferred[i] = copies[i];
    }
    atomic_store(&preferred_count, count);
    pthread_mutex_unlock(&lock);
    return LB_OK;
}

/* ---- choosing ---- */

static const lb_kernel *registered(const char *name) {
    for (int i = 0, n = lb_kernel_count(); i < n; i++)
        if (strcmp(lb_kernel_at(i)->name, name) == 0) return lb_kernel_at(i);
    return NULL;
}

static const lb_kernel *fitting(const char *name, const lb_device *d, const lb_args *a, bool native) {
    const lb_kernel *k = registered(name);
    if (!k || (native && (k->layout || k->panel_weights)) || !lb_kernel_fits(k, d, a, NULL)) return NULL;
    return k;
}

const lb_kernel *lb_selection_preferred(const lb_device *d, const lb_args *a, bool native) {
    const lb_kernel *k = NULL;
    if (!atomic_load_explicit(&preferred_count, memory_order_acquire)) return NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < LB_PREFER_MOST && preferred[i] && !k; i++) k = fitting(preferred[i], d, a, native);
    pthread_mutex_unlock(&lock);
    return k;
}

const lb_kernel *lb_selection_fastest(const lb_device *d, const lb_args *a, bool native, const lb_kernel *against) {
    char form[LB_FORM_BYTES];
    const lb_kernel *k = NULL;
    bool found = false;
    if (!against || !atomic_load_explicit(&known_count, memory_order_acquire)) return NULL;
    lb_selection_form(a, native, form);
    pthread_mutex_lock(&lock);
    const device_table *t = table_of(d);
    int at = t ? position(t, form, &found) : 0;
    if (found && strcmp(t->at[at].against, against->name) == 0) k = fitting(t->at[at].kernel, d, a, native);
    pthread_mutex_unlock(&lock);
    return k;
}
