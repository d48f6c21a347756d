/* wide.h: loops compiled once for each instruction set of x86-64, without a file for each. */
#pragma once

/* On functions that gcc is to vectorise: compiled for each instruction set of x86-64 and chosen when the program
 * starts. Contraction is off, so all give the same bits. What such a function calls must be LB_INLINE to be compiled
 * with it. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define LB_WIDE __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define LB_WIDE
#endif
#define LB_INLINE static inline __attribute__((always_inline))
