/* peak_read.h: the body of the peak_read kernels; a template. The file that includes it defines
 *   VEC_BYTES   bytes of one vector of the instruction set that it is compiled for
 *   CHAINS      independent sums, so that the adds (3 to 4 cycles each) never hold back the loads
 *   AHEAD       bytes ahead of the loads at which each line is prefetched; 0: the hardware's prefetcher alone. It may
 *               reach past the end: a prefetch cannot fault
 * Vectors are the compiler's own, so the loop is the same everywhere. */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

#if AHEAD
#define PEAK_READ_PREFETCH "each line prefetched 8 KiB ahead"
#else
#define PEAK_READ_PREFETCH "hardware prefetch"
#endif

typedef float vec __attribute__((vector_size(VEC_BYTES), aligned(4), may_alias));
enum { LANES = VEC_BYTES / 4 };

static float sum(const float *x, int64_t n) {
    vec acc[CHAINS] = { { 0 } };
    int64_t i = 0;
    for (; i + LANES * CHAINS <= n; i += LANES * CHAINS) {
#pragma GCC unroll 16
        for (int c = 0; c < CHAINS; c++) {
            if (AHEAD && VEC_BYTES * c % 64 == 0) __builtin_prefetch((const char *)(x + i + LANES * c) + AHEAD);
            acc[c] += *(const vec *)(x + i + LANES * c);
        }
    }
    float total = 0;
    for (int c = 1; c < CHAINS; c++) acc[0] += acc[c];
    for (int c = 0; c < LANES; c++) total += acc[0][c];
    for (; i < n; i++) total += x[i];
    return total;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_PEAK_READ_X);
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_READ_SINK));
    int64_t begin, end;
    lb_split(lb_tensor_numel(x), 1024, l->part, l->parts, &begin, &end);
    float total = 0;
    for (int64_t r = (int64_t)a->p[LB_PEAK_READ_P_ROUNDS]; r > 0; r--) {
        total = sum(lb_tensor_f32(x) + begin, end - begin);
        __asm__ volatile("" : "+m"(total) : : "memory"); /* each round reads: the compiler may not keep the sum */
    }
    if (l->part < 64) sink[l->part] = total;
}

/* The descriptor, but for name, isa and priority. */
#define PEAK_READ_KERNEL                                                                                             \
    .op = "peak_read", .device = "cpu",                                                                              \
    .about = "one contiguous share a part, read with full vectors into independent sums; "                           \
             PEAK_READ_PREFETCH,                                                                                     \
    .source = "luabench", .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_NONE,         \
    .tolerance = 1e-10, .tolerance_why = "f32 sums of each part's share", .launch = launch
