/* gemv_limits.c: what decoding takes by itself in products of one row of x: a kernel's own code without its products
 * and without x, one panel over and over in L1, on one core. Of formats whose decoding, not memory, bounds them.
 * gemv_limits.lua compiles it for each (-DBITS=2 to 4: trellis; without: sparse24-float8dq), and with -DPRODUCTS for
 * the whole code. Prints bytes of weights a second. */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#undef _mm_prefetch
#define _mm_prefetch(p, hint) ((void)(p)) /* all is there */

#ifdef BITS
#include "kernels/cpu/rows16.h"
#else
#include "kernels/cpu/rows32_float.h"
#endif
#ifndef PRODUCTS
/* Only that the weights are made counts. */
#define ALONE(sum, w) ({ __asm__ volatile("" : : "v"(w)); (sum); })
#define lb_dot2_regs(sum, w, x) ALONE(sum, w)
#define float_dot2(sum, w, x) ALONE(sum, w)
#endif
#ifdef BITS
#include "kernels/cpu/gemm_trellis_avx512.c"
#else
#define BITS 8
#include "kernels/cpu/gemm_sparse24_float8dq_avx512.c"
#endif

enum { K = 1024, TIMES = 200, TRIES = 200 };
static uint8_t panel[64 << 10] __attribute__((aligned(4096))), act[64 << 10] __attribute__((aligned(4096)));

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void) {
    const lb_quantizer q = { .bits = BITS, .param = { 0, 16 } };
    float out[32];
    double best = 1;
    for (size_t i = 0; i < sizeof panel; i++) panel[i] = (uint8_t)(i * 2654435761u >> 24 & 0x37);
    for (int i = 0; i < TRIES; i++) {
        double t = now();
        for (int j = 0; j < TIMES; j++) {
            run(&q, panel, act, 0, K, 1, out, 32);
            __asm__ volatile("" : : "r"(out) : "memory");
        }
        t = now() - t;
        if (t < best) best = t;
    }
    printf("%.0f\n", (double)panel_bytes(&q, K) * TIMES / best);
    return 0;
}
