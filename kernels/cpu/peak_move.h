/* peak_move.h: the bodies of the peak_copy and peak_write kernels; a template. The file that includes it defines
 *   VEC_BYTES           bytes of one vector of the instruction set that it is compiled for
 *   STREAM(p, v)        for peak_write: a store of a vector past the caches, p a multiple of VEC_BYTES
 *   FENCE()             for peak_write: after which such stores are seen by other threads */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

typedef float vec __attribute__((vector_size(VEC_BYTES), aligned(4), may_alias));
enum { LANES = VEC_BYTES / 4, UNROLL = 8 };

#ifdef STREAM
static void launch(const lb_args *a, const lb_launch *l) {
    lb_tensor *out = lb_arg(a, LB_PEAK_WRITE_OUT);
    float *p = lb_tensor_data(out);
    int64_t i, end;
    lb_split(lb_tensor_numel(out), 1024, l->part, l->parts, &i, &end);
    vec one;
    for (int c = 0; c < LANES; c++) one[c] = 1;
    for (; i < end && (uintptr_t)(p + i) % VEC_BYTES; i++) p[i] = 1;
    for (; i + LANES * UNROLL <= end; i += LANES * UNROLL) {
#pragma GCC unroll 8
        for (int c = 0; c < UNROLL; c++) STREAM(p + i + LANES * c, one);
    }
    for (; i < end; i++) p[i] = 1;
    FENCE();
}

#define PEAK_WRITE_KERNEL                                                                                            \
    .op = "peak_write", .device = "cpu",                                                                             \
    .about = "one contiguous share a part, written with full vectors past the caches", .source = "luabench",         \
    .format = "f32", .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,                             \
    .tolerance_why = "a store is exact", .launch = launch
#else
static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_PEAK_COPY_X);
    const float *from = lb_tensor_f32(x);
    float *to = lb_tensor_data(lb_arg(a, LB_PEAK_COPY_OUT));
    int64_t i, end;
    lb_split(lb_tensor_numel(x), 1024, l->part, l->parts, &i, &end);
    for (; i + LANES * UNROLL <= end; i += LANES * UNROLL) {
        vec v[UNROLL];
#pragma GCC unroll 8
        for (int c = 0; c < UNROLL; c++) v[c] = *(const vec *)(from + i + LANES * c);
        __asm__ volatile("" : : : "memory"); /* or the compiler makes it a call of memcpy, which may stream */
#pragma GCC unroll 8
        for (int c = 0; c < UNROLL; c++) *(vec *)(to + i + LANES * c) = v[c];
    }
    for (; i < end; i++) to[i] = from[i];
}

#define PEAK_COPY_KERNEL                                                                                             \
    .op = "peak_copy", .device = "cpu",                                                                              \
    .about = "one contiguous share a part, copied with full vectors and ordinary stores", .source = "luabench",      \
    .format = "f32", .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,                             \
    .tolerance_why = "a copy is exact", .launch = launch
#endif
