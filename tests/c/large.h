/* large.h: operands of more than 2^31 bytes, of which little is memory, and calls of every CPU kernel on them. */
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/kernel.h"
#include "engine/ops/kv.h"
#include "tests/c/cpu_device.h"

static const int64_t LIMIT = (int64_t)1 << 31;

/* ---- what is tried ---- */

/* Where each operation is tried, by the program; last, those that have no such operands: of `empty` there are none, and
 * `peak` has 64 floats. moe_group and moe_ffn number slots in i32, topk experts, sample tokens: they take fewer than
 * 2^31 of them. */
enum { TEST_LARGE, TEST_LARGE_WEIGHTS, TEST_LARGE_ENDS, NOWHERE, PLACES };
static const char *const tried_in[PLACES] = {
    [TEST_LARGE] = " activation add add_rms_norm attention convert copy embedding gather gemm head_gemm kv_read"
                   " kv_write layer_norm linear residual rms_norm rms_norm_quantize rope sample scatter softmax swiglu"
                   " swiglu_clamped ",
    [TEST_LARGE_WEIGHTS] = " gemm peak_read read_reuse read_strided ",
    [TEST_LARGE_ENDS] = " advance axpy choose combine fill gemm gemm_stored moe_ffn moe_group peak_copy peak_write"
                        " quantize sample topk ",
    [NOWHERE] = " empty peak ",
};
static char begun[1024] = " "; /* names of operations */
static bool skipped;

static inline bool names(const char *list, const char *op) {
    char name[64];
    snprintf(name, sizeof name, " %s ", op);
    return strstr(list, name) != NULL;
}

/* The last test of a program: it tried what the list says of it, and no operation is without a place. */
static inline void tried_all(int place) {
    for (int i = 0; lb_ops[i]; i++) {
        const char *op = lb_ops[i]->name;
        bool somewhere = false;
        for (int p = 0; p < PLACES; p++) somewhere |= names(tried_in[p], op);
        if (!somewhere) fail_msg("%s: not tried with large operands, nor listed as one that has none", op);
        if (names(tried_in[place], op) != names(begun, op) && !skipped)
            fail_msg("%s: what large.h says of this program is not what it did", op);
    }
}

/* ---- operands ---- */

static inline void unmap(lb_buffer *b) { munmap(b->data, b->size_bytes); }

#define DIMS(...) (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (int64_t[]){ __VA_ARGS__ }

static inline size_t bytes_of(lb_dtype t, int rank, const int64_t *dims) {
    size_t bytes = lb_dtype_size(t);
    for (int i = 0; i < rank; i++) bytes *= (size_t)dims[i];
    return bytes;
}

static inline lb_tensor *over(void *data, size_t mapped, lb_dtype t, int rank, const int64_t *dims) {
    lb_buffer *b;
    lb_tensor *out;
    if (lb_buffer_wrap(device, data, mapped, unmap, NULL, &b) || lb_tensor_wrap(b, 0, t, NULL, rank, dims, &out))
        fail_msg("%s", lb_error());
    lb_buffer_release(b);
    return out;
}

/* Zeros that are memory only where somebody writes; NULL where there are not even addresses for them. */
static inline lb_tensor *zeros(lb_dtype t, int rank, const int64_t *dims) {
    size_t bytes = bytes_of(t, rank, dims);
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return NULL;
    return over(data, bytes, t, rank, dims);
}

/* The same 4 MiB again and again; only what the last piece has is its own. */
static inline lb_tensor *echo(lb_dtype t, int rank, const int64_t *dims) {
    const size_t piece = (size_t)4 << 20, bytes = bytes_of(t, rank, dims), last = bytes / piece * piece;
    size_t mapped = last + piece;
    int fd = memfd_create("echo", 0);
    char *data = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED || fd < 0 || ftruncate(fd, (off_t)piece)) return NULL;
    for (size_t at = 0; at < last; at += piece)
        if (mmap(data + at, piece, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) return NULL;
    close(fd);
    return over(data, mapped, t, rank, dims);
}

#define NEED(t)                                                                                                      \
    if (!(t)) {                                                                                                      \
        skipped = true;                                                                                              \
        print_message("skipped: this machine gives no addresses for so large a mapping\n");                          \
        skip();                                                                                                      \
    }

