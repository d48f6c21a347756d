/* tile32.h: pieces of inner loops over 32 rows by up to 12 columns, in assembly: one broadcast of an activation dword
 * serves two products, so that loads are fewer than products; gcc 12 spills such loops' addresses and sums.
 *
 * In a tile of n columns the sums of column c are zmm c (rows 0..15) and zmm 12 + c (rows 16..31); zmm 24..29 are for
 * broadcasts, 30 and 31 for weights. Every third column has a pointer (a, b, c, d), the two after it are reached by the
 * stride s as an index. acc is [column][32] floats. X(low, high, temp, other temp, address, acc offset, ...) is a
 * string. */
#pragma once
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { TILE32_COLS = 12 };

#define T32_1(X, ...) X(0, 12, 24, 27, "(%[a])", 0, __VA_ARGS__)
#define T32_2(X, ...) T32_1(X, __VA_ARGS__) X(1, 13, 25, 28, "(%[a],%[s])", 128, __VA_ARGS__)
#define T32_3(X, ...) T32_2(X, __VA_ARGS__) X(2, 14, 26, 29, "(%[a],%[s],2)", 256, __VA_ARGS__)
#define T32_4(X, ...) T32_3(X, __VA_ARGS__) X(3, 15, 27, 24, "(%[b])", 384, __VA_ARGS__)
#define T32_5(X, ...) T32_4(X, __VA_ARGS__) X(4, 16, 28, 25, "(%[b],%[s])", 512, __VA_ARGS__)
#define T32_6(X, ...) T32_5(X, __VA_ARGS__) X(5, 17, 29, 26, "(%[b],%[s],2)", 640, __VA_ARGS__)
#define T32_7(X, ...) T32_6(X, __VA_ARGS__) X(6, 18, 24, 27, "(%[c])", 768, __VA_ARGS__)
#define T32_8(X, ...) T32_7(X, __VA_ARGS__) X(7, 19, 25, 28, "(%[c],%[s])", 896, __VA_ARGS__)
#define T32_9(X, ...) T32_8(X, __VA_ARGS__) X(8, 20, 26, 29, "(%[c],%[s],2)", 1024, __VA_ARGS__)
#define T32_10(X, ...) T32_9(X, __VA_ARGS__) X(9, 21, 27, 24, "(%[d])", 1152, __VA_ARGS__)
#define T32_11(X, ...) T32_10(X, __VA_ARGS__) X(10, 22, 28, 25, "(%[d],%[s])", 1280, __VA_ARGS__)
#define T32_12(X, ...) T32_11(X, __VA_ARGS__) X(11, 23, 29, 26, "(%[d],%[s],2)", 1408, __VA_ARGS__)

/* Sums to zero. */
#define T32_ZERO(low, high, temp, other, address, at, ...)                                                           \
    "vpxord %%zmm" #low ", %%zmm" #low ", %%zmm" #low "\n\tvpxord %%zmm" #high ", %%zmm" #high ", %%zmm" #high "\n\t"
/* Both sums += the weights times the dword `off` bytes on in each column. */
#define T32_DOT(low, high, temp, other, address, at, op, off)                                                        \
    "vpbroadcastd " #off address ", %%zmm" #temp "\n\t"                                                              \
    op " %%zmm" #temp ", %%zmm30, %%zmm" #low "\n\t" op " %%zmm" #temp ", %%zmm31, %%zmm" #high "\n\t"
/* acc = sums * zmm30, zmm31 + acc. */
#define T32_ADD(low, high, temp, other, address, at, ...)                                                            \
    "vfmadd213ps " #at "(%[acc]), %%zmm30, %%zmm" #low "\n\tvmovaps %%zmm" #low ", " #at "(%[acc])\n\t"              \
    "vfmadd213ps 64+" #at "(%[acc]), %%zmm31, %%zmm" #high "\n\tvmovaps %%zmm" #high ", 64+" #at "(%[acc])\n\t"

