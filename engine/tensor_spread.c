/* tensor_spread.c: mean, maximum and a quantile of magnitudes, exactly, in two passes: the bits of floats without
 * their sign grow with the value, so that a histogram of the upper half finds the bin, and one of the lower half the
 * value. */
#include "tensor_spread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16, BINS = 1 << 16 };

typedef struct pass {
    float *chunk;
    uint64_t *bins;
    double sum, max;
    uint32_t upper; /* second pass: only elements with this upper half */
    bool second;
} pass;

static void count(pass *p, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(p->chunk[i]);
        uint32_t bits;
        if (!(a >= 0)) a = 0;
        memcpy(&bits, &a, sizeof bits);
        if (p->second) {
            p->bins[bits & 0xffff] += bits >> 16 == p->upper;
            continue;
        }
        p->bins[bits >> 16]++;
        sum += (double)a;
        if ((double)a > p->max) p->max = (double)a;
    }
    p->sum += sum;
}

/* All elements through count(), into emptied bins. */
static lb_status walk(const lb_tensor *t, int64_t numel, pass *p) {
    memset(p->bins, 0, BINS * sizeof *p->bins);
    for (int64_t at = 0; at < numel; at += CHUNK) {
        int64_t n = numel - at < CHUNK ? numel - at : CHUNK;
        lb_status s = lb_tensor_read_f32(t, at, n, p->chunk);
        if (s) return s;
        count(p, n);
    }
    return LB_OK;
}

/* The bin in which the rank-th element (from 1) lies; *rank counts from that bin on afterwards. */
static uint32_t bin_of(const uint64_t *bins, uint64_t *rank) {
    uint32_t b = 0;
    while (b < BINS - 1 && bins[b] < *rank) *rank -= bins[b++];
    return b;
}

lb_status lb_tensor_spread(const lb_tensor *t, double share, lb_spread *out) {
    int64_t numel = lb_tensor_numel(t);
    memset(out, 0, sizeof *out);
    if (!(share > 0 && share <= 1)) return lb_fail(LB_EINVAL, "spread: a share from 0 to 1 expected, got %g", share);
    if (numel < 1) return lb_fail(LB_EINVAL, "spread: the tensor has no elements");
    pass p = { .chunk = malloc(CHUNK * sizeof(float)), .bins = malloc(BINS * sizeof(uint64_t)) };
    lb_status s = p.chunk && p.bins ? walk(t, numel, &p) : lb_fail(LB_ENOMEM, "not enough memory for a histogram");
    if (!s) {
        uint64_t rank = (uint64_t)ceil(share * (double)numel);
        if (rank < 1) rank = 1;
        p.upper = bin_of(p.bins, &rank);
        p.second = true;
        s = walk(t, numel, &p);
        if (!s) out->quantile = (double)lb_f32_from_bits(p.upper << 16 | bin_of(p.bins, &rank));
    }
    out->mean_abs = p.sum / (double)numel;
    out->max_abs = p.max;
    free(p.chunk);
    free(p.bins);
    return s;
}