static inline lb_tensor *small(lb_dtype t, int rank, const int64_t *dims) {
    lb_tensor *out;
    if (lb_tensor_new(device, t, NULL, rank, dims, &out)) fail_msg("%s", lb_error());
    memset(lb_tensor_data(out), 0, lb_tensor_size_bytes(out));
    return out;
}

static inline lb_tensor *ints(int64_t n, const int32_t *v) {
    lb_tensor *t = small(LB_I32, 1, &n);
    memcpy(lb_tensor_data(t), v, (size_t)n * 4);
    return t;
}
#define INTS(...) ints((int64_t)(sizeof((int32_t[]){ __VA_ARGS__ }) / 4), (int32_t[]){ __VA_ARGS__ })

static inline float *row(const lb_tensor *t, int64_t i) {
    return (float *)lb_tensor_data(t) + i * t->dims[t->rank - 1];
}
static inline uint16_t *row16(const lb_tensor *t, int64_t i) {
    return (uint16_t *)lb_tensor_data(t) + i * t->dims[t->rank - 1];
}

/* ---- running ---- */

typedef struct call {
    lb_args a;
    lb_tensor *t[LB_MAX_OPERANDS];
} call;

static inline void begin(call *c, const char *op) {
    memset(c, 0, sizeof *c);
    if (lb_op_find(op, &c->a.op)) fail_msg("%s", lb_error());
    if (!names(begun, op)) strcat(begun, op), strcat(begun, " ");
    for (int p = 0; c->a.op->params && c->a.op->params[p].name; p++) c->a.p[p] = c->a.op->params[p].value;
}
static inline void operand(call *c, int slot, lb_tensor *t) {
    c->t[slot] = t;
    c->a.t[slot] = (lb_operand){ .items = &c->t[slot], .count = 1 };
}
static inline void end(call *c) {
    for (int i = 0; i < LB_MAX_OPERANDS; i++) lb_tensor_release(c->t[i]);
}

static inline void launch(const lb_kernel *k, const lb_args *a) {
    int parts = k->serial ? 1 : 2;
    size_t bytes = k->workspace_bytes ? k->workspace_bytes(a, parts) : 0;
    void *workspace = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    for (int phase = 0, phases = k->phases ? k->phases(a) : 1; phase < phases; phase++) {
        atomic_llong ticket = 0;
        for (int part = 0; part < parts; part++)
            k->launch(a, &(lb_launch){ .phase = phase, .part = part, .parts = parts, .workspace = workspace,
                                       .ticket = &ticket });
    }
    free(workspace);
}

/* The last of many parts, after what all do in the phases before: of operands too large to walk through, the end. */
static inline void launch_end(const lb_kernel *k, const lb_args *a) {
    enum { PARTS = 1024 };
    size_t bytes = k->workspace_bytes ? k->workspace_bytes(a, PARTS) : 0;
    void *workspace = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    for (int phase = 0, phases = k->phases ? k->phases(a) : 1; phase < phases; phase++) {
        atomic_llong ticket = 0;
        for (int part = phase + 1 < phases ? 0 : PARTS - 1; part < PARTS; part++)
            k->launch(a, &(lb_launch){ .phase = phase, .part = part, .parts = PARTS, .workspace = workspace,
                                       .ticket = &ticket });
    }
    free(workspace);
}

/* Each kernel that takes the call as it is, by launch() or launch_end(); clear() before and check() after it. */
static inline void each_kernel_by(void (*run)(const lb_kernel *, const lb_args *), call *c, void (*clear)(call *),
                                  void (*check)(call *, const char *name)) {
    int tried = 0;
    if (c->a.op->check(&c->a)) fail_msg("%s: %s", c->a.op->name, lb_error());
    for (int i = 0; i < lb_kernel_count(); i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, c->a.op->name) || k->layout || !lb_kernel_fits(k, device, &c->a, NULL)) continue;
        if (clear) clear(c);
        run(k, &c->a);
        check(c, k->name);
        tried++;
    }
    assert_true(tried > 0);
}
static inline void each_kernel(call *c, void (*clear)(call *), void (*check)(call *, const char *name)) {
    each_kernel_by(launch, c, clear, check);
}

#define EXPECT(name, got, want)                                                                                      \
    if (!((double)(got) == (double)(want)))                                                                          \
        fail_msg("%s: %s is %g, expected %g", name, #got, (double)(got), (double)(want))
