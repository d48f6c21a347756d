/* small_kernels.h: operands, launching and comparing for the tests of kernels that are called without a plan: each
 * kernel of an operation that fits some arguments, in odd splits, against what the caller expects. */
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"
#include "engine/ops/topk.h"

#ifndef TEST_LAUNCH /* tests/gpu/ has another */
#define TEST_LAUNCH(k, a, l) (k)->launch(a, l)
#endif

static lb_device *device;
static double *expected;   /* what check functions compare with */

static uint64_t state = 0x2545f4914f6cdd1du;
static uint32_t next_u32(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}
static float next_value(void) { return ((float)(next_u32() >> 8) * 0x1p-24f - 0.5f) * 4.0f; }

static lb_tensor *tensor(lb_dtype t, int64_t rows, int64_t cols) {
    lb_tensor *out = NULL;
    if (lb_tensor_new(device, t, NULL, cols < 0 ? 1 : 2, (int64_t[]){ rows, cols }, &out)) fail_msg("%s", lb_error());
    memset(lb_tensor_data(out), 0xff, lb_tensor_size_bytes(out)); /* NaN, and -1 */
    return out;
}
static lb_tensor *floats(int64_t rows, int64_t cols) {
    lb_tensor *t = tensor(LB_F32, rows, cols);
    for (int64_t i = 0; i < lb_tensor_numel(t); i++) ((float *)lb_tensor_data(t))[i] = next_value();
    return t;
}
static float *f32(const lb_args *a, int slot) { return lb_tensor_data(lb_arg(a, slot)); }
static int32_t *i32(const lb_args *a, int slot) { return lb_tensor_data(lb_arg(a, slot)); }

/* Arguments own one tensor a slot. */
static lb_args args_of(const char *op) {
    lb_args a = { 0 };
    assert_int_equal(lb_op_find(op, &a.op), LB_OK);
    return a;
}
static void set(lb_args *a, int slot, lb_tensor *t) {
    lb_tensor **items = malloc(sizeof *items);
    assert_non_null(items);
    items[0] = t;
    a->t[slot] = (lb_operand){ .items = items, .count = 1 };
}
static void release(lb_args *a) {
    for (int i = 0; i < LB_MAX_OPERANDS; i++) {
        if (a->t[i].count) lb_tensor_release(a->t[i].items[0]);
        free(a->t[i].items);
    }
}

/* All parts one after the other, the last first, so that none can lean on what another did in its phase. */
static void launch(const lb_kernel *k, const lb_args *a, int parts) {
    if (k->serial) parts = 1;
    size_t bytes = k->workspace_bytes ? k->workspace_bytes(a, parts) : 0;
    void *workspace = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    if (bytes) assert_non_null(workspace);
    if (bytes) memset(workspace, 0xff, bytes);
    for (int phase = 0; phase < (k->phases ? k->phases(a) : 1); phase++) {
        atomic_llong ticket = 0;
        for (int part = parts - 1; part >= 0; part--) {
            lb_launch l = { .phase = phase, .part = part, .parts = parts, .workspace = workspace, .ticket = &ticket };
            TEST_LAUNCH(k, a, &l);
        }
    }
    free(workspace);
}

/* Calls check(k, parts) for every kernel of an operation that these arguments fit. */
static int each(const lb_args *a, void (*check)(const lb_kernel *, const lb_args *)) {
    int count = 0;
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, a->op->name) || k->layout || k->panel_weights) continue;
        if (!lb_kernel_fits(k, device, a, NULL)) continue;
        check(k, a);
        count++;
    }
#ifdef TEST_EMULATED
    if (!count) count = emulated_none(a->op->name);
#endif
    return count;
}
static const int splits[] = { 1, 2, 3, 7, 16 };
#define EACH_SPLIT(p) for (size_t at_ = 0, p; at_ < 5 && ((p = (size_t)splits[at_]), true); at_++)

static void assert_near(const lb_kernel *k, const float *got, const double *want, int64_t n) {
    double error = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(got[i])) fail_msg("%s: element %lld is %g, expected %g", k->name, (long long)i, got[i], want[i]);
        error += (got[i] - want[i]) * (got[i] - want[i]);
        sum += want[i] * want[i];
    }
    if (!(error <= k->tolerance * sum) && error > 0)
        fail_msg("%s: NMSE is %g, tolerance %g (%lld elements)", k->name, error / sum, k->tolerance, (long long)n);
}
