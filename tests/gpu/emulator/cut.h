/* cut.h: sums as tensor cores make them: a few products at a time are added to the sum so far, each addend cut a number
 * of bits below the leading bit of the largest, and the result is cut, not rounded, to f32. NVIDIA does not say so; it
 * has been measured: A100 eight products of 16 bits and 24 bits below the leading one, H100 sixteen and 25 or more, and
 * of fp8 thirty-two and 13. Tests that pass so do not depend on what hardware cuts. */
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

/* Without sanitizers, which would take most of the time: these work on the emulator's own copies. What is the kernel's
 * is read and written by their callers. */
#define LB_EMU_PLAIN __attribute__((optimize("O3", "no-trapping-math"), no_sanitize("address", "undefined")))

enum { LB_EMU_CUT_EACH = 8, LB_EMU_CUT_BITS = 24, LB_EMU_CUT_MOST = 256 /* sums at once */ };

/* The power of two of the leading bit; of 0 -1023, of what is not finite 1024. */
LB_EMU_PLAIN static inline int64_t lb_emu_exponent(double v) {
    uint64_t u;
    memcpy(&u, &v, 8);
    return (int64_t)(u >> 52 & 2047) - 1023;
}
LB_EMU_PLAIN static inline double lb_emu_power(int64_t e) {
    uint64_t u = (uint64_t)(e + 1023) << 52;
    double v;
    memcpy(&v, &u, 8);
    return v;
}
LB_EMU_PLAIN static inline double lb_emu_cut_to_f32(double v) {
    uint64_t u;
    memcpy(&u, &v, 8);
    u &= ~(((uint64_t)1 << 29) - 1);
    memcpy(&v, &u, 8);
    return (float)v;
}
/* sums[c] += a[0] b[0][c] + ... + a[count - 1] b[count - 1][c] of n <= LB_EMU_CUT_MOST sums; rows of b are `apart`. */
LB_EMU_PLAIN static inline void lb_emu_cut_add(double *sums, int n, const double *a, const double *b, int apart,
                                               int count, int bits) {
    int64_t most[LB_EMU_CUT_MOST];
    double unit[LB_EMU_CUT_MOST], total[LB_EMU_CUT_MOST];
    for (int c = 0; c < n; c++) most[c] = lb_emu_exponent(sums[c]);
    for (int k = 0; k < count; k++) {
        const int64_t e = lb_emu_exponent(a[k]);
        for (int c = 0; c < n; c++) {
            int64_t both = e + lb_emu_exponent(b[k * apart + c]);
            most[c] = both > most[c] ? both : most[c];
        }
    }
    for (int c = 0; c < n; c++) {
        most[c] = most[c] < -900 ? -900 : most[c] > 1024 ? 1024 : most[c];
        unit[c] = lb_emu_power(bits - most[c]);
        total[c] = __builtin_trunc(sums[c] * unit[c]);
    }
    for (int k = 0; k < count; k++)
        for (int c = 0; c < n; c++) total[c] += __builtin_trunc(a[k] * b[k * apart + c] * unit[c]);
    for (int c = 0; c < n; c++) sums[c] = lb_emu_cut_to_f32(total[c] * lb_emu_power(most[c] - bits));
}
