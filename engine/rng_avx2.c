/* rng_avx2.c: the random blocks, compiled for AVX2. */
#include "device.h"

#if defined(__AVX2__)
#define LB_RNG_IMPLEMENT
#include "rng_block.h"

/* Every extension that this file is compiled with, since the compiler may use any of them. */
const lb_rng_impl lb_rng_avx2 = {
    "avx2",
    LB_ISA_AVX2,
    block_words, block_uniform, block_normal,
};
#endif