/* acc = sums times the scales in zmm30 and zmm31 times the float `d` bytes on in each column, + acc. */
#define T32_ADD_TIMES(low, high, temp, other, address, at, d)                                                        \
    "vmulps " #d address "%{1to16%}, %%zmm30, %%zmm" #temp "\n\t"                                                   \
    "vmulps " #d address "%{1to16%}, %%zmm31, %%zmm" #other "\n\t"                                                  \
    "vfmadd213ps " #at "(%[acc]), %%zmm" #temp ", %%zmm" #low "\n\tvmovaps %%zmm" #low ", " #at "(%[acc])\n\t"      \
    "vfmadd213ps 64+" #at "(%[acc]), %%zmm" #other ", %%zmm" #high "\n\t"                                           \
    "vmovaps %%zmm" #high ", 64+" #at "(%[acc])\n\t"
/* Two vectors of weights, and their products with the dword at `off`. */
#define T32_STEP(n, op, w_at, off)                                                                                   \
    "vmovdqa64 " #w_at "(%[w]), %%zmm30\n\tvmovdqa64 64+" #w_at "(%[w]), %%zmm31\n\t" T32_##n(T32_DOT, op, off)
/* Four of them, 16 bytes of each column, and on. */
#define T32_FOUR_STEPS(n, op)                                                                                        \
    T32_STEP(n, op, 0, 0) T32_STEP(n, op, 128, 4) T32_STEP(n, op, 256, 8) T32_STEP(n, op, 384, 12)                   \
    "add $512, %[w]\n\tadd $16, %[a]\n\tadd $16, %[b]\n\tadd $16, %[c]\n\tadd $16, %[d]\n\t"

/* What the tile after this one reads, as far from each column as `far`; far1 and far2 are one and two strides more.
 * Each line is asked for by four iterations: what is there costs a load. Without it a tile waits for most lines that
 * are not in L2: twelve streams of a few lines each are none for the processor's own prefetching. */
#define T32_ASK_1 "prefetcht0 (%[a],%[far])\n\t"
#define T32_ASK_2 T32_ASK_1 "prefetcht0 (%[a],%[far1])\n\t"
#define T32_ASK_3 T32_ASK_2 "prefetcht0 (%[a],%[far2])\n\t"
#define T32_ASK_4 T32_ASK_3 "prefetcht0 (%[b],%[far])\n\t"
#define T32_ASK_5 T32_ASK_4 "prefetcht0 (%[b],%[far1])\n\t"
#define T32_ASK_6 T32_ASK_5 "prefetcht0 (%[b],%[far2])\n\t"
#define T32_ASK_7 T32_ASK_6 "prefetcht0 (%[c],%[far])\n\t"
#define T32_ASK_8 T32_ASK_7 "prefetcht0 (%[c],%[far1])\n\t"
#define T32_ASK_9 T32_ASK_8 "prefetcht0 (%[c],%[far2])\n\t"
#define T32_ASK_10 T32_ASK_9 "prefetcht0 (%[d],%[far])\n\t"
#define T32_ASK_11 T32_ASK_10 "prefetcht0 (%[d],%[far1])\n\t"
#define T32_ASK_12 T32_ASK_11 "prefetcht0 (%[d],%[far2])\n\t"

#define T32_CLOBBERS                                                                                                 \
    "memory", "cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", \
        "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23",  \
        "zmm24", "zmm25", "zmm26", "zmm27", "zmm28", "zmm29", "zmm30", "zmm31"

#define T32_EACH(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)

/* The lines of a tile's results lie far apart and are in no cache: asked for before its last products, so that stores
 * find them. `stride` in floats. (In assembly: gcc drops calls of functions that only prefetch.) */
static inline __attribute__((always_inline)) void t32_results_soon(const float *out, int64_t stride, int cols) {
    for (int c = 0; c < cols; c++)
        __asm__ volatile("prefetchw (%0)\n\tprefetchw 64(%0)" : : "r"(out + c * stride));
}
