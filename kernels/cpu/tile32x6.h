/* tile32x6.h: pieces of inner loops over 32 rows by up to 6 columns, in assembly: one broadcast of an activation dword
 * serves two products, so that loads are fewer than products, and totals stay in registers beside the sums of the scale
 * in hand; gcc 12 spills such loops' addresses and sums.
 *
 * In a tile of n columns the sums of column c are zmm c (rows 0..15) and zmm 6 + c (rows 16..31), its totals zmm 12 + c
 * and 18 + c; zmm 24..29 are for broadcasts, 30 and 31 for weights or scales. Columns 0 and 3 have pointers (a, b), the
 * two after them are reached by the stride s as an index. acc is [column][32] floats.
 * X(low, high, total low, total high, temp, other temp, address, acc offset, ...) is a string. */
#pragma once
#include <stdint.h>

enum { TILE6_COLS = 6 };

#define T6_1(X, ...) X(0, 6, 12, 18, 24, 27, "(%[a])", 0, __VA_ARGS__)
#define T6_2(X, ...) T6_1(X, __VA_ARGS__) X(1, 7, 13, 19, 25, 28, "(%[a],%[s])", 128, __VA_ARGS__)
#define T6_3(X, ...) T6_2(X, __VA_ARGS__) X(2, 8, 14, 20, 26, 29, "(%[a],%[s],2)", 256, __VA_ARGS__)
#define T6_4(X, ...) T6_3(X, __VA_ARGS__) X(3, 9, 15, 21, 27, 24, "(%[b])", 384, __VA_ARGS__)
#define T6_5(X, ...) T6_4(X, __VA_ARGS__) X(4, 10, 16, 22, 28, 25, "(%[b],%[s])", 512, __VA_ARGS__)
#define T6_6(X, ...) T6_5(X, __VA_ARGS__) X(5, 11, 17, 23, 29, 26, "(%[b],%[s],2)", 640, __VA_ARGS__)
#define T6_EACH(X) X(1) X(2) X(3) X(4) X(5) X(6)

/* Totals from acc, and back. */
#define T6_OPEN(low, high, tlow, thigh, temp, other, address, at, ...)                                              \
    "vmovaps " #at "(%[acc]), %%zmm" #tlow "\n\tvmovaps 64+" #at "(%[acc]), %%zmm" #thigh "\n\t"
#define T6_KEEP(low, high, tlow, thigh, temp, other, address, at, ...)                                              \
    "vmovaps %%zmm" #tlow ", " #at "(%[acc])\n\tvmovaps %%zmm" #thigh ", 64+" #at "(%[acc])\n\t"
/* Totals to zero; and acc += totals times the float `d` bytes on in each column. */
#define T6_OPEN_ZERO(low, high, tlow, thigh, temp, other, address, at, ...)                                         \
    "vpxord %%zmm" #tlow ", %%zmm" #tlow ", %%zmm" #tlow "\n\t"                                                      \
    "vpxord %%zmm" #thigh ", %%zmm" #thigh ", %%zmm" #thigh "\n\t"
#define T6_KEEP_TIMES(low, high, tlow, thigh, temp, other, address, at, d)                                          \
    "vbroadcastss " #d address ", %%zmm" #temp "\n\t"                                                               \
    "vfmadd213ps " #at "(%[acc]), %%zmm" #temp ", %%zmm" #tlow "\n\tvmovaps %%zmm" #tlow ", " #at "(%[acc])\n\t"    \
    "vfmadd213ps 64+" #at "(%[acc]), %%zmm" #temp ", %%zmm" #thigh "\n\t"                                           \
    "vmovaps %%zmm" #thigh ", 64+" #at "(%[acc])\n\t"
/* Sums to zero. */
#define T6_ZERO(low, high, tlow, thigh, temp, other, address, at, ...)                                              \
    "vpxord %%zmm" #low ", %%zmm" #low ", %%zmm" #low "\n\tvpxord %%zmm" #high ", %%zmm" #high ", %%zmm" #high "\n\t"
/* Sums to the dword `from` bytes on in each column. */
#define T6_START(low, high, tlow, thigh, temp, other, address, at, from)                                            \
    "vpbroadcastd " #from address ", %%zmm" #low "\n\tvmovdqa64 %%zmm" #low ", %%zmm" #high "\n\t"
/* Both sums += the weights times the dword `off` bytes on in each column. */
#define T6_DOT(low, high, tlow, thigh, temp, other, address, at, op, off)                                           \
    "vpbroadcastd " #off address ", %%zmm" #temp "\n\t"                                                              \
    op " %%zmm" #temp ", %%zmm30, %%zmm" #low "\n\t" op " %%zmm" #temp ", %%zmm31, %%zmm" #high "\n\t"
/* Sums from integers to floats. */
#define T6_TO_FLOAT(low, high, tlow, thigh, temp, other, address, at, ...)                                          \
    "vcvtdq2ps %%zmm" #low ", %%zmm" #low "\n\tvcvtdq2ps %%zmm" #high ", %%zmm" #high "\n\t"
