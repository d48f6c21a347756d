/* tile32x7.h: tile32x6.h's pieces for up to 7 columns, for products whose chains take six cycles a step (vdpbf16ps on
 * Zen 5): twelve chains, two a cycle, would be at a standstill whenever one is late.
 *
 * The sums of column c are zmm c (rows 0..15) and zmm 7 + c (rows 16..31), its totals zmm 14 + c and 21 + c; zmm 28 and
 * 29 are for broadcasts, 30 and 31 for weights or scales. Columns 0, 3 and 6 have pointers (a, b, c). */
#pragma once
#include "tile32x6.h"

enum { TILE7_COLS = 7 };

#define T7_1(X, ...) X(0, 7, 14, 21, 28, 29, "(%[a])", 0, __VA_ARGS__)
#define T7_2(X, ...) T7_1(X, __VA_ARGS__) X(1, 8, 15, 22, 29, 28, "(%[a],%[s])", 128, __VA_ARGS__)
#define T7_3(X, ...) T7_2(X, __VA_ARGS__) X(2, 9, 16, 23, 28, 29, "(%[a],%[s],2)", 256, __VA_ARGS__)
#define T7_4(X, ...) T7_3(X, __VA_ARGS__) X(3, 10, 17, 24, 29, 28, "(%[b])", 384, __VA_ARGS__)
#define T7_5(X, ...) T7_4(X, __VA_ARGS__) X(4, 11, 18, 25, 28, 29, "(%[b],%[s])", 512, __VA_ARGS__)
#define T7_6(X, ...) T7_5(X, __VA_ARGS__) X(5, 12, 19, 26, 29, 28, "(%[b],%[s],2)", 640, __VA_ARGS__)
#define T7_7(X, ...) T7_6(X, __VA_ARGS__) X(6, 13, 20, 27, 28, 29, "(%[c])", 768, __VA_ARGS__)
#define T7_EACH(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* Two vectors of weights, and their products with the dword at `off`. */
#define T7_STEP(n, op, w_at, off)                                                                                    \
    "vmovdqa64 " #w_at "(%[w]), %%zmm30\n\tvmovdqa64 64+" #w_at "(%[w]), %%zmm31\n\t" T7_##n(T6_DOT, op, off)
/* Four of them, 16 bytes of each column, and on. */
#define T7_FOUR_STEPS(n, op)                                                                                         \
    T7_STEP(n, op, 0, 0) T7_STEP(n, op, 128, 4) T7_STEP(n, op, 256, 8) T7_STEP(n, op, 384, 12)                       \
    "add $512, %[w]\n\tadd $16, %[a]\n\tadd $16, %[b]\n\tadd $16, %[c]\n\t"
