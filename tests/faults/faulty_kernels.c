/* faulty_kernels.c: a plug-in with kernels made wrong on purpose, for tests/faults/faults.lua. */
#include <stdlib.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

const int luabench_abi = LB_KERNEL_ABI;

static void multiply(const lb_args *a, const lb_launch *l, float wrong) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    int64_t m = x->dims[0], k = x->dims[1], n = w->dims[0], begin, end;
    float *out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT));
    lb_split(n, 1, l->part, l->parts, &begin, &end);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = begin; j < end; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)lb_tensor_f32(x)[i * k + p] * (double)lb_tensor_f32(w)[j * k + p];
            out[i * n + j] = (float)sum + (i == m - 1 && j == n - 1 ? wrong : 0.0f);
        }
}

/* One element of the last row is off. */
static void launch_wrong(const lb_args *a, const lb_launch *l) { multiply(a, l, 0.5f); }

/* Writes through a pointer that leads nowhere. */
static void launch_crash(const lb_args *a, const lb_launch *l) {
    multiply(a, l, 0.0f);
    static volatile uintptr_t nowhere = 8; /* volatile, so that the compiler does not see it coming */
    *(volatile int *)nowhere = 1;
}

/* Never returns. */
static void launch_hang(const lb_args *a, const lb_launch *l) {
    multiply(a, l, 0.0f);
    for (volatile int i = 1; i;) {
    }
}

/* Leaves the last element as it was. */
static void launch_stale(const lb_args *a, const lb_launch *l) {
    float *out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT));
    int64_t last = lb_tensor_numel(lb_arg(a, LB_GEMM_OUT)) - 1;
    float before = out[last];
    multiply(a, l, 0.0f);
    if (l->part == l->parts - 1) out[last] = before;
}

/* Not a number in one place. */
static void launch_nan(const lb_args *a, const lb_launch *l) { multiply(a, l, NAN); }

#define FAULTY(what)                                                                                             \
    static const lb_kernel gemm_##what = {                                                                       \
        .name = "gemm.f32." #what, .op = "gemm", .device = "cpu", .about = "made faulty on purpose: " #what,     \
        .source = "luabench", .isa = LB_ISA_PORTABLE, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F64,     \
        .compute = LB_COMPUTE_F64, .tolerance = 1e-12, .tolerance_why = "f64 accumulation, one rounding to f32", \
        .priority = -1, .launch = launch_##what,                                                                 \
    }
FAULTY(wrong);
FAULTY(crash);
FAULTY(hang);
FAULTY(stale);
FAULTY(nan);

const lb_kernel *const luabench_kernels[] = { &gemm_wrong, &gemm_crash, &gemm_hang, &gemm_stale, &gemm_nan, NULL };
