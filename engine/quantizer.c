/* quantizer.c: finds quantizers by recipe name, and keeps one instance of each for ever. */
#include "quantizer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

typedef struct interned {
    lb_quantizer quantizer; /* immutable once it is in the list */
    struct interned *next;
} interned;

static _Atomic(interned *) instances;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const lb_quantizer *lookup(const char *name) {
    for (interned *i = atomic_load_explicit(&instances, memory_order_acquire); i; i = i->next)
        if (strcmp(i->quantizer.name, name) == 0) return &i->quantizer;
    return NULL;
}

static lb_status intern(const lb_quantizer *parsed, const lb_quantizer **out) {
    lb_status s = LB_OK;
    pthread_mutex_lock(&lock);
    *out = lookup(parsed->name);
    if (!*out) {
        interned *i = calloc(1, sizeof *i);
        if (i) {
            i->quantizer = *parsed;
            i->next = atomic_load(&instances);
            atomic_store_explicit(&instances, i, memory_order_release);
            *out = &i->quantizer;
        } else {
            s = lb_fail(LB_ENOMEM, "quantizer '%s': no memory", parsed->name);
        }
    }
    pthread_mutex_unlock(&lock);
    return s;
}

static lb_status unknown(const char *name) {
    enum { MAX = 512 };
    const char *names[MAX];
    char hint[600];
    int count = 0;
    for (int f = 0; lb_quantizer_families[f]; f++)
        for (const char *const *m = lb_quantizer_families[f]->members; m && *m && count < MAX; m++) names[count++] = *m;
    lb_names_hint(name, names, count, hint, sizeof hint);
    return lb_fail(LB_EINVAL, "unknown quantizer '%s'%s", name, hint);
}

lb_status lb_quantizer_find(const char *name, const lb_quantizer **out) {
    *out = NULL;
    if (!name || !*name) return lb_fail(LB_EINVAL, "quantizer: expected a name such as 'q4_k', got nothing");
    if ((*out = lookup(name))) return LB_OK;
    for (int f = 0; lb_quantizer_families[f]; f++) {
        const lb_quantizer_family *family = lb_quantizer_families[f];
        lb_quantizer q = { .family = family };
        char why[64] = "";
        if (family->parse(name, &q, why)) {
            if (!q.name[0] || q.k_multiple < 1 || !q.size_bytes || !q.quantize || !q.dequantize || !q.row_span ||
                !q.survey != !q.settle || !q.learn != !q.quantize_learned)
                return lb_fail(LB_EINTERNAL, "quantizer family '%s' gave an incomplete instance for '%s'",
                               family->name, name);
            q.family = family;
            return intern(&q, out);
        }
        why[sizeof why - 1] = 0;
        if (why[0]) return lb_fail(LB_EINVAL, "quantizer '%s': %s", name, why);
    }
    return unknown(name);
}

double lb_quantizer_bits_per_weight(const lb_quantizer *q, int64_t n, int64_t k) {
    double weights = (double)n * (double)k;
    return weights > 0 ? 8.0 * (double)q->size_bytes(q, n, k) / weights : 0.0;
}

void lb_quantizer_prepare(const lb_quantizer *q, const float *src, int64_t n, int64_t k, void *dst) {
    if (!q->survey) return;
    q->survey(q, src, n, k, 0, n, dst);
    q->settle(q, n, k, dst);
}