/* Sums += the float `from` bytes on in each column. */
#define T6_PLUS(low, high, tlow, thigh, temp, other, address, at, from)                                             \
    "vbroadcastss " #from address ", %%zmm" #temp "\n\t"                                                            \
    "vaddps %%zmm" #temp ", %%zmm" #low ", %%zmm" #low "\n\tvaddps %%zmm" #temp ", %%zmm" #high ", %%zmm" #high "\n\t"
/* Totals += the float `sum` bytes on in each column times what zmm30 and zmm31 hold. */
#define T6_ADD_SUM(low, high, tlow, thigh, temp, other, address, at, sum)                                           \
    "vbroadcastss " #sum address ", %%zmm" #temp "\n\t"                                                             \
    "vfmadd231ps %%zmm" #temp ", %%zmm30, %%zmm" #tlow "\n\tvfmadd231ps %%zmm" #temp ", %%zmm31, %%zmm" #thigh "\n\t"
/* Totals += sums times the scales in zmm30 and zmm31. */
#define T6_ADD(low, high, tlow, thigh, temp, other, address, at, ...)                                               \
    "vfmadd231ps %%zmm" #low ", %%zmm30, %%zmm" #tlow "\n\tvfmadd231ps %%zmm" #high ", %%zmm31, %%zmm" #thigh "\n\t"
/* The same, the scales times the float `d` bytes on in each column first. */
#define T6_ADD_TIMES(low, high, tlow, thigh, temp, other, address, at, d)                                           \
    "vmulps " #d address "%{1to16%}, %%zmm30, %%zmm" #temp "\n\t"                                                   \
    "vmulps " #d address "%{1to16%}, %%zmm31, %%zmm" #other "\n\t"                                                  \
    "vfmadd231ps %%zmm" #low ", %%zmm" #temp ", %%zmm" #tlow "\n\t"                                                  \
    "vfmadd231ps %%zmm" #high ", %%zmm" #other ", %%zmm" #thigh "\n\t"
/* Totals += (sums * scale + minimum * the float `sum` bytes on) * the float `d` bytes on; the minima stand behind the
 * scales, at 128 and 192. */
#define T6_ADD_MIN(low, high, tlow, thigh, temp, other, address, at, d, sum)                                        \
    "vbroadcastss " #sum address ", %%zmm" #temp "\n\t"                                                             \
    "vmulps 128(%[scales]), %%zmm" #temp ", %%zmm" #other "\n\t"                                                    \
    "vmulps 192(%[scales]), %%zmm" #temp ", %%zmm" #temp "\n\t"                                                     \
    "vfmadd213ps %%zmm" #other ", %%zmm30, %%zmm" #low "\n\t"                                                       \
    "vfmadd213ps %%zmm" #temp ", %%zmm31, %%zmm" #high "\n\t"                                                       \
    "vbroadcastss " #d address ", %%zmm" #temp "\n\t"                                                               \
    "vfmadd231ps %%zmm" #low ", %%zmm" #temp ", %%zmm" #tlow "\n\t"                                                  \
    "vfmadd231ps %%zmm" #high ", %%zmm" #temp ", %%zmm" #thigh "\n\t"

/* Two vectors of weights, and their products with the dword at `off`. */
#define T6_STEP(n, op, w_at, off)                                                                                   \
    "vmovdqa64 " #w_at "(%[w]), %%zmm30\n\tvmovdqa64 64+" #w_at "(%[w]), %%zmm31\n\t" T6_##n(T6_DOT, op, off)
/* Every pointer to activations on. */
#define T6_ON(bytes) "add $" #bytes ", %[a]\n\tadd $" #bytes ", %[b]\n\t"
/* Four of them, 16 bytes of each column, and on. */
#define T6_FOUR_STEPS(n, op)                                                                                        \
    T6_STEP(n, op, 0, 0) T6_STEP(n, op, 128, 4) T6_STEP(n, op, 256, 8) T6_STEP(n, op, 384, 12)                   \
    "add $512, %[w]\n\t" T6_ON(16)
/* What tiles read after this one, a line of each column; and on. */
#define T6_ASK_1 "prefetcht0 (%[next])\n\t"
#define T6_ASK_2 T6_ASK_1 "prefetcht0 (%[next],%[s])\n\t"
#define T6_ASK_3 T6_ASK_2 "prefetcht0 (%[next],%[s],2)\n\t"
#define T6_ASK_4 T6_ASK_3 "prefetcht0 (%[after])\n\t"
#define T6_ASK_5 T6_ASK_4 "prefetcht0 (%[after],%[s])\n\t"
#define T6_ASK_6 T6_ASK_5 "prefetcht0 (%[after],%[s],2)\n\t"
#define T6_ASK_ON(bytes) "add $" #bytes ", %[next]\n\tadd $" #bytes ", %[after]\n\t"
#define T6_MINIMA "vmovaps 128(%[scales]), %%zmm30\n\tvmovaps 192(%[scales]), %%zmm31\n\t"
#define T6_SCALES "vmovaps (%[scales]), %%zmm30\n\tvmovaps 64(%[scales]), %%zmm31\n\t"

#define T6_CLOBBERS                                                                                                 \
    "memory", "cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", \
        "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23",  \
        "zmm24", "zmm25", "zmm26", "zmm27", "zmm28", "zmm29", "zmm30", "zmm31"
