/* gemv_limits.c: what decoding takes by itself in products of one row of x: a kernel's own code without its products
 * and without x, one panel over and over in L1, on one core. Of formats whose decoding, not memory, bounds them.
 * gemv_limits.lua compiles it for each (-DBITS=2 to 4: trellis; -DBLOCKS: block-sparse-float8dq; -DNVFP4; -DSPARSE24:
 * sparse24-float8dq), and with -DPRODUCTS for the whole code. Prints bytes of weights a second. */
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
#elif defined(NVFP4)
#define BITS 4
#include "kernels/cpu/gemm_nvfp4_avx512.c"
#elif defined(BLOCKS)
#define BITS 8
#include "kernels/cpu/gemm_block_sparse_float8dq_avx512.c"
#else
#define BITS 8
#include "kernels/cpu/gemm_sparse24_float8dq_avx512.c"
#endif

enum { K = 1024, TIMES = 200, TRIES = 200 };
static uint8_t panel[64 << 10] __attribute__((aligned(4096))), act[64 << 10] __attribute__((aligned(4096)));

/* Memory of the thread (engine/scratch.h), which products of one row do without. */
void *lb_scratch_take(size_t bytes) { abort(); }
void lb_scratch_give(void *p, size_t bytes) { abort(); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if !defined(PRODUCTS) && (defined(NVFP4) || defined(BLOCKS))
/* The codes of so many runs of 32 k at p, and of nvfp4 the scales, one for each 16. */
static __attribute__((noinline)) void decoding(const lb_quantizer *q, const uint8_t *p, int64_t runs) {
    const float_regs t = float_open(FORMAT, &table);
    const int pieces = 32 / float_piece_pairs(FORMAT);
    for (int64_t i = 0; i < runs; i++) {
        LB_UNROLL for (int j = 0; j < pieces; j++, p += 64) {
            __m512i w[8];
            float_decode(FORMAT, &t, p, w);
            LB_UNROLL for (int l = 0; l < float_piece_pairs(FORMAT); l++) __asm__ volatile("" : : "v"(w[l]));
        }
#ifdef NVFP4
        LB_UNROLL for (int j = 0; j < 4; j++)
            __asm__ volatile("" : : "v"(FORMAT.scale(q, panel, K, 2 * i + j / 2, j % 2)));
#endif
    }
}
#ifdef NVFP4
#define WORK(q) decoding(q, panel + FORMAT.head_bytes(q, K), K / 32)
#else
#define WORK(q) decoding(q, panel + blocks_head(K), blocks_kept(K) * BLOCK_K / 32)
#endif
#else
#define WORK(q) run(q, panel, act, 0, K, 1, out, 32)
#endif

int main(void) {
    const lb_quantizer q = { .bits = BITS, .param = { 0, 16 } };
    float out[32];
    double best = 1;
    /* No number is subnormal, whatever its type. */
    for (size_t i = 0; i < sizeof panel; i++) panel[i] = (uint8_t)((i * 2654435761u >> 24 & 0x37) | 0x20);
    for (size_t i = 0; i < sizeof act; i++) act[i] = (uint8_t)((i * 0x9e3779b1u >> 20 & 0x37) | 0x20);
#ifdef BLOCKS
    for (int i = 0; i < K / BLOCK_K / 2; i++) *(int32_t *)(void *)(panel + BLOCK_SCALES + 4 * i) = 2 * i;
#endif
    for (int i = 0; i < TRIES; i++) {
        double t = now();
        for (int j = 0; j < TIMES; j++) {
            WORK(&q);
            __asm__ volatile("" : : "r"(out) : "memory");
        }
        t = now() - t;
        if (t < best) best = t;
    }
    printf("%.0f\n", (double)panel_bytes(&q, K) * TIMES / best);
    return 0;
}
